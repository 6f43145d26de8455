"""The streams of the fake runtime: scripted logs, a tiny exec, and byte streams that echo."""

import asyncio
from datetime import UTC, datetime

from minikube_py import clock
from minikube_py.client.node_connection import Chunk, ExecResult, LogRequest


def log_text(log: str, started_at: float, request: LogRequest) -> bytes:
    """The scripted log, written in one go when the container started, after the request's options."""
    lines = log.splitlines()
    if request.stream == "Stderr" or started_at < _since(request):
        lines = []
    if request.tail_lines is not None:
        lines = lines[-request.tail_lines :] if request.tail_lines else []
    if request.timestamps:
        stamp = clock.rfc3339_micro(datetime.fromtimestamp(started_at, UTC))
        lines = [f"{stamp} {line}" for line in lines]
    data = "".join(line + "\n" for line in lines).encode()
    return data if request.limit_bytes is None else data[: request.limit_bytes]


def _since(request: LogRequest) -> float:
    if request.since_seconds is not None:
        return clock.seconds() - request.since_seconds
    return clock.parse(request.since_time).timestamp() if request.since_time else 0.0


class OutputSession:
    """A stream that says its text and ends, or stays open until an event when one is given."""

    def __init__(self, stdout: bytes, *, result: ExecResult | None = None, until: asyncio.Event | None = None) -> None:
        self._chunks = [Chunk(1, stdout)] if stdout else []
        self._result = result or ExecResult(0)
        self._until = until
        self._closed = asyncio.Event()

    @classmethod
    def of_command(cls, command: tuple[str, ...]) -> "OutputSession":
        """echo, true and false are all that the fake runtime can run."""
        program, *words = command
        program = program.rpartition("/")[2]
        if program == "echo":
            return cls((" ".join(words) + "\n").encode())
        if program in ("true", "false"):
            return cls(b"", result=ExecResult(0 if program == "true" else 1))
        error = f'the fake runtime has no programs: "{command[0]}" cannot run (echo, true, false and cat can)'
        session = cls(b"", result=ExecResult(126))
        session._chunks.append(Chunk(2, (error + "\n").encode()))
        return session

    async def receive(self) -> Chunk | None:
        if self._chunks:
            return self._chunks.pop(0)
        await self._wait()
        return None

    async def send(self, data: bytes) -> None:
        return None

    async def close_stdin(self) -> None:
        return None

    async def resize(self, width: int, height: int) -> None:
        return None

    async def result(self) -> ExecResult:
        await self._wait()
        return self._result

    async def close(self) -> None:
        self._closed.set()

    async def _wait(self) -> None:
        if self._until is None:
            return
        waits = [asyncio.ensure_future(event.wait()) for event in (self._until, self._closed)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


class EchoSession:
    """An exec of `cat`: what comes in goes out, until stdin is closed."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._ended = asyncio.Event()

    async def receive(self) -> Chunk | None:
        if self._ended.is_set() and self._queue.empty():
            return None
        data = await self._queue.get()
        return Chunk(1, data) if data else None

    async def send(self, data: bytes) -> None:
        if data and not self._ended.is_set():
            self._queue.put_nowait(data)

    async def close_stdin(self) -> None:
        await self.close()

    async def resize(self, width: int, height: int) -> None:
        return None

    async def result(self) -> ExecResult:
        await self._ended.wait()
        return ExecResult(0)

    async def close(self) -> None:
        if not self._ended.is_set():
            self._ended.set()
            self._queue.put_nowait(b"")


class EchoStream:
    """A connection whose other side sends back what it gets."""

    def __init__(self) -> None:
        self._session = EchoSession()

    async def receive(self) -> bytes:
        chunk = await self._session.receive()
        return chunk.data if chunk is not None else b""

    async def send(self, data: bytes) -> None:
        await self._session.send(data)

    async def close(self) -> None:
        await self._session.close()
