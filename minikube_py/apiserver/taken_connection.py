"""Carries raw bytes over a connection after 101 Switching Protocols."""

import asyncio
from collections.abc import Callable

_PAUSE_ABOVE, _RESUME_BELOW = 64, 16


class TakenConnection(asyncio.Protocol):
    """It takes the transport away from the HTTP protocol, which hears of the end through its connection_lost.

    received: what came after the request's head already.
    """

    def __init__(self, transport: asyncio.Transport, received: bytes = b"") -> None:
        self._transport = transport
        self._lost: Callable[[Exception | None], None] = transport.get_protocol().connection_lost
        self._received: asyncio.Queue[bytes] = asyncio.Queue()
        self._is_writable = asyncio.Event()
        self._is_writable.set()
        if received:
            self._received.put_nowait(received)
        transport.set_protocol(self)
        if not transport.is_closing():
            transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self._received.put_nowait(data)
        if self._received.qsize() > _PAUSE_ABOVE:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._received.put_nowait(b"")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._received.put_nowait(b"")
        self._is_writable.set()
        self._lost(exc)

    def pause_writing(self) -> None:
        self._is_writable.clear()

    def resume_writing(self) -> None:
        self._is_writable.set()

    async def receive(self) -> bytes:
        data = await self._received.get()
        if self._received.qsize() < _RESUME_BELOW and not self._transport.is_closing():
            self._transport.resume_reading()
        return data

    async def send(self, data: bytes) -> None:
        if self._transport.is_closing():
            raise ConnectionResetError("the client has closed the connection")
        self._transport.write(data)
        await self._is_writable.wait()

    async def close(self) -> None:
        self._transport.close()
