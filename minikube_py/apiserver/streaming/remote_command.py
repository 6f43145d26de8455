"""Runs exec and attach sessions for a client over WebSocket channels or SPDY streams.

Both sides are made into a CommandPipes, which knows how input, output, sizes and the end travel.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

import orjson

from minikube_py.apiserver.call import Exchange
from minikube_py.apiserver.streaming.channels import (
    BASE64,
    BINARY,
    ERROR,
    RESIZE,
    STDERR,
    STDIN,
    STDOUT,
    ChannelSocket,
)
from minikube_py.apiserver.streaming.spdy import SpdyConnection, SpdyStream
from minikube_py.client.node_connection import ExecResult, StreamRequest, StreamSession
from minikube_py.objects.errors import BadRequest, Object

SPDY = "SPDY/3.1"
SPDY_COMMANDS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
_SPDY_OPEN_SECONDS = 30.0


class CommandPipes(Protocol):
    """The client's end of a session."""

    async def receive(self, session: StreamSession) -> None:
        """Passes input and sizes on to the session until the client has nothing more."""
        ...

    async def write(self, channel: int, data: bytes) -> None: ...

    async def finish(self, result: ExecResult) -> None:
        """Tells how it ended and closes."""
        ...


OpenSession = Callable[[StreamRequest], Awaitable[StreamSession]]


async def serve_command(exchange: Exchange, request: StreamRequest, open_session: OpenSession) -> None:
    """Opens the session first, so that its failure is still an ordinary answer, then takes the connection over."""
    _check_upgrade(exchange)
    session = await open_session(request)
    try:
        async with _pipes(exchange, request) as pipes:
            await _run(session, pipes)
    finally:
        await session.close()


async def _run(session: StreamSession, pipes: CommandPipes) -> None:
    """Output goes out until it ends; input stops mattering then. A client that goes away ends the session."""
    output = asyncio.ensure_future(_pass_output(session, pipes))
    input_ = asyncio.ensure_future(pipes.receive(session))
    try:
        await asyncio.wait((output, input_), return_when=asyncio.FIRST_COMPLETED)
        if not output.done():
            # The client has gone: what is still to come has nowhere to go.
            output.cancel()
            return
        await output
        await pipes.finish(await session.result())
    except ConnectionError:
        return
    finally:
        for task in (output, input_):
            task.cancel()
        await asyncio.gather(output, input_, return_exceptions=True)


async def _pass_output(session: StreamSession, pipes: CommandPipes) -> None:
    while (chunk := await session.receive()) is not None:
        await pipes.write(chunk.channel, chunk.data)


def status_of(result: ExecResult) -> Object:
    """The Status on the error channel; a command's exit code is in its causes."""
    if result.error:
        return {
            "metadata": {}, "status": "Failure", "message": result.error, "reason": "InternalError",
            "details": {"causes": [{"message": result.error}]}, "code": 500,
        }  # fmt: skip
    if result.exit_code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {result.exit_code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(result.exit_code)}]},
    }


def _end_message(result: ExecResult, version: int) -> bytes:
    """Before version 4 only failures are told, as plain text."""
    if version >= 4:
        return orjson.dumps(status_of(result))
    if result.error:
        return result.error.encode()
    if result.exit_code:
        return f"command terminated with non-zero exit code: exit status {result.exit_code}".encode()
    return b""


async def _resize(session: StreamSession, data: bytes) -> None:
    try:
        size = orjson.loads(data)
        await session.resize(int(size["Width"]), int(size["Height"]))
    except (ValueError, KeyError, TypeError):
        return


# --- choosing --------------------------------------------------------------------------------------------------------


def _is_websocket(exchange: Exchange) -> bool:
    return exchange.headers.get("Upgrade", "").lower() == "websocket"


def _check_upgrade(exchange: Exchange) -> None:
    upgrade = exchange.headers.get("Upgrade", "")
    if upgrade.lower() not in ("websocket", SPDY.lower()):
        raise BadRequest("Upgrade request required")
    if not _is_websocket(exchange) and not spdy_protocol(exchange, SPDY_COMMANDS):
        raise BadRequest("no supported protocol was asked for in X-Stream-Protocol-Version")


def spdy_protocol(exchange: Exchange, known: tuple[str, ...]) -> str:
    """The first protocol of the client's that the server knows; '' for none."""
    offered = [
        protocol.strip()
        for value in exchange.header_values("X-Stream-Protocol-Version")
        for protocol in value.split(",")
    ]
    return next((protocol for protocol in offered if protocol in known), "")


@asynccontextmanager
async def _pipes(exchange: Exchange, request: StreamRequest) -> AsyncIterator[CommandPipes]:
    if _is_websocket(exchange):
        socket = ChannelSocket(await exchange.websocket((*BINARY, *BASE64)))
        # An empty first message tells the client that the session is open.
        await socket.send(STDOUT if request.stdout else STDERR if request.stderr else ERROR, b"")
        yield _WebSocketPipes(socket)
        return
    protocol = spdy_protocol(exchange, SPDY_COMMANDS)
    channel = await exchange.upgrade(SPDY, {"X-Stream-Protocol-Version": protocol})
    connection = SpdyConnection(channel)
    reader = asyncio.ensure_future(connection.run())
    try:
        async with asyncio.timeout(_SPDY_OPEN_SECONDS):
            streams = await _spdy_streams(connection, request, protocol)
        yield _SpdyPipes(connection, streams, protocol)
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        await connection.close()


class _WebSocketPipes:
    def __init__(self, socket: ChannelSocket) -> None:
        self._socket = socket

    async def receive(self, session: StreamSession) -> None:
        while (message := await self._socket.receive()) is not None:
            if message.is_end:
                if message.channel == STDIN:
                    await session.close_stdin()
            elif message.channel == STDIN:
                await session.send(message.data)
            elif message.channel == RESIZE:
                await _resize(session, message.data)

    async def write(self, channel: int, data: bytes) -> None:
        await self._socket.send(channel, data)

    async def finish(self, result: ExecResult) -> None:
        message = _end_message(result, self._socket.version)
        if message:
            await self._socket.send(ERROR, message)
        await self._socket.close()


# --- SPDY ------------------------------------------------------------------------------------------------------------


async def _spdy_streams(connection: SpdyConnection, request: StreamRequest, protocol: str) -> Mapping[str, SpdyStream]:
    """The streams that the client opens for such a session, by type."""
    wanted = {"error"}
    wanted |= {name for name, is_on in (("stdin", request.stdin), ("stdout", request.stdout)) if is_on}
    if request.stderr and not request.tty:
        wanted.add("stderr")
    if request.tty and protocol[:2] in ("v3", "v4", "v5"):
        wanted.add("resize")
    streams: dict[str, SpdyStream] = {}
    while wanted - streams.keys():
        stream = await connection.accept()
        if stream is None:
            raise ConnectionResetError("the client has closed the connection")
        streams[stream.type] = stream
    return streams


class _SpdyPipes:
    def __init__(self, connection: SpdyConnection, streams: Mapping[str, SpdyStream], protocol: str) -> None:
        self._connection = connection
        self._streams = streams
        self._version = int(protocol[1]) if protocol[:1] == "v" else 1
        self._outputs = {STDOUT: streams.get("stdout"), STDERR: streams.get("stderr")}

    async def receive(self, session: StreamSession) -> None:
        """Returns when the connection ends; the end of stdin alone ends nothing."""
        tasks = [asyncio.ensure_future(self._watch_connection())]
        if "stdin" in self._streams:
            tasks.append(asyncio.ensure_future(self._pass_input(session)))
        if "resize" in self._streams:
            tasks.append(asyncio.ensure_future(self._pass_sizes(session)))
        try:
            await tasks[0]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch_connection(self) -> None:
        while await self._connection.accept() is not None:
            pass

    async def _pass_input(self, session: StreamSession) -> None:
        while data := await self._streams["stdin"].receive():
            await session.send(data)
        await session.close_stdin()

    async def _pass_sizes(self, session: StreamSession) -> None:
        buffer = b""
        while data := await self._streams["resize"].receive():
            *sizes, buffer = (buffer + data).split(b"\n")
            if buffer.endswith(b"}"):
                sizes, buffer = [*sizes, buffer], b""
            for size in sizes:
                await _resize(session, size)

    async def write(self, channel: int, data: bytes) -> None:
        stream = self._outputs.get(channel)
        if stream is not None:
            await stream.send(data)

    async def finish(self, result: ExecResult) -> None:
        message = _end_message(result, self._version)
        if message:
            await self._streams["error"].send(message)
        for name in ("stdout", "stderr", "error"):
            if name in self._streams:
                await self._streams[name].close()
