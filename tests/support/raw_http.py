"""Bytes over TLS to a test's server, for requests that no client library would send."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from tests.support.cluster import HttpsCluster

CRLF = b"\r\n"


@dataclass(frozen=True)
class RawReply:
    """code 0: the server closed the connection without an answer."""

    code: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


CLOSED = RawReply(0, {}, b"")


class RawConnection:
    """One TLS connection. Requests are written as given; answers are read with a length or in chunks."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, token: str) -> None:
        self.reader = reader
        self.writer = writer
        self._host = host
        self._token = token

    def head(self, line: str, *headers: str, plain: bool = False) -> bytes:
        """A request's head as the admin; `plain` leaves Host and Authorization to the caller."""
        own = () if plain else (f"Host: {self._host}", f"Authorization: Bearer {self._token}")
        return "\r\n".join((line, *own, *headers)).encode("utf-8", "surrogateescape") + CRLF + CRLF

    async def send(self, data: bytes) -> None:
        """A server that has stopped listening is no failure: its answer says why."""
        try:
            self.writer.write(data)
            await self.writer.drain()
        except (ConnectionError, ssl.SSLError):
            return

    async def reply(self, *, has_body: bool = True) -> RawReply:
        try:
            head = await self.reader.readuntil(CRLF + CRLF)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            return CLOSED
        status, *lines = head.decode("latin-1").rstrip().split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return RawReply(int(status.split()[1]), headers, await self._body(headers) if has_body else b"")

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        if "chunked" not in headers.get("transfer-encoding", ""):
            return await self.reader.readexactly(int(headers.get("content-length", "0")))
        body = b""
        while size := int((await self.reader.readuntil(CRLF)).strip(), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return body

    async def ask(self, line: str, *headers: str, body: bytes = b"", plain: bool = False) -> RawReply:
        """One request with a plain body."""
        length = (f"Content-Length: {len(body)}",) if body else ()
        await self.send(self.head(f"{line} HTTP/1.1", *headers, *length, plain=plain) + body)
        return await self.reply(has_body=not line.startswith("HEAD"))

    async def is_closed(self) -> bool:
        """Waits for the server's end of the connection."""
        try:
            return await self.reader.read() == b""
        except (ConnectionError, ssl.SSLError):
            return True

    async def is_cut(self) -> bool:
        """Reads to the end: whether it came in the middle of an answer in chunks."""
        last = b""
        try:
            while data := await self.reader.read(2**20):
                last = (last + data)[-5:]
        except ConnectionError:
            return True
        return last != b"0\r\n\r\n"


@asynccontextmanager
async def raw_connection(cluster: HttpsCluster) -> AsyncIterator[RawConnection]:
    context = ssl.create_default_context(cadata=cluster.pki.server_ca_pem.decode())
    reader, writer = await asyncio.open_connection("127.0.0.1", cluster.port, ssl=context, limit=2**24)
    try:
        yield RawConnection(reader, writer, f"127.0.0.1:{cluster.port}", cluster.pki.admin_token)
    finally:
        writer.transport.abort()


def chunked(parts: Iterable[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
