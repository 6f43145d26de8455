"""exec, attach and logs over Docker's raw streams, on the event loop."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from minikube_py import clock
from minikube_py.client.node_connection import Chunk, ExecResult, LogRequest, StreamRequest
from minikube_py.kubelet.runtimes.docker_engine import DockerEngine, EngineError, RawConnection
from minikube_py.kubelet.runtimes.protocol import RuntimeFailure

_HEADER_BYTES = 8
_READ_BYTES = 64 * 1024
_STDOUT, _STDERR = 1, 2
# What the engine writes into the stream itself when it could not run the command, and the exit codes it then reports.
_EXEC_FAILED = b"OCI runtime exec failed"
_EXEC_FAILED_CODES = (126, 127)
_RESIZE_ATTEMPTS = 10
_RESIZE_RETRY_SECONDS = 0.05
_EXIT_ATTEMPTS = 200
_EXIT_RETRY_SECONDS = 0.02


class DockerSession:
    """A running exec (exec_id not '') or attach. Read the output to its end, then ask for the result."""

    def __init__(
        self, engine: DockerEngine, connection: RawConnection, *, is_tty: bool, container_id: str, exec_id: str = ""
    ) -> None:
        self._engine = engine
        self._connection = connection
        self._is_tty = is_tty
        self._container_id = container_id
        self._exec_id = exec_id
        self._frame_left = 0
        self._frame_channel = _STDOUT
        self._is_first = True
        self._failure = b""
        self._output_ended = asyncio.Event()

    async def receive(self) -> Chunk | None:
        chunk = await self._next()
        if chunk is not None and self._is_first:
            self._is_first = False
            if self._exec_id and chunk.data.startswith(_EXEC_FAILED):
                chunk = await self._hold_back(chunk)
        if chunk is None:
            self._output_ended.set()
        return chunk

    async def _hold_back(self, first: Chunk) -> Chunk | None:
        """The engine's own error text is the result, not output; anything else that looks like it is output."""
        text = first.data
        while len(text) < _READ_BYTES and (more := await self._next()) is not None:
            text += more.data
        if await self._exit_code() in _EXEC_FAILED_CODES:
            self._failure = text
            return None
        return Chunk(first.channel, text)

    async def _next(self) -> Chunk | None:
        reader = self._connection.reader
        try:
            if self._is_tty:
                data = await reader.read(_READ_BYTES)
                return Chunk(_STDOUT, data) if data else None
            while self._frame_left == 0:
                header = await reader.readexactly(_HEADER_BYTES)
                self._frame_channel = header[0] or _STDOUT
                self._frame_left = int.from_bytes(header[4:], "big")
            data = await reader.read(min(self._frame_left, _READ_BYTES))
            self._frame_left -= len(data)
            return Chunk(self._frame_channel, data) if data else None
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def send(self, data: bytes) -> None:
        try:
            self._connection.writer.write(data)
            await self._connection.writer.drain()
        except ConnectionError:
            return  # the process has gone; the output says so in its own time

    async def close_stdin(self) -> None:
        writer = self._connection.writer
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()

    async def resize(self, width: int, height: int) -> None:
        path = f"/exec/{self._exec_id}/resize" if self._exec_id else f"/containers/{self._container_id}/resize"
        for _ in range(_RESIZE_ATTEMPTS):
            try:
                await self._engine.request("POST", path, {"w": str(width), "h": str(height)})
                return
            except EngineError:
                # The first size arrives before the engine has started the process.
                await asyncio.sleep(_RESIZE_RETRY_SECONDS)

    async def result(self) -> ExecResult:
        await self._output_ended.wait()
        if not self._exec_id:
            return ExecResult(0)
        code = await self._exit_code()
        return ExecResult(code, self._failure.decode("utf-8", "replace").strip())

    async def _exit_code(self) -> int:
        # The output can end a moment before the engine has noted the exit.
        for _ in range(_EXIT_ATTEMPTS):
            state = await self._engine.request("GET", f"/exec/{self._exec_id}/json")
            if not state["Running"] and state["ExitCode"] is not None:
                return int(state["ExitCode"])
            await asyncio.sleep(_EXIT_RETRY_SECONDS)
        raise RuntimeFailure("ExecError", "the command closed its output but has not ended")

    async def close(self) -> None:
        self._output_ended.set()
        await self._connection.close()


async def open_exec(engine: DockerEngine, container_id: str, request: StreamRequest) -> DockerSession:
    created = await engine.request(
        "POST",
        f"/containers/{container_id}/exec",
        body={
            "AttachStdin": request.stdin,
            "AttachStdout": request.stdout,
            "AttachStderr": request.stderr and not request.tty,
            "Tty": request.tty,
            "Cmd": list(request.command),
        },
    )
    exec_id = str(created["Id"])
    body = orjson.dumps({"Detach": False, "Tty": request.tty})
    connection = await engine.hijack(f"/exec/{exec_id}/start", body=body)
    return DockerSession(engine, connection, is_tty=request.tty, container_id=container_id, exec_id=exec_id)


async def open_attach(
    engine: DockerEngine, container_id: str, request: StreamRequest, *, is_tty: bool
) -> DockerSession:
    query = {
        "stream": "1",
        "stdin": _flag(request.stdin),
        "stdout": _flag(request.stdout),
        "stderr": _flag(request.stderr),
    }
    connection = await engine.hijack(f"/containers/{container_id}/attach", query)
    return DockerSession(engine, connection, is_tty=is_tty, container_id=container_id)


async def read_logs(
    engine: DockerEngine, container_id: str, request: LogRequest, *, is_tty: bool
) -> AsyncIterator[bytes]:
    """Log text as Kubernetes hands it out. Ends with the container when request.follow is set."""
    left = request.limit_bytes
    async with engine.stream("GET", f"/containers/{container_id}/logs", log_query(request)) as response:
        async for data in _log_chunks(response.content, is_tty=is_tty):
            if left is None:
                yield data
                continue
            yield data[:left]
            left -= len(data)
            if left <= 0:
                return


def log_query(request: LogRequest) -> Mapping[str, str]:
    """The query of GET /containers/{id}/logs."""
    query = {
        "follow": _flag(request.follow),
        "stdout": _flag(request.stream in ("", "All", "Stdout")),
        "stderr": _flag(request.stream in ("", "All", "Stderr")),
        "timestamps": _flag(request.timestamps),
        "tail": "all" if request.tail_lines is None else str(request.tail_lines),
    }
    if request.since_seconds is not None:
        query["since"] = f"{clock.seconds() - request.since_seconds:.9f}"
    elif request.since_time:
        query["since"] = f"{clock.parse(request.since_time).timestamp():.9f}"
    return query


async def _log_chunks(content: Any, *, is_tty: bool) -> AsyncIterator[bytes]:
    if is_tty:
        async for data in content.iter_any():
            yield data
        return
    pending = b""
    async for data in content.iter_any():
        pending += data
        frames, pending = split_frames(pending)
        if frames:
            yield frames


def split_frames(data: bytes) -> tuple[bytes, bytes]:
    """The payload of all whole frames in `data`, and what is left over."""
    payload: list[bytes] = []
    at = 0
    while len(data) - at >= _HEADER_BYTES:
        end = at + _HEADER_BYTES + int.from_bytes(data[at + 4 : at + _HEADER_BYTES], "big")
        if end > len(data):
            break
        payload.append(data[at + _HEADER_BYTES : end])
        at = end
    return b"".join(payload), data[at:]


def _flag(value: bool) -> str:
    return "1" if value else "0"
