"""Answers requests for a WebSocket through aiohttp, which takes over their connections."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from urllib.parse import parse_qsl, unquote

from aiohttp import WSMsgType, web
from aiohttp.web_request import BaseRequest
from multidict import CIMultiDict

from minikube_py.apiserver.call import ByteChannel, MessageChannel, ResponseStream
from minikube_py.apiserver.connections import ApiConnection, ApiConnections
from minikube_py.apiserver.http_exchange import MAX_BODY_BYTES, first_values, too_large
from minikube_py.apiserver.messages import HttpRequest, Reply, Taken
from minikube_py.apiserver.pipeline import Pipeline, run
from minikube_py.apiserver.response_heads import reply_headers
from minikube_py.apiserver.taken_connection import TakenConnection
from minikube_py.objects.errors import BadRequest

_WEBSOCKET_MESSAGE_BYTES = 32 * 1024 * 1024


class AiohttpExchange:
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
            raise too_large()
        body = bytearray()
        async for chunk in self._request.content.iter_any():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise too_large()
        return bytes(body)

    async def body_chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._request.content.iter_any():
            yield chunk

    def _let_stall(self) -> None:
        """People may leave a terminal or a log alone for as long as they like."""
        connection = self._request.protocol
        if isinstance(connection, ApiConnection):
            connection.may_stall = True

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
        exchange = AiohttpExchange(raw, raw_query)
        request = HttpRequest(
            raw.method,
            unquote(path) if "%" in path else path,
            first_values(raw_query) if raw_query else {},
            {name.lower(): _text(value) for name, value in raw.headers.items()},
            exchange,
            peer_certificate(raw.transport),
        )
        reply = await run(self._pipeline, request)
        if isinstance(reply, Taken) or exchange.response is not None:
            return exchange.response or web.Response()
        return await self._write(raw, request, reply)

    async def _write(self, raw: BaseRequest, request: HttpRequest, reply: Reply) -> web.StreamResponse:
        """The answer to a request that got no WebSocket after all."""
        headers = CIMultiDict(reply_headers(request, reply))
        if reply.chunks is None and reply.stream is None:
            return web.Response(body=reply.body, status=reply.code, headers=headers)
        stream = web.StreamResponse(status=reply.code, headers=headers)
        stream.enable_chunked_encoding()
        await stream.prepare(raw)
        for chunk in reply.chunks or ():
            await stream.write(chunk)
        if reply.stream is not None:
            async for frame in reply.stream:
                await stream.write(frame)
        await stream.write_eof()
        return stream


def _text(value: str) -> str:
    """Bytes that are no UTF-8 arrive as lone surrogates, which no JSON and no log could carry."""
    return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def peer_certificate(transport: asyncio.Transport | None) -> bytes:
    """The client's certificate in DER form; TLS has checked that its key is the client's."""
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    return (tls.getpeercert(binary_form=True) or b"") if tls is not None else b""


def websocket_server(pipeline: Pipeline) -> web.Server:
    """Its protocols, made by calling it, speak with one client each. Needs a running loop."""
    return ApiConnections(Listener(pipeline).handle)
