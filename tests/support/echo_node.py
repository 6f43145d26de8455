"""A node connection that needs no node: logs are given, commands echo, and every port is an echo server."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from minikube_py.client.node_connection import ByteStream, Chunk, ExecResult, LogRequest, StreamRequest, StreamSession
from minikube_py.objects.errors import InternalError, NotFound


class EchoSession:
    """Runs `echo WORDS`, `cat`, `size` (waits for a resize and prints it) and `exit N`; writes errors to stderr."""

    def __init__(self, request: StreamRequest) -> None:
        self.request = request
        self._output: asyncio.Queue[Chunk | None] = asyncio.Queue()
        self._result = ExecResult(0)
        name, *words = request.command or ("cat",)
        if name == "echo":
            self._end(Chunk(1, " ".join(words).encode() + b"\n"))
        elif name == "exit":
            self._result = ExecResult(int(words[0]))
            self._end(Chunk(2, b"leaving\n"))

    def _end(self, *chunks: Chunk) -> None:
        for chunk in chunks:
            self._output.put_nowait(chunk)
        self._output.put_nowait(None)

    async def receive(self) -> Chunk | None:
        return await self._output.get()

    async def send(self, data: bytes) -> None:
        self._output.put_nowait(Chunk(1, data))

    async def close_stdin(self) -> None:
        self._output.put_nowait(None)

    async def resize(self, width: int, height: int) -> None:
        if self.request.command[:1] == ("size",):
            self._end(Chunk(1, f"{width}x{height}\n".encode()))

    async def result(self) -> ExecResult:
        return self._result

    async def close(self) -> None:
        return None


class EchoStream:
    """What is sent comes back in upper case."""

    def __init__(self) -> None:
        self._data: asyncio.Queue[bytes] = asyncio.Queue()

    async def receive(self) -> bytes:
        return await self._data.get()

    async def send(self, data: bytes) -> None:
        self._data.put_nowait(data.upper())

    async def close(self) -> None:
        self._data.put_nowait(b"")


@dataclass
class EchoNode:
    """Implements NodeConnection, and NodeConnections for any name."""

    log: list[bytes] = field(default_factory=lambda: [b"one\n", b"two\n"])
    requests: list[Any] = field(default_factory=list)
    refused_port: int = 1

    def find(self, node_name: str) -> "EchoNode":
        return self

    async def logs(self, request: LogRequest) -> AsyncIterator[bytes]:
        self.requests.append(request)
        for chunk in self.log:
            yield chunk

    async def open_stream(self, request: StreamRequest) -> StreamSession:
        self.requests.append(request)
        return EchoSession(request)

    async def dial(self, pod_uid: str, port: int) -> ByteStream:
        if port == self.refused_port:
            raise InternalError(f"dial tcp4 127.0.0.1:{port}: connect: connection refused")
        return EchoStream()

    async def stats(self) -> dict[str, Any]:
        return {}

    async def remove_volume(self, handle: str) -> None:
        return None

    async def page(self, path: str) -> str:
        if path != "/metrics":
            raise NotFound("the server could not find the requested resource")
        return "echo_total 1\n"
