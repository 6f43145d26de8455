"""Listens for HTTPS: turns aiohttp's requests into the pipeline's and writes its replies; nothing is decided here."""

import asyncio
import logging
import ssl
from asyncio import sslproto
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import islice
from urllib.parse import parse_qsl, unquote

from aiohttp import WSMsgType, web
from aiohttp.web_request import BaseRequest
from multidict import CIMultiDict

from minikube_py.apiserver.call import ByteChannel, MessageChannel, ResponseStream
from minikube_py.apiserver.connections import ApiConnection, ApiConnections
from minikube_py.apiserver.messages import HttpRequest, Reply, Taken
from minikube_py.apiserver.pipeline import Pipeline, run
from minikube_py.objects.errors import BadRequest, RequestTooLarge, Timeout, UnsupportedMediaType

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 3 * 1024 * 1024
BODY_SECONDS = 60.0
"""How long a client may take to send its body: kube-apiserver's request timeout."""
_WARNING_CHARACTERS, _WARNING_ITEM_CHARACTERS = 4096, 256
COMPRESS_BYTES = 128 * 1024
# asyncio keeps a receive buffer of this size for each TLS connection; its default of 256 KB adds up.
_TLS_BUFFER_BYTES = 32 * 1024
_WEBSOCKET_MESSAGE_BYTES = 32 * 1024 * 1024


class HttpExchange:
    """The aiohttp side of one request, as `call.Exchange`."""

    def __init__(self, request: BaseRequest, raw_query: str) -> None:
        self._request = request
        self.method = request.method
        self.headers: Mapping[str, str] = request.headers
        self.raw_query = raw_query
        self.response: web.StreamResponse | None = None

    def peer_address(self) -> str:
        transport = self._request.transport
        peer = transport.get_extra_info("peername") if transport is not None else None
        return str(peer[0]) if isinstance(peer, tuple) else ""

    async def read_body(self) -> bytes:
        length = self._request.content_length
        if length is not None and length > MAX_BODY_BYTES:
            raise _too_large()
        coding = self.headers.get("Content-Encoding", "identity")
        if coding.lower() != "identity":
            raise UnsupportedMediaType(f"the body's content encoding {coding[:40]} is not supported", details={})
        if not self._request.body_exists:
            return b""
        if self.headers.get("Expect", "").lower() == "100-continue":
            await self._request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._request.writer.output_size = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await self._read_all()
        except TimeoutError:
            raise Timeout("the body of the request did not come in time", details={}) from None
        except web.RequestPayloadError as error:
            raise BadRequest(f"the body of the request is malformed: {error}", details={}) from None

    async def _read_all(self) -> bytes:
        body = bytearray()
        async for chunk in self._request.content.iter_any():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise _too_large()
        return bytes(body)

    def _let_stall(self) -> None:
        """People may leave a terminal or a log alone for as long as they like."""
        connection = self._request.protocol
        if isinstance(connection, ApiConnection):
            connection.may_stall = True

    async def body_chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._request.content.iter_any():
            yield chunk

    def header_values(self, name: str) -> list[str]:
        return [_text(value) for value in self._request.headers.getall(name, [])]

    def query_values(self, name: str) -> list[str]:
        return [value for key, value in parse_qsl(self.raw_query, keep_blank_values=True) if key == name]

    async def start(self, code: int, headers: Mapping[str, str]) -> ResponseStream:
        response = web.StreamResponse(status=code, headers=headers)
        if "content-length" not in {name.lower() for name in headers} and code not in (101, 204, 304):
            response.enable_chunked_encoding()
        self.response = response
        self._let_stall()
        await response.prepare(self._request)
        return AiohttpStream(response)

    async def websocket(self, protocols: tuple[str, ...]) -> MessageChannel:
        offered = [p.strip() for p in self.headers.get("Sec-WebSocket-Protocol", "").split(",") if p.strip()]
        chosen = [p for p in offered if p in protocols][:1]
        if offered and not chosen:
            raise BadRequest(f"unable to upgrade: none of the protocols {offered} is known")
        socket = web.WebSocketResponse(protocols=chosen, max_msg_size=_WEBSOCKET_MESSAGE_BYTES, heartbeat=30.0)
        self.response = socket
        self._let_stall()
        await socket.prepare(self._request)
        return WebSocketChannel(socket, chosen[0] if chosen else "")

    async def upgrade(self, protocol: str, headers: Mapping[str, str]) -> ByteChannel:
        transport = self._request.transport
        if transport is None:
            raise BadRequest("the connection is gone")
        lines = [f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
        channel = TakenConnection(transport)
        transport.write(("".join(lines) + "\r\n").encode())
        self.response = _Finished(channel)
        return channel


def _too_large() -> RequestTooLarge:
    return RequestTooLarge(f"Request entity too large: limit is {MAX_BODY_BYTES}", details={})


class AiohttpStream:
    """A response of unknown length."""

    def __init__(self, response: web.StreamResponse) -> None:
        self._response = response

    async def write(self, data: bytes) -> None:
        await self._response.write(data)

    async def finish(self) -> None:
        await self._response.write_eof()


class WebSocketChannel:
    """A WebSocket as whole messages."""

    def __init__(self, socket: web.WebSocketResponse, protocol: str) -> None:
        self._socket = socket
        self.protocol = protocol

    async def receive(self) -> bytes | str | None:
        message = await self._socket.receive()
        if message.type is WSMsgType.BINARY or message.type is WSMsgType.TEXT:
            data: bytes | str = message.data
            return data
        return None

    async def send(self, message: bytes | str) -> None:
        try:
            if isinstance(message, str):
                await self._socket.send_str(message)
            else:
                await self._socket.send_bytes(message)
        except (ConnectionError, RuntimeError) as error:
            raise ConnectionResetError(str(error)) from None

    async def close(self, code: int = 1000) -> None:
        await self._socket.close(code=code)


class TakenConnection(asyncio.Protocol):
    """The raw bytes of a connection after 101: it takes the transport away from the HTTP protocol."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._http = transport.get_protocol()
        self._received: asyncio.Queue[bytes] = asyncio.Queue()
        self._is_writable = asyncio.Event()
        self._is_writable.set()
        transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        self._received.put_nowait(data)
        if self._received.qsize() > 64:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._received.put_nowait(b"")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._received.put_nowait(b"")
        self._is_writable.set()
        self._http.connection_lost(exc)

    def pause_writing(self) -> None:
        self._is_writable.clear()

    def resume_writing(self) -> None:
        self._is_writable.set()

    async def receive(self) -> bytes:
        data = await self._received.get()
        if self._received.qsize() < 16:
            self._transport.resume_reading()
        return data

    async def send(self, data: bytes) -> None:
        if self._transport.is_closing():
            raise ConnectionResetError("the client has closed the connection")
        self._transport.write(data)
        await self._is_writable.wait()

    async def close(self) -> None:
        self._transport.close()


class _Finished(web.StreamResponse):
    """What aiohttp is told about a connection that was taken over: there is nothing left to write."""

    def __init__(self, channel: TakenConnection) -> None:
        super().__init__(status=101)
        self._channel = channel
        self.force_close()

    async def prepare(self, request: BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        await self._channel.close()


class Listener:
    """Answers aiohttp's requests through the pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def handle(self, raw: BaseRequest) -> web.StreamResponse:
        path, _, raw_query = _text(raw.raw_path).partition("?")
        exchange = HttpExchange(raw, raw_query)
        request = HttpRequest(
            raw.method,
            unquote(path) if "%" in path else path,
            _first_values(raw_query) if raw_query else {},
            {name.lower(): value if value.isascii() else _text(value) for name, value in raw.headers.items()},
            exchange,
            peer_certificate(raw.transport),
        )
        reply = await run(self._pipeline, request)
        if isinstance(reply, Taken) or exchange.response is not None:
            return exchange.response or web.Response()
        return await self._write(raw, request, reply)

    async def _write(self, raw: BaseRequest, request: HttpRequest, reply: Reply) -> web.StreamResponse:
        headers = _headers(request, reply)
        if reply.chunks is None and reply.stream is None:
            response = web.Response(body=reply.body, status=reply.code, headers=headers)
            if len(reply.body) > COMPRESS_BYTES and _accepts_gzip(raw):
                response.enable_compression(web.ContentCoding.gzip)
            return response
        stream = web.StreamResponse(status=reply.code, headers=headers)
        if reply.chunks is not None:
            return await self._write_chunks(raw, stream, reply)
        await stream.prepare(raw)
        if reply.stream is not None:
            async for frame in reply.stream:
                await stream.write(frame)
        await stream.write_eof()
        return stream

    async def _write_chunks(self, raw: BaseRequest, stream: web.StreamResponse, reply: Reply) -> web.StreamResponse:
        """Short lists go out as one body with a length; long ones in pieces, so that others get their turn."""
        chunks = iter(reply.chunks or ())
        first = b"".join(islice(chunks, 2))
        rest = next(chunks, None)
        if rest is None:
            return web.Response(body=first, status=reply.code, headers=stream.headers)
        if _accepts_gzip(raw):
            stream.enable_compression(web.ContentCoding.gzip)
        await stream.prepare(raw)
        await stream.write(first)
        await stream.write(rest)
        for chunk in chunks:
            await stream.write(chunk)
            await asyncio.sleep(0)
        await stream.write_eof()
        return stream


def _first_values(raw_query: str) -> dict[str, str]:
    """Where a parameter stands twice the first one counts, as in Kubernetes."""
    return dict(reversed(parse_qsl(raw_query, keep_blank_values=True)))


def _text(value: str) -> str:
    """Bytes that are no UTF-8 arrive as lone surrogates, which no JSON and no log could carry."""
    return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _headers(request: HttpRequest, reply: Reply) -> "CIMultiDict[str]":
    headers: CIMultiDict[str] = CIMultiDict(reply.headers)
    headers["Content-Type"] = reply.content_type
    headers["Cache-Control"] = reply.headers.get("Cache-Control", "no-cache, private")
    for text in _shortened(dict.fromkeys(request.warnings)):
        escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ").replace("\r", " ")
        headers.add("Warning", f'299 - "{escaped}"')
    return headers


def _shortened(warnings: Iterable[str]) -> Iterator[str]:
    """Kubernetes' limits: 256 characters each once they are many, and 4 KB together."""
    texts = list(warnings)
    if sum(map(len, texts)) > _WARNING_CHARACTERS:
        texts = [text[:_WARNING_ITEM_CHARACTERS] for text in texts]
    room = _WARNING_CHARACTERS
    for text in texts:
        room -= len(text)
        if room < 0:
            return
        yield text


def _accepts_gzip(raw: BaseRequest) -> bool:
    """Whether compressing helps: never on this machine itself, where bytes cost less than the compression."""
    if "gzip" not in raw.headers.get("Accept-Encoding", ""):
        return False
    peer = raw.transport.get_extra_info("peername") if raw.transport is not None else None
    return not (isinstance(peer, tuple) and peer[0] in ("127.0.0.1", "::1"))


def peer_certificate(transport: asyncio.Transport | None) -> bytes:
    """The client's certificate in DER form; TLS has checked that its key is the client's."""
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    return (tls.getpeercert(binary_form=True) or b"") if tls is not None else b""


@asynccontextmanager
async def serve_https(pipeline: Pipeline, host: str, port: int, context: ssl.SSLContext | None) -> AsyncIterator[int]:
    """Listens until the block ends; gives the port (port 0 takes a free one)."""
    sslproto.SSLProtocol.max_size = _TLS_BUFFER_BYTES
    server = ApiConnections(Listener(pipeline).handle)
    runner = web.ServerRunner(server, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, ssl_context=context, backlog=1024)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        transports = [connection.transport for connection in server.connections]
        server.pre_shutdown()
        await runner.cleanup()
        # Clients that don't answer the end of TLS would keep their connections open for another half minute.
        for transport in transports:
            if transport is not None:
                transport.abort()
        await asyncio.sleep(0)
