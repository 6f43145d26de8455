"""A node's calls over a tunnel: what goes in at one end comes out at the other, and a slow reader holds up nobody."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from minikube_py.client.node_connection import (
    ByteStream,
    Chunk,
    ContainerAddress,
    ExecResult,
    LogRequest,
    StreamRequest,
    StreamSession,
)
from minikube_py.client.tunnel import WINDOW, Tunnel
from minikube_py.client.tunnel_calls import MAX_ANSWER_BYTES, NodeCalls, TunnelNode, running_tunnel
from minikube_py.objects.errors import InternalError, NotFound, ServiceUnavailable

TARGET = ContainerAddress("default", "web", "uid-1", "app")


class QueueChannel:
    def __init__(self, inbox: "asyncio.Queue[bytes | None]", outbox: "asyncio.Queue[bytes | None]") -> None:
        self.inbox, self.outbox = inbox, outbox

    async def send(self, message: bytes) -> None:
        await self.outbox.put(message)

    async def receive(self) -> bytes | None:
        return await self.inbox.get()


class EchoSession:
    """Gives back what it is sent, in capitals; ends with its input, with the exit code 3."""

    def __init__(self) -> None:
        self.chunks: asyncio.Queue[Chunk | None] = asyncio.Queue()
        self.size = (0, 0)
        self.is_closed = asyncio.Event()

    async def receive(self) -> Chunk | None:
        return await self.chunks.get()

    async def send(self, data: bytes) -> None:
        await self.chunks.put(Chunk(1, data.upper()))

    async def close_stdin(self) -> None:
        await self.chunks.put(Chunk(2, b"bye %d %d" % self.size))
        await self.chunks.put(None)

    async def resize(self, width: int, height: int) -> None:
        self.size = (width, height)

    async def result(self) -> ExecResult:
        return ExecResult(3)

    async def close(self) -> None:
        self.is_closed.set()


class EchoBytes:
    def __init__(self) -> None:
        self.data: asyncio.Queue[bytes] = asyncio.Queue()

    async def receive(self) -> bytes:
        return await self.data.get()

    async def send(self, data: bytes) -> None:
        await self.data.put(data[::-1])

    async def close(self) -> None:
        await self.data.put(b"")


class Node:
    def __init__(self) -> None:
        self.session = EchoSession()
        self.log_parts = [b"one\n", b"two\n"]
        self.has_stopped = asyncio.Event()

    async def logs(self, request: LogRequest) -> AsyncIterator[bytes]:
        try:
            for part in self.log_parts:
                yield part
            if request.follow:
                await asyncio.Event().wait()
        finally:
            self.has_stopped.set()

    async def open_stream(self, request: StreamRequest) -> StreamSession:
        if request.target.pod_uid != "uid-1":
            raise NotFound.of("", "pods", request.target.pod)
        assert request.command == ("cat", "-")
        return self.session

    async def dial(self, pod_uid: str, port: int) -> ByteStream:
        assert (pod_uid, port) == ("uid-1", 80)
        return EchoBytes()

    async def page(self, path: str) -> str:
        return f"# {path}\n" * 1000

    async def stats(self) -> dict[str, Any]:
        return {"node": {"nodeName": "n"}}


@contextlib.asynccontextmanager
async def connected(node: Node) -> AsyncIterator[tuple[TunnelNode, QueueChannel]]:
    to_node: asyncio.Queue[bytes | None] = asyncio.Queue()
    to_server: asyncio.Queue[bytes | None] = asyncio.Queue()
    server = Tunnel(QueueChannel(to_server, to_node))
    agent = Tunnel(QueueChannel(to_node, to_server), NodeCalls(node).answer)
    async with running_tunnel(server), running_tunnel(agent), asyncio.timeout(10):
        yield TunnelNode(server), QueueChannel(to_server, to_node)


async def test_logs_arrive_in_order_and_end() -> None:
    async with connected(Node()) as (node, _):
        assert [part async for part in node.logs(LogRequest(TARGET))] == [b"one\n", b"two\n"]


async def test_leaving_a_followed_log_stops_it_on_the_node() -> None:
    there = Node()
    async with connected(there) as (node, _):
        log = node.logs(LogRequest(TARGET, follow=True))
        assert await anext(log) == b"one\n"
        await log.aclose()
        await there.has_stopped.wait()


async def test_exec_carries_input_sizes_output_and_exit_code() -> None:
    there = Node()
    async with connected(there) as (node, _):
        session = await node.open_stream(StreamRequest(TARGET, ("cat", "-"), stdin=True))
        await session.send(b"hello")
        assert await session.receive() == Chunk(1, b"HELLO")
        await session.resize(80, 24)
        await session.close_stdin()
        assert await session.receive() == Chunk(2, b"bye 80 24")
        assert await session.receive() is None
        assert await session.result() == ExecResult(3)
        await there.session.is_closed.wait()


async def test_a_refused_exec_is_the_nodes_own_error() -> None:
    async with connected(Node()) as (node, _):
        with pytest.raises(NotFound, match='pods "web" not found'):
            await node.open_stream(StreamRequest(ContainerAddress("default", "web", "other", "app"), ("cat", "-")))


async def test_closing_an_exec_ends_it_on_the_node() -> None:
    there = Node()
    async with connected(there) as (node, _):
        session = await node.open_stream(StreamRequest(TARGET, ("cat", "-"), stdin=True))
        await session.close()
        await there.session.is_closed.wait()


async def test_a_forwarded_connection_carries_bytes_both_ways() -> None:
    async with connected(Node()) as (node, _):
        stream = await node.dial("uid-1", 80)
        await stream.send(b"abc")
        assert await stream.receive() == b"cba"
        await stream.close()


async def test_a_slow_reader_holds_up_nobody_else() -> None:
    there = Node()
    there.log_parts = [b"x" * WINDOW] * 4
    async with connected(there) as (node, channel):
        slow = node.logs(LogRequest(TARGET))
        first = await anext(slow)
        assert await node.stats() == {"node": {"nodeName": "n"}}
        assert await node.page("/metrics/probes") == "# /metrics/probes\n" * 1000
        with pytest.raises(InternalError, match="longer than"):
            await node.page("/" + "x" * (MAX_ANSWER_BYTES // 1000 + 1))
        assert channel.inbox.qsize() * len(first) <= 2 * WINDOW
        assert len(first) + sum([len(part) async for part in slow]) == 4 * WINDOW


async def test_the_end_of_the_connection_ends_every_call() -> None:
    async with connected(Node()) as (node, channel):
        log = node.logs(LogRequest(TARGET, follow=True))
        await anext(log)
        await anext(log)
        await channel.inbox.put(None)
        with pytest.raises(ServiceUnavailable):
            await anext(log)
        with pytest.raises(ServiceUnavailable):
            await node.stats()
