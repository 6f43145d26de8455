"""The calls of a NodeConnection over a tunnel: the server's side makes them, the node's side answers them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import orjson

from minikube_py.client.node_connection import (
    ByteStream,
    Chunk,
    ContainerAddress,
    ExecResult,
    LogRequest,
    NodeConnection,
    StreamRequest,
    StreamSession,
)
from minikube_py.client.tunnel import Kind, Tunnel, TunnelStream
from minikube_py.objects.errors import BadRequest, InternalError, Object

MAX_ANSWER_BYTES = 32 * 1024 * 1024
_CHANNELS = {Kind.STDOUT: 1, Kind.STDERR: 2}
_KINDS = {channel: kind for kind, channel in _CHANNELS.items()}


# --- the server's side -----------------------------------------------------------------------------------------------


class TunnelNode:
    """A NodeConnection to the node at the other end."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel

    async def logs(self, request: LogRequest) -> AsyncIterator[bytes]:
        stream = await self._tunnel.open({"call": "logs", "request": asdict(request)})
        try:
            while (frame := await stream.receive()) is not None:
                yield frame.data
        finally:
            await stream.end()

    async def open_stream(self, request: StreamRequest) -> StreamSession:
        stream = await self._tunnel.open({"call": "stream", "request": asdict(request)})
        await _opened(stream)
        return _RemoteSession(stream)

    async def dial(self, pod_uid: str, port: int) -> ByteStream:
        stream = await self._tunnel.open({"call": "dial", "pod_uid": pod_uid, "port": port})
        await _opened(stream)
        return _RemoteBytes(stream)

    async def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(await self._whole({"call": "stats"}))
        return found

    async def remove_volume(self, handle: str) -> None:
        await self._whole({"call": "remove_volume", "handle": handle})

    async def page(self, path: str) -> str:
        return (await self._whole({"call": "page", "path": path})).decode()

    async def _whole(self, request: Object) -> bytes:
        """All that the node answers. Raises InternalError for more than anybody should have to say."""
        stream = await self._tunnel.open(request)
        body = bytearray()
        while (frame := await stream.receive()) is not None:
            body += frame.data
            if len(body) > MAX_ANSWER_BYTES:
                await stream.end()
                raise InternalError(f"the node's answer is longer than {MAX_ANSWER_BYTES} bytes")
        return bytes(body)


async def _opened(stream: TunnelStream) -> None:
    """The first frame says that the call has begun; a failure to begin arrives as the stream's error instead."""
    await stream.receive()


class _RemoteSession:
    """A StreamSession whose process is on the node."""

    def __init__(self, stream: TunnelStream) -> None:
        self._stream = stream
        self._result: asyncio.Future[ExecResult] = asyncio.get_running_loop().create_future()

    async def receive(self) -> Chunk | None:
        while (frame := await self._stream.receive()) is not None:
            if frame.kind in _CHANNELS:
                return Chunk(_CHANNELS[frame.kind], frame.data)
            if frame.kind is Kind.RESULT and not self._result.done():
                self._result.set_result(ExecResult(**orjson.loads(frame.data)))
        if not self._result.done():
            self._result.set_result(ExecResult(0))
        return None

    async def send(self, data: bytes) -> None:
        await self._stream.send(Kind.STDIN, data)

    async def close_stdin(self) -> None:
        await self._stream.send(Kind.STDIN_END)

    async def resize(self, width: int, height: int) -> None:
        await self._stream.send(Kind.RESIZE, orjson.dumps([width, height]))

    async def result(self) -> ExecResult:
        """Valid once receive() has given None."""
        return await asyncio.shield(self._result)

    async def close(self) -> None:
        if not self._result.done():
            self._result.set_result(ExecResult(1, "the stream was closed"))
        await self._stream.end()


class _RemoteBytes:
    """A ByteStream whose connection is on the node."""

    def __init__(self, stream: TunnelStream) -> None:
        self._stream = stream

    async def receive(self) -> bytes:
        frame = await self._stream.receive()
        return frame.data if frame is not None else b""

    async def send(self, data: bytes) -> None:
        await self._stream.send(Kind.STDIN, data)

    async def close(self) -> None:
        await self._stream.end()


# --- the node's side -------------------------------------------------------------------------------------------------


class NodeCalls:
    """Answers the server's calls with a NodeConnection of this process."""

    def __init__(self, node: NodeConnection) -> None:
        self._node = node

    async def answer(self, request: Object, stream: TunnelStream) -> None:
        """Handles one opened stream; fits client.tunnel.Opened. Raises ApiError."""
        call = request.get("call")
        if call == "logs":
            await self._logs(_log_request(request["request"]), stream)
        elif call == "stream":
            await self._stream(_stream_request(request["request"]), stream)
        elif call == "dial":
            await self._dial(str(request["pod_uid"]), int(request["port"]), stream)
        elif call == "stats":
            await stream.send(Kind.STDOUT, orjson.dumps(await self._node.stats()))
        elif call == "remove_volume":
            await self._node.remove_volume(str(request["handle"]))
        elif call == "page":
            await stream.send(Kind.STDOUT, (await self._node.page(str(request["path"]))).encode())
        else:
            raise BadRequest(f"this node does not know the call {call!r}: it runs another version of mkube")

    async def _logs(self, request: LogRequest, stream: TunnelStream) -> None:
        watcher = asyncio.create_task(_until_over(stream))
        reader = asyncio.create_task(self._send_logs(request, stream))
        await _beside(reader, watcher)

    async def _send_logs(self, request: LogRequest, stream: TunnelStream) -> None:
        async for part in self._node.logs(request):
            await stream.send(Kind.STDOUT, part)

    async def _stream(self, request: StreamRequest, stream: TunnelStream) -> None:
        session = await self._node.open_stream(request)
        await stream.send(Kind.OPENED)
        feeder = asyncio.create_task(_feed_session(stream, session))
        try:
            await _beside(asyncio.create_task(_drain_session(session, stream)), feeder)
        finally:
            await session.close()

    async def _dial(self, pod_uid: str, port: int, stream: TunnelStream) -> None:
        connection = await self._node.dial(pod_uid, port)
        await stream.send(Kind.OPENED)
        feeder = asyncio.create_task(_feed_bytes(stream, connection))
        try:
            await _beside(asyncio.create_task(_drain_bytes(connection, stream)), feeder)
        finally:
            await connection.close()


async def _beside(main: "asyncio.Task[None]", feeder: "asyncio.Task[None]") -> None:
    """Wait for `main`; a feeder that fails (the server's side is gone) ends it, one that just ends does not."""
    try:
        await asyncio.wait((main, feeder), return_when=asyncio.FIRST_COMPLETED)
        if not main.done() and feeder.exception() is None:
            await main
    finally:
        for task in (main, feeder):
            task.cancel()
        await asyncio.gather(main, feeder, return_exceptions=True)
    if not main.cancelled():
        main.result()


async def _until_over(stream: TunnelStream) -> None:
    while await stream.receive() is not None:
        pass
    raise ConnectionError("the server closed the stream")


async def _drain_session(session: StreamSession, stream: TunnelStream) -> None:
    while (chunk := await session.receive()) is not None:
        await stream.send(_KINDS[chunk.channel], chunk.data)
    result = await session.result()
    await stream.send(Kind.RESULT, orjson.dumps(asdict(result)))


async def _feed_session(stream: TunnelStream, session: StreamSession) -> None:
    """Ends with ConnectionError when the server's side is gone, so that the process is not left waiting."""
    while (frame := await stream.receive()) is not None:
        if frame.kind is Kind.STDIN:
            with contextlib.suppress(OSError):  # the process has closed its input; its output still counts
                await session.send(frame.data)
        elif frame.kind is Kind.STDIN_END:
            await session.close_stdin()
        elif frame.kind is Kind.RESIZE:
            width, height = orjson.loads(frame.data)
            await session.resize(int(width), int(height))
    raise ConnectionError("the server closed the stream")


async def _drain_bytes(connection: ByteStream, stream: TunnelStream) -> None:
    while data := await connection.receive():
        await stream.send(Kind.STDOUT, data)


async def _feed_bytes(stream: TunnelStream, connection: ByteStream) -> None:
    while (frame := await stream.receive()) is not None:
        if frame.kind is Kind.STDIN:
            await connection.send(frame.data)
    raise ConnectionError("the server closed the stream")


def _address(fields: Object) -> ContainerAddress:
    return ContainerAddress(**fields)


def _log_request(fields: Object) -> LogRequest:
    return LogRequest(**{**fields, "target": _address(fields["target"])})


def _stream_request(fields: Object) -> StreamRequest:
    return StreamRequest(**{**fields, "target": _address(fields["target"]), "command": tuple(fields["command"])})


@contextlib.asynccontextmanager
async def running_tunnel(tunnel: Tunnel) -> AsyncIterator[Tunnel]:
    """The tunnel reads while the block runs."""
    task = asyncio.create_task(tunnel.run())
    try:
        yield tunnel
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
