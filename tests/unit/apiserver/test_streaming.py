"""SPDY frames, and HTTP passed on to a backend: framing, redirects, TLS-free upgrades, and what is never passed on."""

import asyncio
import struct
import zlib
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from minikube_py.apiserver.streaming.proxied_http import SocketStream, dial_address
from minikube_py.apiserver.streaming.spdy import DICTIONARY, SpdyConnection
from minikube_py.client.node_connection import ByteStream
from minikube_py.client.protocol import WriteOptions
from minikube_py.objects.errors import Forbidden
from minikube_py.resources.kind import GVR
from tests.support.cluster import HttpsCluster
from tests.support.http_calls import HttpCalls

PODS = GVR("", "v1", "pods")
POD_PROXY = "/api/v1/namespaces/default/pods/p:8080/proxy"


# --- SPDY ------------------------------------------------------------------------------------------------------------


class Wire:
    """Bytes that a client has sent, and what the server answers."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self.sent = bytearray()

    async def receive(self) -> bytes:
        return await self.incoming.get()

    async def send(self, data: bytes) -> None:
        self.sent += data

    async def close(self) -> None:
        return None


class SpdyClient:
    """Writes frames as moby/spdystream does."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def open(self, number: int, headers: dict[str, str], flags: int = 0) -> bytes:
        raw = struct.pack(">I", len(headers))
        for text in (part for pair in headers.items() for part in pair):
            raw += struct.pack(">I", len(text)) + text.encode()
        block = self._deflate.compress(raw) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        body = struct.pack(">IIH", number, 0, 0) + block
        return struct.pack(">HHI", 0x8003, 1, flags << 24 | len(body)) + body

    @staticmethod
    def data(number: int, data: bytes, flags: int = 0) -> bytes:
        return struct.pack(">II", number, flags << 24 | len(data)) + data


async def test_streams_open_carry_data_and_end() -> None:
    wire, client = Wire(), SpdyClient()
    connection = SpdyConnection(wire)
    reader = asyncio.ensure_future(connection.run())
    text = client.open(1, {"Streamtype": "data", "port": "80"}) + client.data(1, b"hello") + client.data(1, b"", 1)
    for byte in text:
        wire.incoming.put_nowait(bytes((byte,)))
    stream = await connection.accept()
    assert stream is not None
    assert stream.headers == {"streamtype": "data", "port": "80"}
    assert await stream.receive() == b"hello"
    assert await stream.receive() == b""
    await stream.send(b"answer")
    await stream.close()
    assert bytes(wire.sent).endswith(client.data(1, b"answer") + client.data(1, b"", 1))
    wire.incoming.put_nowait(struct.pack(">HHII", 0x8003, 6, 4, 77))
    wire.incoming.put_nowait(b"")
    await reader
    assert bytes(wire.sent).endswith(struct.pack(">HHII", 0x8003, 6, 4, 77))
    assert await connection.accept() is None


async def test_header_blocks_share_one_compressor() -> None:
    wire, client = Wire(), SpdyClient()
    connection = SpdyConnection(wire)
    for number in (1, 3, 5):
        wire.incoming.put_nowait(client.open(number, {"streamType": f"kind{number}"}))
    wire.incoming.put_nowait(b"")
    await connection.run()
    kinds = [stream.type for _ in range(3) if (stream := await connection.accept()) is not None]
    assert kinds == ["kind1", "kind3", "kind5"]


# --- proxy -----------------------------------------------------------------------------------------------------------

Answer = Callable[[bytes], bytes]
TOKEN_PROTOCOL = "base64url.bearer.authorization.k8s.io."


@asynccontextmanager
async def backend(answer: Answer) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that reads one request head and sends what `answer` makes of it."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer(heads[-1]))
        if b"Upgrade" in heads[-1]:
            writer.write((await reader.read(100)).upper())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heads


@pytest.fixture
async def pod(served: HttpsCluster) -> None:
    client = served.client()
    body = {"metadata": {"name": "p", "namespace": "default"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    await client.create(PODS, body)
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
    await client.create(PODS, binding, "default", name="p", options=WriteOptions(subresource="binding"))


class DialingNode:
    """A node whose every port is one local port."""

    def __init__(self, port: int) -> None:
        self.port = port

    def find(self, node_name: str) -> "DialingNode":
        return self

    async def dial(self, pod_uid: str, port: int) -> ByteStream:
        return SocketStream(*await asyncio.open_connection("127.0.0.1", self.port))


def reach(http: HttpCalls, port: int) -> None:
    http.cluster.api.context.nodes = DialingNode(port)  # type: ignore[assignment]


@pytest.mark.usefixtures("pod")
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Own: 1\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Own: 1\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nX-Own: 1\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-Own: 1\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
async def test_a_request_is_passed_on_and_its_answer_back(http: HttpCalls, answer: bytes) -> None:
    async with backend(lambda _head: answer) as (port, heads):
        reach(http, port)
        reply = await http("GET", f"{POD_PROXY}/a%20b/c?x=1&y=2", headers={"X-Mine": "z"})
    assert (reply.code, reply.body, reply.headers["X-Own"]) == (200, b"hello", "1")
    head = heads[0].decode()
    assert head.startswith("GET /a%20b/c?x=1&y=2 HTTP/1.1\r\n")
    assert "X-Mine: z\r\n" in head
    assert "authorization" not in head.lower()


@pytest.mark.usefixtures("pod")
async def test_codes_redirects_and_missing_slashes(http: HttpCalls) -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n"
    async with backend(lambda _head: answer) as (port, _):
        reach(http, port)
        reply = await http("GET", POD_PROXY + "/")
        assert (reply.code, reply.headers["Location"]) == (302, POD_PROXY + "/login")
        bare = await http("GET", POD_PROXY + "?q=1")
        assert (bare.code, bare.headers["Location"]) == (301, POD_PROXY + "/?q=1")


@pytest.mark.usefixtures("pod")
async def test_upgrades_become_raw_connections(http: HttpCalls) -> None:
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    async with backend(lambda _head: answer) as (port, heads):
        reach(http, port)
        context = http.session.connector._ssl  # type: ignore[union-attr]
        reader, writer = await asyncio.open_connection("127.0.0.1", http.cluster.port, ssl=context)
        token = http.cluster.pki.admin_token
        lines = [
            f"GET {POD_PROXY}/ws HTTP/1.1", "Host: localhost", "X-Remote-User: somebody",
            f"Sec-WebSocket-Protocol: {TOKEN_PROTOCOL}{urlsafe_b64encode(token.encode()).decode().rstrip('=')}, mine",
            "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", "",
        ]  # fmt: skip
        writer.write("\r\n".join(lines).encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        writer.write(b"raw bytes")
        assert await reader.readexactly(9) == b"RAW BYTES"
        writer.close()
        await writer.wait_closed()
    assert b"Upgrade: websocket" in heads[0]
    assert b"sec-websocket-protocol: mine\r\n" in heads[0].lower()
    assert b"x-remote-user" not in heads[0].lower()


@pytest.mark.usefixtures("pod")
async def test_what_can_not_be_reached(http: HttpCalls) -> None:
    missing = await http("GET", "/api/v1/namespaces/default/pods/none/proxy/")
    assert missing.code == 404
    async with backend(lambda _head: b"nonsense\r\n\r\n") as (port, _):
        reach(http, port)
        garbage = await http("GET", POD_PROXY + "/")
    assert (garbage.code, garbage.json["reason"]) == (503, "ServiceUnavailable")
    closed = await http("GET", POD_PROXY + "/")
    assert closed.code == 503
    nobody = await http("GET", "/api/v1/namespaces/default/services/kubernetes:https/proxy/")
    assert nobody.message == 'no endpoints available for service "kubernetes"'
    strange = await http("GET", "/api/v1/namespaces/default/services/kubernetes:none/proxy/")
    assert strange.message == 'no service port "none" found for service "kubernetes"'


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "fe80::1", "0.0.0.0", "::ffff:127.0.0.1"])
async def test_addresses_of_this_machine_are_never_dialled(address: str) -> None:
    with pytest.raises(Forbidden, match="address not allowed"):
        await dial_address(address, 80)
