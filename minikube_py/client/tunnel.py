"""Many streams over one message channel between a node and the API server, each with its own flow control.

A frame is a 4-byte stream number (big endian), a kind byte, and a payload. The side that opens streams uses its own
numbers; only the server opens here. A sender may have WINDOW bytes on the way that the receiver has not taken yet, so
that a slow reader of one stream holds up nobody else.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import NamedTuple, Protocol

import orjson

from minikube_py.objects.errors import ApiError, Object, ServiceUnavailable, from_status

WINDOW = 256 * 1024
CHUNK = 32 * 1024
_HEADER = struct.Struct(">IB")
_NUMBER = struct.Struct(">I")


class Kind(IntEnum):
    """What a frame says. Those from STDIN on are payload kinds that the streams' users give a meaning."""

    OPEN = 0
    CREDIT = 1
    END = 2
    ERROR = 3
    STDIN = 16
    STDIN_END = 17
    RESIZE = 18
    STDOUT = 19
    STDERR = 20
    RESULT = 21
    OPENED = 22


class MessageChannel(Protocol):
    """A connection that carries whole binary messages, such as a WebSocket."""

    async def send(self, message: bytes) -> None: ...

    async def receive(self) -> bytes | None:
        """None once the connection has ended."""
        ...


class Frame(NamedTuple):
    kind: Kind
    data: bytes


class TunnelStream:
    """One stream. Both directions end together: with end() from either side, an error, or the connection."""

    def __init__(self, tunnel: "Tunnel", number: int) -> None:
        self._tunnel = tunnel
        self._number = number
        self._frames: deque[Frame] = deque()
        self._arrived = asyncio.Event()
        self._credit = WINDOW
        self._has_credit = asyncio.Event()
        self._has_credit.set()
        self._is_over = False
        self._error: ApiError | None = None

    async def send(self, kind: Kind, data: bytes = b"") -> None:
        """Waits while the other side has too much untaken. Raises ApiError once the stream is over."""
        view = memoryview(data)
        while True:
            self._raise_if_over()
            await self._has_credit.wait()
            self._raise_if_over()
            part = view[: min(CHUNK, max(self._credit, 1))]
            self._take_credit(len(part))
            await self._tunnel.send_frame(self._number, kind, bytes(part))
            view = view[len(part) :]
            if not view:
                return

    async def receive(self) -> Frame | None:
        """The next frame, or None at the end. Raises the ApiError that the other side ended it with."""
        while not self._frames:
            if self._is_over:
                if self._error is not None:
                    raise self._error
                return None
            self._arrived.clear()
            await self._arrived.wait()
        frame = self._frames.popleft()
        if frame.data and not self._is_over:
            await self._tunnel.send_frame(self._number, Kind.CREDIT, _NUMBER.pack(len(frame.data)))
        return frame

    async def end(self, error: ApiError | None = None) -> None:
        """Tell the other side that there is no more. Safe to repeat."""
        if self._is_over:
            return
        self.finish(None)
        self._tunnel.forget(self._number)
        if error is None:
            await self._tunnel.send_frame(self._number, Kind.END, b"")
        else:
            await self._tunnel.send_frame(self._number, Kind.ERROR, orjson.dumps(error.to_status()))

    def take(self, kind: Kind, data: bytes) -> None:
        """A frame of the other side's arrived."""
        if kind is Kind.CREDIT:
            self._credit += _NUMBER.unpack(data)[0]
            if self._credit > 0:
                self._has_credit.set()
        else:
            self._frames.append(Frame(kind, data))
            self._arrived.set()

    def finish(self, error: ApiError | None) -> None:
        """The stream is over; what arrived before can still be received."""
        self._is_over = True
        self._error = error
        self._arrived.set()
        self._has_credit.set()

    def _take_credit(self, size: int) -> None:
        self._credit -= size
        if self._credit <= 0:
            self._has_credit.clear()

    def _raise_if_over(self) -> None:
        if self._is_over:
            raise self._error or ServiceUnavailable("the stream is closed")


Opened = Callable[[Object, TunnelStream], Awaitable[None]]
"""(what the other side asked for, the stream) -> runs until the answer is complete."""


class Tunnel:
    """One end of the connection. `run` reads until it ends."""

    def __init__(self, channel: MessageChannel, opened: Opened | None = None) -> None:
        self._channel = channel
        self._opened = opened
        self._streams: dict[int, TunnelStream] = {}
        self._next_number = 1
        self._sending = asyncio.Lock()
        self._is_over = False

    async def open(self, request: Object) -> TunnelStream:
        """Start a stream with a request. Raises ServiceUnavailable when the connection is gone."""
        if self._is_over:
            raise ServiceUnavailable("the node's connection has ended")
        number = self._next_number
        self._next_number += 1
        stream = self._streams[number] = TunnelStream(self, number)
        await self.send_frame(number, Kind.OPEN, orjson.dumps(request))
        return stream

    async def run(self) -> None:
        """Until the connection ends; then every stream ends with ServiceUnavailable."""
        try:
            async with asyncio.TaskGroup() as group:
                while (message := await self._channel.receive()) is not None:
                    self._dispatch(message, group)
                self._end_all()
        finally:
            self._end_all()

    def _end_all(self) -> None:
        self._is_over = True
        for stream in self._streams.values():
            stream.finish(ServiceUnavailable("the node's connection has ended"))
        self._streams.clear()

    def _dispatch(self, message: bytes, group: asyncio.TaskGroup) -> None:
        number, kind_number = _HEADER.unpack_from(message)
        kind, data = Kind(kind_number), message[_HEADER.size :]
        if kind is Kind.OPEN:
            if self._opened is not None:
                stream = self._streams[number] = TunnelStream(self, number)
                group.create_task(self._answer(self._opened, orjson.loads(data), stream))
            return
        found = self._streams.get(number)
        if found is None:
            return
        if kind in (Kind.END, Kind.ERROR):
            found.finish(from_status(orjson.loads(data)) if kind is Kind.ERROR else None)
            self.forget(number)
        else:
            found.take(kind, data)

    async def _answer(self, opened: Opened, request: Object, stream: TunnelStream) -> None:
        try:
            await opened(request, stream)
            await stream.end()
        except ApiError as error:
            await stream.end(error)
        except ConnectionError:
            return

    async def send_frame(self, number: int, kind: Kind, data: bytes) -> None:
        if self._is_over:
            return
        async with self._sending:
            await self._channel.send(_HEADER.pack(number, kind) + data)

    def forget(self, number: int) -> None:
        self._streams.pop(number, None)
