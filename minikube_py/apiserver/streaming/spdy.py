"""Speaks SPDY/3.1 as a server, as far as remote commands and port-forwards need it: streams, data, pings, ends.

There is no flow control, because the clients (moby/spdystream) have none. Source: SPDY protocol draft 3.1.
"""

import asyncio
import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import Protocol

from minikube_py.objects.errors import RequestTooLarge

MAX_FRAME_BYTES = 16 * 1024 * 1024
_MAX_STREAMS = 1024
_MAX_HEADER_BYTES = 64 * 1024
_DATA_PIECE = 256 * 1024
_VERSION = 3
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY, _HEADERS = 1, 2, 3, 6, 7, 8
_FIN = 1

# Header blocks are compressed against this text. It is part of the protocol: counted words, then common values.
_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_VALUES = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _counted(text: str) -> bytes:
    return struct.pack(">I", len(text)) + text.encode()


DICTIONARY = b"".join(_counted(word.replace("_", " ")) for word in _WORDS.split(" ")) + _VALUES.encode()


class Bytes(Protocol):
    """A connection; receive gives b'' at its end."""

    async def receive(self) -> bytes: ...

    async def send(self, data: bytes) -> None: ...

    async def close(self) -> None: ...


class SpdyStream:
    """One stream. The client's header names are in lower case."""

    def __init__(self, connection: "SpdyConnection", number: int, headers: Mapping[str, str]) -> None:
        self._connection = connection
        self.number = number
        self.headers = headers
        self._received: asyncio.Queue[bytes] = asyncio.Queue()
        self._is_sending = True

    @property
    def type(self) -> str:
        return self.headers.get("streamtype", "")

    def offer(self, data: bytes) -> None:
        self._received.put_nowait(data)

    async def receive(self) -> bytes:
        """b'' once the client has ended its half."""
        data = await self._received.get()
        if not data:
            self._received.put_nowait(b"")
        return data

    async def send(self, data: bytes) -> None:
        for start in range(0, len(data), _DATA_PIECE):
            await self._connection.send_data(self.number, data[start : start + _DATA_PIECE])

    async def close(self) -> None:
        """Ends the server's half."""
        if self._is_sending:
            self._is_sending = False
            await self._connection.send_data(self.number, b"", is_last=True)

    async def reset(self) -> None:
        self._is_sending = False
        await self._connection.send_reset(self.number)


class SpdyConnection:
    """The server's side of one connection. `run` reads until the client goes; `accept` gives its streams."""

    def __init__(self, transport: Bytes) -> None:
        self._transport = transport
        self._buffer = bytearray()
        self._streams: dict[int, SpdyStream] = {}
        self._opened: asyncio.Queue[SpdyStream | None] = asyncio.Queue()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    async def accept(self) -> SpdyStream | None:
        """The next stream that the client opens, or None when the connection has ended."""
        return await self._opened.get()

    async def run(self) -> None:
        try:
            while data := await self._transport.receive():
                self._buffer += data
                while (frame := self._next_frame()) is not None:
                    await self._take(*frame)
        finally:
            for stream in self._streams.values():
                stream.offer(b"")
            self._opened.put_nowait(None)

    async def close(self) -> None:
        await self._transport.close()

    # -- reading

    def _next_frame(self) -> tuple[int, int, bytes] | None:
        """(first word, flags, body) of the next whole frame."""
        buffer = self._buffer
        if len(buffer) < 8:
            return None
        word, second = struct.unpack_from(">II", buffer)
        flags, length = second >> 24, second & 0xFFFFFF
        if length > MAX_FRAME_BYTES:
            raise RequestTooLarge("SPDY frame is too large")
        if len(buffer) < 8 + length:
            return None
        body = bytes(buffer[8 : 8 + length])
        del buffer[: 8 + length]
        return word, flags, body

    async def _take(self, word: int, flags: int, body: bytes) -> None:
        if not word & 0x80000000:
            self._take_data(word & 0x7FFFFFFF, flags, body)
            return
        kind = word & 0xFFFF
        if kind == _SYN_STREAM:
            await self._open(flags, body)
        elif kind == _PING:
            await self._transport.send(struct.pack(">HHI", 0x8000 | _VERSION, _PING, len(body)) + body)
        elif kind == _RST_STREAM and len(body) >= 4:
            stream = self._streams.pop(struct.unpack_from(">I", body)[0] & 0x7FFFFFFF, None)
            if stream is not None:
                stream.offer(b"")
        elif kind in (_SYN_REPLY, _HEADERS):
            # Nothing in them matters here, but the compressor's state goes on with every block.
            self._headers(body[4:])

    def _take_data(self, number: int, flags: int, body: bytes) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return
        if body:
            stream.offer(body)
        if flags & _FIN:
            stream.offer(b"")

    async def _open(self, flags: int, body: bytes) -> None:
        number = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF
        headers = self._headers(body[10:])
        if len(self._streams) >= _MAX_STREAMS:
            await self.send_reset(number)
            return
        stream = SpdyStream(self, number, headers)
        self._streams[number] = stream
        block = self._block(())
        await self._transport.send(_control(_SYN_REPLY, 0, struct.pack(">I", number) + block))
        if flags & _FIN:
            stream.offer(b"")
        self._opened.put_nowait(stream)

    def _headers(self, block: bytes) -> dict[str, str]:
        raw = self._inflate.decompress(block, _MAX_HEADER_BYTES)
        if self._inflate.unconsumed_tail:
            raise RequestTooLarge("SPDY headers are too large")
        count, place = struct.unpack_from(">I", raw)[0], 4
        headers: dict[str, str] = {}
        for _ in range(count):
            texts = []
            for _ in range(2):
                length = struct.unpack_from(">I", raw, place)[0]
                texts.append(raw[place + 4 : place + 4 + length].decode())
                place += 4 + length
            headers[texts[0].lower()] = texts[1]
        return headers

    # -- writing

    def _block(self, headers: Iterable[tuple[str, str]]) -> bytes:
        pairs = list(headers)
        raw = struct.pack(">I", len(pairs)) + b"".join(_counted(name) + _counted(value) for name, value in pairs)
        return self._deflate.compress(raw) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    async def send_data(self, number: int, data: bytes, *, is_last: bool = False) -> None:
        flags = _FIN if is_last else 0
        await self._transport.send(struct.pack(">II", number, flags << 24 | len(data)) + data)

    async def send_reset(self, number: int) -> None:
        self._streams.pop(number, None)
        await self._transport.send(_control(_RST_STREAM, 0, struct.pack(">II", number, 5)))

    def forget(self, stream: SpdyStream) -> None:
        """Both halves have ended."""
        self._streams.pop(stream.number, None)


def _control(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack(">HHI", 0x8000 | _VERSION, kind, flags << 24 | len(body)) + body
