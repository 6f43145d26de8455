"""Holds one HTTP request and writes its answer, as `call.Exchange`: the body in, a stream or an upgrade out."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from multidict import CIMultiDict

from minikube_py.apiserver.call import ByteChannel, MessageChannel, ResponseStream
from minikube_py.apiserver.long_work import joined
from minikube_py.apiserver.response_heads import head, header_text
from minikube_py.apiserver.taken_connection import TakenConnection
from minikube_py.objects.errors import BadRequest, RequestTooLarge, Timeout, UnsupportedMediaType

if TYPE_CHECKING:
    from minikube_py.apiserver.http_connection import HttpConnection

MAX_BODY_BYTES = 3 * 1024 * 1024
BODY_SECONDS = 60.0
"""How long a client may take to send its body: kube-apiserver's request timeout."""

_SLICE_BYTES = 64 * 1024
_MAX_WAITING_BYTES = 256 * 1024
_NO_BODY = frozenset((204, 304))
_FRAMING = ("transfer-encoding", "content-length")


class HttpExchange:
    """One request on a connection. Header names in `fields` are in lower case, the first value of each."""

    def __init__(
        self,
        connection: "HttpConnection",
        method: str,
        target: str,
        raw_headers: list[tuple[bytes, bytes]],
        fields: Mapping[str, str],
    ) -> None:
        self.connection = connection
        self.method = method
        self.target = target
        self.path, _, self.raw_query = target.partition("?")
        self.raw_headers = raw_headers
        self.fields = fields
        self.is_kept_alive = True
        self.is_http_10 = False
        self.wants_upgrade = False
        self.refusal = b""
        self.is_started = False
        self.is_taken = False
        self._stream: HttpStream | None = None
        # The body
        self.is_complete = False
        self._chunks: list[bytes] = []
        self.waiting_bytes = 0
        self._is_discarded = False
        self._waiter: asyncio.Future[None] | None = None
        self._must_continue = fields.get("expect", "").lower() == "100-continue"

    # -- the request

    @property
    def headers(self) -> "CIMultiDict[str]":
        return CIMultiDict([(_text(name), _text(value)) for name, value in self.raw_headers])

    def peer_address(self) -> str:
        return self.connection.peer_address

    def header_values(self, name: str) -> list[str]:
        return self.headers.getall(name, [])

    def query_values(self, name: str) -> list[str]:
        return [value for key, value in parse_qsl(self.raw_query, keep_blank_values=True) if key == name]

    async def read_body(self) -> bytes:
        if int(self.fields.get("content-length") or 0) > MAX_BODY_BYTES:
            raise too_large()
        coding = self.fields.get("content-encoding", "identity")
        if coding.lower() != "identity":
            raise UnsupportedMediaType(f"the body's content encoding {coding[:40]} is not supported", details={})
        if not self.is_complete:
            await self._read_to_end()
        chunks, self._chunks = self._chunks, []
        body = await joined(chunks)
        self._take()
        if len(body) > MAX_BODY_BYTES:
            raise too_large()
        return body

    async def _read_to_end(self) -> None:
        taken: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    size += self.waiting_bytes
                    if size > MAX_BODY_BYTES:
                        raise too_large()
                    taken.append(self._take())
                    if self.is_complete:
                        break
                    await self._wait()
        except TimeoutError:
            raise Timeout("the body of the request did not come in time", details={}) from None
        self._chunks = taken

    async def body_chunks(self) -> AsyncIterator[bytes]:
        while True:
            if self._chunks:
                yield self._take()
            elif self.is_complete:
                return
            else:
                await self._wait()

    def _take(self) -> bytes:
        chunks, self._chunks = self._chunks, []
        if self.waiting_bytes:
            self.waiting_bytes = 0
            self.connection.read_on()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def _wait(self) -> None:
        """Until more of the body is here, or its end."""
        if self._must_continue:
            self._must_continue = False
            self.connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    # -- what the connection hands over

    @property
    def has_body(self) -> bool:
        return "transfer-encoding" in self.fields or self.fields.get("content-length", "0").strip("0") != ""

    @property
    def framing(self) -> bytes:
        """The header line that says how long the body is."""
        lines = [header_text(name, self.fields[name]) for name in _FRAMING if name in self.fields]
        return "".join(f"{line}\r\n" for line in lines).encode()

    @property
    def is_full(self) -> bool:
        """Whether more of the body is here than may wait for a handler."""
        return self.waiting_bytes > _MAX_WAITING_BYTES

    def feed(self, data: bytes) -> None:
        self._must_continue = False
        if self._is_discarded:
            return
        self._chunks.append(data)
        self.waiting_bytes += len(data)
        self._wake()

    def feed_end(self) -> None:
        self.is_complete = True
        self._must_continue = False
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def discard_body(self) -> None:
        """The answer is out: what is still to come of the body is of no use."""
        self._is_discarded = True
        self._chunks.clear()
        self.waiting_bytes = 0

    @property
    def must_close(self) -> bool:
        """Whether the connection ends with this answer. Without 100 Continue nobody knows if a body follows."""
        return not self.is_kept_alive or self._must_continue

    # -- the answer

    @property
    def needs_more_than_plain(self) -> bool:
        """Whether the answer's head says something about the connection, or comes alone."""
        return self.must_close or self.is_http_10 or self.method == "HEAD"

    async def start(self, code: int, headers: Mapping[str, str]) -> ResponseStream:
        self.connection.may_stall = True  # people may leave a log alone for as long as they like
        return self.begin(code, list(headers.items()))

    def begin(self, code: int, headers: list[tuple[str, str]], first: bytes = b"") -> "HttpStream":
        """Writes a head, with the first piece of the body if there is one."""
        has_length = any(name.lower() == "content-length" for name, _ in headers)
        has_body = self.method != "HEAD" and code not in _NO_BODY and code >= 200
        is_chunked = has_body and not has_length and not self.is_http_10
        if has_body and not has_length and not is_chunked:
            self.is_kept_alive = False
        if is_chunked:
            headers = [*headers, ("Transfer-Encoding", "chunked")]
        if self.must_close or self.is_http_10:
            headers = [*headers, ("Connection", "close" if self.must_close else "keep-alive")]
        self.is_started = True
        self._stream = HttpStream(self, has_body=has_body, is_chunked=is_chunked)
        self.connection.write(head(code, headers) + self._stream.framed(first))
        return self._stream

    async def end(self) -> None:
        """Ends an answer that was begun, whoever began it."""
        if self._stream is not None:
            await self._stream.finish()

    async def websocket(self, protocols: tuple[str, ...]) -> MessageChannel:
        raise BadRequest("unable to upgrade: the request does not ask for a websocket")

    async def upgrade(self, protocol: str, headers: Mapping[str, str]) -> ByteChannel:
        if not self.wants_upgrade:
            raise BadRequest("unable to upgrade: the request does not ask for it")
        lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", header_text("Upgrade", protocol)]
        lines += [header_text(name, value) for name, value in headers.items()]
        self.is_started = self.is_taken = True
        transport, received = self.connection.give_up()
        channel = TakenConnection(transport, received)
        transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        return channel


class HttpStream:
    """The body of an answer in pieces."""

    def __init__(self, exchange: HttpExchange, *, has_body: bool, is_chunked: bool) -> None:
        self._connection = exchange.connection
        self._has_body = has_body
        self._is_chunked = is_chunked
        self._is_finished = False

    def framed(self, data: bytes) -> bytes:
        if not data or not self._has_body:
            return b""
        return b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data

    async def write(self, data: bytes) -> None:
        """Raises ConnectionResetError once the client is gone.

        In slices, so that a slow client holds little memory, and is seen to read although it is slow.
        """
        connection, framed = self._connection, self.framed(data)
        for start in range(_SLICE_BYTES, len(framed), _SLICE_BYTES):
            connection.write(framed[start - _SLICE_BYTES : start])
            await connection.until_writable()
        connection.write(framed[(len(framed) - 1) // _SLICE_BYTES * _SLICE_BYTES :] if framed else b"")
        await connection.until_writable()

    async def finish(self) -> None:
        if self._is_finished:
            return
        self._is_finished = True
        if self._is_chunked:
            self._connection.write(b"0\r\n\r\n")
        await self._connection.until_writable()


def first_values(raw_query: str) -> dict[str, str]:
    """Where a parameter stands twice the first one counts, as in Kubernetes."""
    return dict(reversed(parse_qsl(raw_query, keep_blank_values=True)))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def too_large() -> RequestTooLarge:
    return RequestTooLarge(f"Request entity too large: limit is {MAX_BODY_BYTES}", details={})
