"""What a client may do with a connection: reuse, pipelining, slow and broken requests, leaving; on both event loops."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import orjson
import pytest

from minikube_py.apiserver.http import serve_https
from minikube_py.resources.kind import GVR
from tests.support.cluster import HttpsCluster

MAPS = "/api/v1/namespaces/default/configmaps"
_MAPS = GVR("", "v1", "configmaps")
BODY = b'{"metadata":{"name":"a"},"data":{"x":"y"}}'


@dataclass(frozen=True)
class Response:
    code: int
    headers: dict[str, str]
    body: bytes = b""


class Wire:
    """A bare connection without TLS."""

    def __init__(self, port: int, token: str) -> None:
        self.port, self.token = port, token

    async def open(self) -> "Wire":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**24)
        return self

    def head(self, method: str, path: str, *more: str, version: str = "1.1") -> bytes:
        lines = [f"{method} {path} HTTP/{version}", "Host: localhost", f"Authorization: Bearer {self.token}", *more]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def response(self, method: str = "GET") -> Response:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
        code = int(head[0].split()[1])
        if method == "HEAD" or code in (100, 101, 204, 304):
            return Response(code, headers)
        if headers.get("transfer-encoding") == "chunked":
            return Response(code, headers, await self.chunks())
        if "content-length" in headers:
            return Response(code, headers, await self.reader.readexactly(int(headers["content-length"])))
        return Response(code, headers, await self.reader.read())

    async def chunks(self) -> bytes:
        body = b""
        while True:
            size = int(await self.reader.readline(), 16)
            body += await self.reader.readexactly(size)
            assert await self.reader.readline() == b"\r\n"
            if not size:
                return body

    async def is_closed(self) -> bool:
        try:
            return await self.reader.read() == b""
        except ConnectionError:
            return True

    async def close(self) -> None:
        self.writer.close()


@pytest.fixture
async def wire(served: HttpsCluster) -> AsyncIterator[Wire]:
    async with serve_https(served.api.pipeline, "127.0.0.1", 0, None) as port:
        opened = await Wire(port, served.pki.admin_token).open()
        yield opened
        await opened.close()


async def test_a_connection_serves_request_after_request(wire: Wire) -> None:
    for _ in range(3):
        wire.send(wire.head("GET", "/version"))
        answer = await wire.response()
        assert (answer.code, "connection" in answer.headers) == (200, False)
        assert answer.headers["date"].endswith(" GMT")


async def test_pipelined_requests_are_answered_in_order(wire: Wire) -> None:
    post = wire.head("POST", MAPS, f"Content-Length: {len(BODY)}") + BODY
    wire.send(post + wire.head("GET", f"{MAPS}/a") + wire.head("DELETE", f"{MAPS}/a") + wire.head("GET", f"{MAPS}/a"))
    assert [(await wire.response()).code for _ in range(4)] == [201, 200, 200, 404]


async def test_a_request_may_come_byte_by_byte(wire: Wire) -> None:
    request = wire.head("POST", MAPS, "Transfer-Encoding: chunked", "X-Empty:")
    for start in range(0, len(BODY), 5):
        piece = BODY[start : start + 5]
        request += b"%x\r\n%b\r\n" % (len(piece), piece)
    for byte in request + b"0\r\nX-Trailer: 1\r\n\r\n":
        wire.send(bytes((byte,)))
        await asyncio.sleep(0)
    answer = await wire.response()
    assert (answer.code, orjson.loads(answer.body)["data"]) == (201, {"x": "y"})
    wire.send(wire.head("GET", f"{MAPS}/a"))
    assert (await wire.response()).code == 200


async def test_a_client_that_expects_100_waits_for_it(wire: Wire) -> None:
    expecting = ("Expect: 100-continue", f"Content-Length: {len(BODY)}")
    wire.send(wire.head("POST", MAPS, *expecting))
    assert (await wire.response()).code == 100
    wire.send(BODY)
    assert (await wire.response()).code == 201
    wire.send(wire.head("POST", "/api/v1/nowhere", *expecting))
    refused = await wire.response()
    assert (refused.code, refused.headers["connection"]) == (404, "close")


async def test_a_body_that_nobody_reads_is_passed_over(wire: Wire) -> None:
    size = 4 * 1024 * 1024
    wire.send(wire.head("POST", MAPS, f"Content-Length: {size}"))
    assert (await wire.response()).code == 413
    wire.send(b" " * size + wire.head("GET", "/version"))
    assert (await wire.response()).code == 200
    wire.send(wire.head("POST", "/api/v1/nowhere", "Connection: close", "Content-Length: 5"))
    assert (await wire.response()).code == 404
    wire.send(b"12345")
    assert await wire.is_closed()


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"GET /version HTTP/1.1\r\n\r\n", 400),
        (b"GET /version HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /version HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
        (b"GET /version HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n", 400),
        (b"GET /version HTTP/1.1\nHost: localhost\n\n", 400),
        (b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"NONSENSE\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"GET /version HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 140_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 200_000, 431),
        (b"GET /version HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 30_000, 431),
    ],
)
async def test_what_is_no_good_request_ends_the_connection(wire: Wire, request_: bytes, code: int) -> None:
    wire.send(wire.head("GET", "/version") + request_)
    assert (await wire.response()).code == 200
    answer = await wire.response()
    assert (answer.code, answer.headers["connection"]) == (code, "close")
    assert await wire.is_closed()


async def test_a_broken_body_ends_the_connection(wire: Wire) -> None:
    wire.send(wire.head("POST", MAPS, "Transfer-Encoding: chunked") + b"zz\r\n")
    assert (await wire.response()).code == 400
    assert await wire.is_closed()


async def test_old_clients_get_old_answers(wire: Wire) -> None:
    wire.send(wire.head("GET", "/version", "Connection: keep-alive", version="1.0"))
    assert (await wire.response()).headers["connection"] == "keep-alive"
    wire.send(wire.head("GET", f"{MAPS}?watch=1&timeoutSeconds=1&resourceVersion=1", version="1.0"))
    answer = await wire.response()
    assert (answer.code, "transfer-encoding" in answer.headers) == (200, False)


async def test_head_is_get_without_a_body(wire: Wire) -> None:
    wire.send(wire.head("HEAD", "/api/v1/namespaces/default") + wire.head("HEAD", "/api/v1/namespaces"))
    assert int((await wire.response("HEAD")).headers["content-length"]) > 100
    assert (await wire.response("HEAD")).code == 200
    wire.send(wire.head("GET", "/version"))
    assert (await wire.response()).code == 200


async def test_an_upgrade_that_does_not_come_changes_nothing(wire: Wire) -> None:
    asking = ("Connection: Upgrade", "Upgrade: h2c")
    with_body = wire.head("POST", MAPS, *asking, f"Content-Length: {len(BODY)}") + BODY
    wire.send(wire.head("GET", "/version", *asking) + with_body + wire.head("GET", f"{MAPS}/a"))
    assert [(await wire.response()).code for _ in range(3)] == [200, 201, 200]


async def until(holds: Callable[[], bool]) -> None:
    """Lets the server go on until it is so."""
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came about")


async def test_a_client_that_leaves_ends_its_watch(served: HttpsCluster, wire: Wire) -> None:
    wire.send(wire.head("GET", f"{MAPS}?watch=1"))
    await wire.reader.readuntil(b"\r\n\r\n")
    watches = served.api.context.counts.watch(_MAPS)
    assert watches.is_open == 1
    await wire.close()
    await until(lambda: not watches.is_open)


def lists_answered(served: HttpsCluster) -> int:
    counts = served.api.context.counts.requests.items()
    return sum(sum(d.counts) for labels, d in counts if (labels.verb, labels.resource) == ("LIST", "configmaps"))


async def test_a_client_that_does_not_read_is_waited_for(served: HttpsCluster, wire: Wire) -> None:
    for index in range(40):
        await served.client().create(
            _MAPS, {"metadata": {"name": f"m{index}", "namespace": "default"}, "data": {"x": "y" * 500_000}}
        )
    wire.send(wire.head("GET", MAPS) * 20)
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
    begun = served.api.context.counts.inflight
    await until(lambda: lists_answered(served) > 0)
    await asyncio.sleep(0.2)
    assert (lists_answered(served), begun["readOnly"]) == (1, 0)
    wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
    for _ in range(20):
        assert len(orjson.loads((await wire.response()).body)["items"]) == 40
