"""Passes HTTP requests on to a backend over any byte stream, with or without TLS, and its answers back.

Written for streams that end in a pod's network namespace, which no HTTP client library can be given.
Source: RFC 9112 (message framing), apimachinery pkg/util/proxy (which headers are passed on).
"""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from minikube_py.apiserver.call import ByteChannel
from minikube_py.apiserver.messages import WEBSOCKET_TOKEN
from minikube_py.client.node_connection import ByteStream
from minikube_py.objects.errors import Forbidden, ServiceUnavailable

_MAX_HEAD_BYTES = 128 * 1024
_MAX_LINE_BYTES = 16 * 1024
_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
     "transfer-encoding", "upgrade")
)  # fmt: skip
_OWN = frozenset(("host", "authorization", "content-length"))
_IDENTITY = ("impersonate-", "x-remote-")
_NO_BODY = frozenset((204, 304))


@dataclass
class ProxiedRequest:
    """target is the path and query for the request line; upgrade is the protocol asked for, or ''."""

    method: str
    target: str
    host: str
    headers: Mapping[str, str]
    body: AsyncIterator[bytes]
    content_length: int | None = None
    has_body: bool = False
    upgrade: str = ""
    keeps_open: bool = False
    more_headers: Sequence[tuple[str, str]] = ()
    """Headers of this server's own; a name may stand several times."""


async def no_body() -> AsyncIterator[bytes]:
    """The body of a request without one."""
    chunks: tuple[bytes, ...] = ()
    for chunk in chunks:
        yield chunk


@dataclass
class ProxiedResponse:
    """The head of an answer. Headers that concern only one connection are gone; repeated ones are joined."""

    code: int
    headers: dict[str, str] = field(default_factory=dict)
    upgrade: str = ""


class BackendConnection:
    """One HTTP/1.1 exchange over one stream."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._buffer = b""
        self._framing: tuple[str, int] = ("none", 0)
        self._is_last = False

    async def request(self, request: ProxiedRequest) -> ProxiedResponse:
        """Sends it and reads the answer's head. Raises ServiceUnavailable."""
        sending = asyncio.ensure_future(self._send(request))
        try:
            response = await self._read_head(request.method)
            while 100 <= response.code < 200 and response.code != 101:
                response = await self._read_head(request.method)
        except (ValueError, IndexError) as error:
            raise ServiceUnavailable(f"error trying to reach service: malformed HTTP response: {error}") from None
        finally:
            if not sending.done():
                sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return response

    async def _send(self, request: ProxiedRequest) -> None:
        headers = dict(_passed_on(request.headers))
        headers["Host"] = request.host
        if request.upgrade:
            headers |= {"Connection": "Upgrade", "Upgrade": request.upgrade}
        elif not request.keeps_open:
            headers["Connection"] = "close"
        is_chunked = request.has_body and request.content_length is None
        if is_chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif request.content_length is not None:
            headers["Content-Length"] = str(request.content_length)
        pairs = (*headers.items(), *request.more_headers)
        lines = [f"{request.method} {request.target} HTTP/1.1", *(f"{name}: {value}" for name, value in pairs)]
        await self._stream.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace"))
        if not request.has_body:
            return
        async for chunk in request.body:
            if chunk:
                await self._stream.send(b"%x\r\n%b\r\n" % (len(chunk), chunk) if is_chunked else chunk)
        if is_chunked:
            await self._stream.send(b"0\r\n\r\n")

    # -- reading

    async def _read_head(self, method: str) -> ProxiedResponse:
        status = await self._line()
        version, _, rest = status.partition(" ")
        if not version.startswith("HTTP/1"):
            raise ValueError(status[:80])
        response = ProxiedResponse(int(rest[:3]))
        raw: dict[str, str] = {}
        size = 0
        while line := await self._line():
            size += len(line)
            if size > _MAX_HEAD_BYTES:
                raise ValueError("the headers are too large")
            name, _, value = line.partition(":")
            key, value = name.strip(), value.strip()
            lower = key.lower()
            raw[lower] = f"{raw[lower]}, {value}" if lower in raw else value
            if lower not in _HOP_BY_HOP:
                response.headers[key] = value
        response.upgrade = raw.get("upgrade", "") if response.code == 101 else ""
        self._framing = _framing(method, response.code, raw)
        self._is_last = version != "HTTP/1.1" or "close" in raw.get("connection", "").lower()
        return response

    @property
    def is_reusable(self) -> bool:
        """Whether another request may follow, once the answer has been read to its end."""
        return not self._is_last and self._framing[0] != "end" and not self._buffer

    async def body(self) -> AsyncIterator[bytes]:
        """The answer's body, to its end."""
        kind, length = self._framing
        if kind == "chunked":
            async for chunk in self._chunks():
                yield chunk
        elif kind == "length":
            while length > 0 and (data := await self.receive()):
                yield data[:length]
                length -= len(data)
        elif kind == "end":
            while data := await self.receive():
                yield data

    async def _chunks(self) -> AsyncIterator[bytes]:
        while True:
            size = int((await self._line()).partition(";")[0], 16)
            if size == 0:
                while await self._line():
                    pass
                return
            while size > 0:
                data = await self.receive()
                if not data:
                    raise ConnectionResetError("the backend ended in the middle of a chunk")
                self._buffer = data[size:] + self._buffer
                yield data[:size]
                size -= len(data[:size])
            await self._line()

    async def _line(self) -> str:
        while b"\n" not in self._buffer:
            if len(self._buffer) > _MAX_LINE_BYTES:
                raise ValueError("a line is too long")
            data = await self._stream.receive()
            if not data:
                raise ServiceUnavailable("error trying to reach service: EOF")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.rstrip(b"\r").decode("latin-1")

    async def receive(self) -> bytes:
        """What is buffered, or what comes next; b'' at the end."""
        if self._buffer:
            data, self._buffer = self._buffer, b""
            return data
        return await self._stream.receive()

    async def send(self, data: bytes) -> None:
        await self._stream.send(data)

    async def close(self) -> None:
        await self._stream.close()


async def pump(client: ByteChannel, backend: BackendConnection) -> None:
    """Bytes both ways until one side ends."""

    async def upstream() -> None:
        while data := await client.receive():
            await backend.send(data)

    async def downstream() -> None:
        while data := await backend.receive():
            await client.send(data)

    tasks = [asyncio.ensure_future(upstream()), asyncio.ensure_future(downstream())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.close()


def _passed_on(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What a backend gets of a client's headers: nothing that says who the client is to us, in any form."""
    for name, value in headers.items():
        lower = name.lower()
        if lower in _HOP_BY_HOP or lower in _OWN or lower.startswith(_IDENTITY):
            continue
        if lower == "sec-websocket-protocol":
            protocols = (protocol.strip() for protocol in value.split(","))
            value = ", ".join(protocol for protocol in protocols if not protocol.startswith(WEBSOCKET_TOKEN))
            if not value:
                continue
        yield name, value


def _framing(method: str, code: int, raw: Mapping[str, str]) -> tuple[str, int]:
    if method == "HEAD" or code in _NO_BODY or code < 200:
        return "none", 0
    if "chunked" in raw.get("transfer-encoding", "").lower():
        return "chunked", 0
    if "content-length" in raw:
        return "length", int(raw["content-length"].partition(",")[0])
    return "end", 0


# --- streams ---------------------------------------------------------------------------------------------------------


class SocketStream:
    """A TCP connection as a ByteStream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def receive(self) -> bytes:
        return await self._reader.read(65536)

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()

    @property
    def is_over(self) -> bool:
        """Whether the other side has closed it."""
        return self._reader.at_eof() or self._writer.is_closing()


async def dial_address(address: str, port: int) -> ByteStream:
    """Connects to an address that a user of the cluster chose, and so never to this machine or its neighbours."""
    ip = ipaddress.ip_address(address)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast:
        raise Forbidden("address not allowed", details={})
    try:
        async with asyncio.timeout(30):
            return SocketStream(*await asyncio.open_connection(address, port))
    except (OSError, TimeoutError) as error:
        raise ServiceUnavailable(f"error trying to reach service: {error}") from None


class TlsStream:
    """TLS over a ByteStream. Without a context the certificate is not checked: nobody signs those of pods."""

    def __init__(self, stream: ByteStream, server_name: str, context: ssl.SSLContext | None = None) -> None:
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        self._stream = stream
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name or None)

    async def handshake(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
                await self._flush()
                return
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._feed():
                    raise ServiceUnavailable("error trying to reach service: EOF") from None
            except ssl.SSLCertVerificationError as error:
                await self._flush()  # the alert that tells the other side
                why = f"tls: failed to verify certificate: x509: {error.verify_message}"
                raise ServiceUnavailable(f"error trying to reach service: {why}") from None
            except ssl.SSLError as error:
                raise ServiceUnavailable(f"error trying to reach service: tls: {error.reason}") from None

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._stream.send(self._outgoing.read())

    async def _feed(self) -> bool:
        data = await self._stream.receive()
        if not data:
            self._incoming.write_eof()
            return False
        self._incoming.write(data)
        return True

    async def receive(self) -> bytes:
        while True:
            try:
                return self._tls.read(65536)
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._feed():
                    return b""
            except ssl.SSLError:
                return b""

    async def send(self, data: bytes) -> None:
        self._tls.write(data)
        await self._flush()

    async def close(self) -> None:
        await self._stream.close()
