"""Connections that no honest client keeps: smuggled requests, silence, answers left unread, thousands at rest."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from minikube_py.apiserver.authn.protocol import Authenticated, Credentials
from minikube_py.apiserver.http_connection import HEAD_SECONDS, IDLE_SECONDS, STALL_SECONDS
from minikube_py.apiserver.http_exchange import BODY_SECONDS
from minikube_py.apiserver.records import StoreReader
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.apiserver.server import ApiServer, ApiServerOptions
from minikube_py.client.protocol import Client
from minikube_py.resources.catalog import built_in_kinds
from minikube_py.resources.kind import GVR
from minikube_py.store.memory import MemoryStore
from tests.support.cluster import HttpsCluster
from tests.support.raw_http import RawConnection, chunked, raw_connection
from tests.support.virtual_time import running_loop, virtual_time

MAPS = "/api/v1/namespaces/default/configmaps"
CONFIG_MAPS = GVR("", "v1", "configmaps")
BODY = b'{"metadata":{"generateName":"a"},"data":{"x":"1"}}'
LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED = "Transfer-Encoding: chunked"
SMUGGLED = b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(autouse=True)
def no_tracebacks(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [r.getMessage() for r in caplog.get_records("call") if r.levelno >= logging.ERROR] == []


# --- requests inside requests ----------------------------------------------------------------------------------------

AMBIGUOUS = {
    "length and chunks": (("Content-Length: 4", CHUNKED), chunked([BODY])),
    "chunks and length": ((CHUNKED, "Content-Length: 4"), chunked([BODY])),
    "two lengths": (("Content-Length: 4", LENGTH), BODY),
    "the same length twice": ((LENGTH, LENGTH), BODY),
    "a list of lengths": ((f"{LENGTH}, {len(BODY)}",), BODY),
    "unknown coding": (("Transfer-Encoding: xchunked",), chunked([BODY])),
    "coding after chunked": (("Transfer-Encoding: chunked, identity",), chunked([BODY])),
    "chunked twice": ((CHUNKED, CHUNKED), chunked([BODY])),
    "a space before the colon": (("Transfer-Encoding : chunked",), chunked([BODY])),
    "a vertical tab": (("Transfer-Encoding:\x0bchunked",), chunked([BODY])),
    "a folded header": (("X: a\r\n b",), b""),
    "a header without colon": (("nonsense",), b""),
    "a header without name": ((": b",), b""),
    "a NUL": (("X: a\x00b",), b""),
    "a second Host": (("Host: evil.example",), b""),
    "a negative chunk": ((CHUNKED,), b"-5\r\nabc\r\n0\r\n\r\n"),
    "a chunk beyond 64 bits": ((CHUNKED,), b"f" * 20 + b"\r\nabc\r\n0\r\n\r\n"),
    "a chunk in C notation": ((CHUNKED,), b"0x5\r\nabcde\r\n0\r\n\r\n"),
    "chunks without CR": ((CHUNKED,), b"%x\n%b\n0\n\n" % (len(BODY), BODY)),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_what_could_be_read_in_two_ways_ends_the_connection(served: HttpsCluster, name: str) -> None:
    headers, body = AMBIGUOUS[name]
    async with asyncio.timeout(10), raw_connection(served) as connection:
        head = connection.head(f"POST {MAPS} HTTP/1.1", "Content-Type: application/json", *headers)
        await connection.send(head + body + SMUGGLED)
        reply = await connection.reply()
        assert reply.code == 400, reply
        assert reply.json["kind"] == "Status"
        assert await connection.is_closed()


@pytest.mark.parametrize(
    "start",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /version HTTP/3.7\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01" * 10 + b"\r\n\r\n",
        b"GET\r\n\r\n", b"\x00" * 100 + b"\r\n\r\n", b"GET /version HTTP/1.1\r\n\r\n",
    ],
    ids=ascii,
)  # fmt: skip
async def test_what_is_no_http_ends_the_connection(served: HttpsCluster, start: bytes) -> None:
    async with asyncio.timeout(10), raw_connection(served) as connection:
        await connection.send(start)
        assert (await connection.reply()).code == 400
        assert await connection.is_closed()


async def test_requests_one_after_the_other_are_answered_in_order(served: HttpsCluster) -> None:
    async with asyncio.timeout(10), raw_connection(served) as connection:
        gets = [connection.head(f"GET {path} HTTP/1.1") for path in ("/version", "/nowhere", "/api") * 20]
        await connection.send(b"".join(gets))
        codes = [(await connection.reply()).code for _ in gets]
        assert codes == [200, 404, 200] * 20


async def test_an_upgrade_that_is_not_taken_hides_nothing(served: HttpsCluster) -> None:
    async with asyncio.timeout(10), raw_connection(served) as connection:
        for protocol in ("websocket", "Websocket"):
            head = connection.head("GET /version HTTP/1.1", "Connection: Upgrade", f"Upgrade: {protocol}")
            await connection.send(head + connection.head("GET /nowhere HTTP/1.1"))
            assert (await connection.reply()).code == 200
            assert (await connection.reply()).code == 404


async def test_a_client_that_closes_its_half_leaves_nothing(served: HttpsCluster) -> None:
    hub = served.store._hub  # type: ignore[attr-defined]
    async with asyncio.timeout(10):
        for line in (f"GET {MAPS}?watch=1", f"POST {MAPS}"):
            async with raw_connection(served) as connection:
                await connection.send(connection.head(f"{line} HTTP/1.1", "Content-Length: 100"))
                connection.writer.transport.close()
        for _ in range(50):
            async with raw_connection(served) as connection:
                assert (await connection.ask("GET /version")).code == 200
            if "/configmaps" not in hub._subscriptions:
                return
    raise AssertionError("the watch goes on")


async def test_many_connections_that_do_nothing(served: HttpsCluster) -> None:
    async with AsyncExitStack() as stack, asyncio.timeout(60):
        for index in range(300):
            connection = await stack.enter_async_context(raw_connection(served))
            if index % 2:
                await connection.send(b"GET /ver")
        last = await stack.enter_async_context(raw_connection(served))
        assert (await last.ask("GET /version")).code == 200


# --- time ------------------------------------------------------------------------------------------------------------


class Everybody:
    async def authenticate(self, credentials: Credentials) -> Authenticated | None:
        return Authenticated(UserInfo(credentials.bearer_token or "somebody"))


class PlainServer:
    """A server without TLS and without rules, so that only time counts."""

    def __init__(self, api: ApiServer, port: int) -> None:
        self.client: Client = api.local_client(UserInfo("somebody"))
        self._port = port

    @asynccontextmanager
    async def connect(self, limit: int = 2**16) -> AsyncIterator[RawConnection]:
        # The client's socket takes little, so that what it leaves unread is the server's to keep.
        own = socket.socket()
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
        own.setblocking(False)
        await asyncio.get_running_loop().sock_connect(own, ("127.0.0.1", self._port))
        reader, writer = await asyncio.open_connection(sock=own, limit=limit)
        try:
            yield RawConnection(reader, writer, f"127.0.0.1:{self._port}", "somebody")
        finally:
            writer.transport.abort()


@asynccontextmanager
async def plain_server() -> AsyncIterator[PlainServer]:
    reader = StoreReader(MemoryStore(), built_in_kinds())
    api = ApiServer(ApiServerOptions(reader, authenticator=Everybody()))
    async with api.serve_https("127.0.0.1", 0, None) as port:
        server = PlainServer(api, port)
        await server.client.create(GVR("", "v1", "namespaces"), {"metadata": {"name": "default"}})
        yield server


async def elapsed(closing: RawConnection) -> float:
    start = running_loop().time()
    assert await closing.is_closed()
    return running_loop().time() - start


@virtual_time
async def test_a_connection_without_a_request_ends() -> None:
    async with plain_server() as server, server.connect() as silent, server.connect() as slow:
        await slow.send(b"GET /version HTTP/1.1\r\nHost: loc")
        assert HEAD_SECONDS - 1 < await elapsed(silent) < HEAD_SECONDS + 1
        assert await elapsed(slow) < 1


@virtual_time
async def test_a_head_that_never_ends_is_not_waited_for_behind_another() -> None:
    async with plain_server() as server, server.connect() as connection:
        assert (await connection.ask("GET /version")).code == 200
        await connection.send(b"GET /version HTTP/1.1\r\nX: ")
        assert await elapsed(connection) < IDLE_SECONDS + 1


@virtual_time
async def test_a_body_that_never_comes_is_a_timeout() -> None:
    async with plain_server() as server, server.connect() as connection:
        await connection.send(connection.head(f"POST {MAPS} HTTP/1.1", "Content-Length: 100") + b'{"meta')
        start = running_loop().time()
        reply = await connection.reply()
        assert (reply.code, reply.json["reason"]) == (504, "Timeout")
        assert BODY_SECONDS - 1 < running_loop().time() - start < BODY_SECONDS + 1
        assert await connection.is_closed()


async def fill(server: PlainServer, count: int) -> None:
    for index in range(count):
        body = {"metadata": {"name": f"m{index}", "namespace": "default"}, "data": {"x": "y" * 100_000}}
        await server.client.create(CONFIG_MAPS, body)


@virtual_time
async def test_a_list_that_nobody_reads_is_cut_off() -> None:
    async with plain_server() as server, server.connect() as slow, server.connect() as other:
        await fill(server, 600)
        await slow.send(slow.head(f"GET {MAPS} HTTP/1.1"))
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        assert (await other.ask(f"GET {MAPS}/m1")).code == 200
        await asyncio.sleep(STALL_SECONDS + 1)
        slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert await slow.is_cut()


@virtual_time
async def test_a_watch_that_nobody_reads_is_cut_off_and_hurts_no_other() -> None:
    async with plain_server() as server, server.connect() as slow, server.connect(2**20) as quick:
        line = f"GET {MAPS}?watch=1&resourceVersion=1 HTTP/1.1"
        for connection in (slow, quick):
            await connection.send(connection.head(line))
            await connection.reader.readuntil(b"\r\n\r\n")
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        reading = asyncio.create_task(count_lines(quick, 200))
        await fill(server, 200)
        assert await reading == 200
        await asyncio.sleep(STALL_SECONDS + 1)
        slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert await slow.is_cut()


async def count_lines(connection: RawConnection, wanted: int) -> int:
    received = bytearray()
    while received.count(b'"type":"ADDED"') < wanted:
        received += await connection.reader.read(2**20)
    return wanted


@virtual_time
async def test_a_watch_that_is_read_now_and_then_goes_on() -> None:
    async with plain_server() as server, server.connect(2**19) as connection:
        await connection.send(connection.head(f"GET {MAPS}?watch=1&resourceVersion=1 HTTP/1.1"))
        await fill(server, 100)
        received = b""
        while received.count(b'"type":"ADDED"') < 100:
            await asyncio.sleep(STALL_SECONDS / 4)
            data = await connection.reader.read(2**21)
            assert data, "cut off in spite of reading"
            received += data
