"""Listens for HTTPS and takes requests through the pipeline; nothing is decided here."""

import asyncio
import ssl
import zlib
from asyncio import sslproto
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import chain
from typing import TYPE_CHECKING
from urllib.parse import unquote

from minikube_py.apiserver.http_connection import HttpConnection
from minikube_py.apiserver.http_exchange import HttpExchange, first_values
from minikube_py.apiserver.listener import listening
from minikube_py.apiserver.long_work import PIECE_BYTES, Slice, Turns, sliced
from minikube_py.apiserver.messages import HttpRequest, Reply, Taken
from minikube_py.apiserver.pipeline import Pipeline, run
from minikube_py.apiserver.response_heads import plain_head, reply_headers

if TYPE_CHECKING:
    from aiohttp import web

_STOP_SECONDS = 1.0
_LOOPBACK = ("127.0.0.1", "::1")
# asyncio keeps a receive buffer of this size for each TLS connection; its default of 256 KB adds up.
_TLS_BUFFER_BYTES = 32 * 1024


class HttpServer:
    """Answers what its connections read."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.connections: set[HttpConnection] = set()
        self.turns = pipeline.context.turns
        self._pipeline = pipeline
        self._websockets: web.Server | None = None

    async def answer(self, exchange: HttpExchange) -> None:
        path, raw_query = exchange.path, exchange.raw_query
        request = HttpRequest(
            exchange.method,
            unquote(path) if "%" in path else path,
            first_values(raw_query) if raw_query else {},
            exchange.fields,
            exchange,
            exchange.connection.peer_certificate,
        )
        reply = await run(self._pipeline, request)
        if not isinstance(reply, Taken) and not exchange.is_started:
            await _write(exchange, request, reply, self.turns)

    def websocket_protocol(self) -> asyncio.Protocol:
        if self._websockets is None:
            from minikube_py.apiserver.websocket_http import websocket_server  # noqa: PLC0415 (aiohttp: many need none)

            self._websockets = websocket_server(self._pipeline)
        return self._websockets()

    async def stop(self) -> None:
        """Close what is idle, give the rest a second, then end it."""
        for connection in [c for c in self.connections if c.is_idle]:
            connection.transport.abort()
        if self._websockets is not None:
            transports = [connection.transport for connection in self._websockets.connections]
            self._websockets.pre_shutdown()
            await self._websockets.shutdown(_STOP_SECONDS)
            # Clients that don't answer the end of TLS would keep their connections open for another half minute.
            for transport in transports:
                if transport is not None:
                    transport.abort()
        deadline = asyncio.get_running_loop().time() + _STOP_SECONDS
        busy = [task for connection in self.connections if (task := connection.task) is not None]
        if busy:
            await asyncio.wait(busy, timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
        for connection in list(self.connections):
            await connection.stop()
        await asyncio.sleep(0)


async def _write(exchange: HttpExchange, request: HttpRequest, reply: Reply, turns: Turns) -> None:
    if reply.stream is not None:
        try:
            stream = exchange.begin(reply.code, reply_headers(request, reply))
            async for frame in reply.stream:
                await stream.write(frame)
        finally:
            if reply.close is not None:
                await reply.close()
    elif reply.chunks is not None:
        await _write_chunks(exchange, request, reply, turns)
    elif len(reply.body) > PIECE_BYTES:
        starts = range(0, len(reply.body), PIECE_BYTES)
        reply.chunks = (reply.body[start : start + PIECE_BYTES] for start in starts)
        await _write_chunks(exchange, request, reply, turns)
    else:
        _write_body(exchange, request, reply, reply.body)


def _write_body(exchange: HttpExchange, request: HttpRequest, reply: Reply, body: bytes) -> None:
    """Head and body in one go."""
    if not (reply.headers or request.warnings or exchange.needs_more_than_plain):
        exchange.is_started = True
        exchange.connection.write(plain_head(reply.code, reply.content_type, len(body)) + body)
        return
    headers = [*reply_headers(request, reply), ("Content-Length", str(len(body)))]
    exchange.begin(reply.code, headers, body)


async def _write_chunks(exchange: HttpExchange, request: HttpRequest, reply: Reply, turns: Turns) -> None:
    """Short lists go out as one body with a length; long ones in pieces, so that others get their turn."""
    pieces = sliced(reply.chunks or ())
    first, second = next(pieces, b""), next(pieces, None)
    if second is None:
        _write_body(exchange, request, reply, first)
        return
    headers, pieces = reply_headers(request, reply), chain((first, second), pieces)
    if _accepts_gzip(exchange):
        headers += [("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]
        pieces = _gzipped(pieces)
    stream = exchange.begin(reply.code, headers)
    if exchange.method == "HEAD":
        return
    slice_ = Slice(turns)
    for piece in pieces:
        await stream.write(piece)
        if slice_.is_over:
            await slice_.next()


def _gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(level=1, wbits=31)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def _accepts_gzip(exchange: HttpExchange) -> bool:
    """Whether compressing helps: never on this machine itself, where bytes cost less than the compression."""
    return "gzip" in exchange.fields.get("accept-encoding", "") and exchange.peer_address() not in _LOOPBACK


@asynccontextmanager
async def serve_https(pipeline: Pipeline, host: str, port: int, context: ssl.SSLContext | None) -> AsyncIterator[int]:
    """Listens until the block ends; gives the port (port 0 takes a free one)."""
    sslproto.SSLProtocol.max_size = _TLS_BUFFER_BYTES
    loop = asyncio.get_running_loop()
    http = HttpServer(pipeline)
    try:
        async with listening((host, port), lambda: HttpConnection(http, loop), context, http.turns) as found:
            yield found
    finally:
        await http.stop()
