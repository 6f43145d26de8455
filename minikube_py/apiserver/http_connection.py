"""Speaks HTTP/1.1 with one client: requests are taken apart by httptools and answered one at a time, in order.

Source: RFC 9112. What limits a client: the size of a request's head, the time it may take for it, the time a
connection may be idle, and that nothing is read ahead while an answer is not out.
"""

import asyncio
import logging
from collections import deque
from typing import Protocol, cast

import orjson
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from minikube_py.apiserver.codecs import JSON
from minikube_py.apiserver.http_exchange import HttpExchange
from minikube_py.apiserver.long_work import Turns
from minikube_py.apiserver.response_heads import head
from minikube_py.objects.errors import BadRequest

log = logging.getLogger(__name__)

MAX_HEAD_BYTES = 64 * 1024
"""Room for selectors that name thousands of objects."""
MAX_FIELDS = 512
HEAD_SECONDS = 32.0
"""How long a head may take, as kube-apiserver's ReadHeaderTimeout."""
STALL_SECONDS = 60.0
"""How long a client may leave an answer unread before its connection is cut."""
IDLE_SECONDS = 180.0
_BULK_BYTES = 32 * 1024
_BODY_LINGER_SECONDS = 10.0
_REFUSAL_LINGER_SECONDS = 0.5
_VERSIONS = ("1.1", "1.0")


class Answering(Protocol):
    """What a connection needs from the server it belongs to."""

    connections: "set[HttpConnection]"

    turns: Turns

    async def answer(self, exchange: HttpExchange) -> None:
        """Answer a request through its exchange."""
        ...

    def websocket_protocol(self) -> asyncio.Protocol:
        """A protocol that takes over a connection whose next request asks for a WebSocket."""
        ...


class HttpConnection(asyncio.Protocol):
    """One client's connection."""

    transport: asyncio.Transport

    def __init__(self, server: Answering, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._parser = HttpRequestParser(self)
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._known: tuple[list[tuple[bytes, bytes]], dict[str, str]] = ([], {})
        self._is_in_head = False
        self._head_bytes = (0, 0)
        self._chunk_bytes = 0
        self._reading: HttpExchange | None = None  # whose body comes in
        self._waiting: deque[HttpExchange] = deque()
        self._current: HttpExchange | None = None  # who is being answered
        self._task: asyncio.Task[None] | None = None
        self._left_over: bytes | None = None  # bytes behind a request that asks for an upgrade
        self._is_resumed = False
        self._is_ended = False  # no further request is taken
        self._is_paused = False
        self._is_resting = False  # more of a long body is read in a turn
        self._drained: asyncio.Future[None] | None = None
        self._stall: asyncio.TimerHandle | None = None
        self.may_stall = False
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.peer_certificate = b""
        self._peer: str | None = None

    # -- from the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by type
        tls = transport.get_extra_info("ssl_object")
        self.peer_certificate = (tls.getpeercert(binary_form=True) or b"") if tls is not None else b""
        self._server.connections.add(self)
        self._set_deadline(HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        if self._is_ended:
            return
        if self._left_over is not None:
            self._left_over += data
            return
        was_in_head = self._is_in_head
        self._chunk_bytes = len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._stop_at_upgrade(data[upgrade.args[0] :])
        except HttpParserError as error:
            self._refuse(400, f"malformed HTTP request: {error}"[:300])
        if self._is_in_head:
            # Where a head begins in its first chunk is not known: at least this much of it is here, and at most that.
            least, most = self._head_bytes
            least = least + len(data) if was_in_head else _size(self._target, self._headers)
            self._head_bytes = least, most + len(data)
            if least > MAX_HEAD_BYTES:
                self._refuse(431, "the head of the request is too long")
            elif not was_in_head and self._current is None and not self._waiting:
                self._set_deadline(HEAD_SECONDS)
        if len(data) > _BULK_BYTES and not self._is_resting:
            self._is_resting = True
            self._server.turns.call(self._end_rest)
        self._proceed()

    def _end_rest(self) -> None:
        self._is_resting = False
        if not self._is_ended:
            self.read_on()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._is_ended = True
        self._waiting.clear()
        self._stop_timer()
        self.resume_writing()
        if self._task is not None:
            self._server.turns.call(self._task.cancel)

    def pause_writing(self) -> None:
        """The client is slower than the answer: from here on it has to go on reading."""
        if self._drained is None:
            self._drained = self._loop.create_future()
        if not self.may_stall and self._stall is None:
            self._stall = self._loop.call_later(STALL_SECONDS, self._cut_off)

    def _cut_off(self) -> None:
        log.warning("a client reads nothing for %d s: its connection is cut", STALL_SECONDS)
        self.transport.abort()

    def resume_writing(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)
            self._proceed()

    # -- from the parser

    def on_message_begin(self) -> None:
        if not self._is_resumed:
            self._is_in_head, self._head_bytes = True, (0, 0)
            self._target, self._headers = b"", []

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._is_resumed:
            return
        self._is_in_head = False
        headers, self._headers = self._headers, []
        size = self._head_bytes[1] + self._chunk_bytes
        if len(headers) > MAX_FIELDS or (size > MAX_HEAD_BYTES and _size(self._target, headers) > MAX_HEAD_BYTES):
            self._refuse(431, "the head of the request is too long")
            return
        if headers != self._known[0]:
            self._known = (headers, _fields(headers))
        method = self._parser.get_method().decode("ascii")
        exchange = HttpExchange(self, method, self._target.decode("utf-8", "replace"), headers, self._known[1])
        exchange.is_kept_alive = self._parser.should_keep_alive()
        version = self._parser.get_http_version()
        exchange.is_http_10 = version != "1.1"
        exchange.wants_upgrade = self._parser.should_upgrade()
        if version not in _VERSIONS:
            self._refuse(505, "unsupported protocol version")
            return
        hosts = sum(name.lower() == b"host" for name, _ in headers)
        if hosts > 1 or (not hosts and not exchange.is_http_10):
            self._refuse(400, "too many Host headers" if hosts else "missing required Host header")
            return
        self._reading = exchange
        self._waiting.append(exchange)

    def on_body(self, data: bytes) -> None:
        if self._reading is not None:
            self._reading.feed(data)

    def on_message_complete(self) -> None:
        exchange = self._reading
        if exchange is None or (exchange.wants_upgrade and exchange.has_body):
            return
        exchange.feed_end()
        self._reading, self._is_resumed = None, False
        if exchange is self._current and self._task is None:
            self._leave(exchange)  # it was answered before its body was here

    def _stop_at_upgrade(self, rest: bytes) -> None:
        """httptools stops behind a request that asks for an upgrade: what follows is not HTTP if the upgrade comes."""
        exchange = self._reading or (self._waiting[-1] if self._waiting else None)
        if exchange is None or not exchange.wants_upgrade:
            self._is_ended = True
        elif not exchange.has_body:
            self._left_over = rest
        else:
            # Nothing is upgraded while there is a body: it is read as if nobody had asked.
            exchange.wants_upgrade = False
            self._parse_again(b"POST / HTTP/1.1\r\n%b\r\n" % exchange.framing, rest, is_resumed=True)

    def _parse_again(self, opening: bytes, rest: bytes, *, is_resumed: bool) -> None:
        self._parser = HttpRequestParser(self)
        self._is_resumed = is_resumed
        self.data_received(opening + rest)

    def _refuse(self, code: int, why: str) -> None:
        """No more is taken from this client; what it asked before is answered first."""
        if self._is_ended:
            return
        self._is_ended, self._is_in_head = True, False
        broken, self._reading = self._reading, None
        if broken is not None and broken is self._current:
            if self._task is not None:
                self._task.cancel()
            self.transport.close()
            return
        if broken is not None:
            self._waiting.remove(broken)
        last = HttpExchange(self, "GET", "", [], {})
        last.refusal = _refusal(code, why)
        self._waiting.append(last)

    # -- one after the other

    def _proceed(self) -> None:
        """Answer the next request when nothing is in its way, and read on unless there is enough to do."""
        if self._current is None and self._waiting and self._drained is None and not self.transport.is_closing():
            self._current = exchange = self._waiting.popleft()
            self._deadline = 0.0
            if exchange.refusal:
                self.transport.write(exchange.refusal)
                self._set_deadline(_REFUSAL_LINGER_SECONDS)
                return
            if exchange.wants_upgrade and exchange.fields.get("upgrade", "").lower() == "websocket":
                self._hand_over(exchange)
                return
            self._server.turns.give_way()
            self._task = self._loop.create_task(self._answer(exchange))
        self.read_on()

    async def _answer(self, exchange: HttpExchange) -> None:
        try:
            await self._server.answer(exchange)
            await exchange.end()
        except asyncio.CancelledError:
            self.transport.abort()
            raise
        except ConnectionError:
            self.transport.abort()
        except Exception:
            log.exception("%s %s: the answer failed", exchange.method, exchange.path)
            self.transport.abort()
        else:
            self._finish(exchange)
        finally:
            self._task = None

    def _finish(self, exchange: HttpExchange) -> None:
        """The answer is written: on to the next request, or to the connection's end."""
        self._task = None
        if exchange.is_taken:
            self.transport.close()
            return
        if exchange.is_complete:
            self._leave(exchange)
            self._proceed()
            return
        # Closing before the client has sent it all could destroy the answer on its way.
        exchange.is_kept_alive = not exchange.must_close
        exchange.discard_body()
        self._set_deadline(_BODY_LINGER_SECONDS)
        self.read_on()

    def _leave(self, exchange: HttpExchange) -> None:
        """Both the request and its answer are through."""
        self._current, self.may_stall = None, False
        if exchange.must_close:
            self._is_ended = True
            self.transport.close()
            return
        if self._left_over is not None:
            rest, self._left_over = self._left_over, None
            self._parse_again(b"", rest, is_resumed=False)
        self._set_deadline(HEAD_SECONDS if self._is_in_head else IDLE_SECONDS)

    def _hand_over(self, exchange: HttpExchange) -> None:
        """Let aiohttp speak with the client from this request on: it asks for a WebSocket."""
        lines = [f"GET {exchange.target} HTTP/1.1\r\n".encode()]
        lines += [b"%b: %b\r\n" % pair for pair in exchange.raw_headers]
        protocol = self._server.websocket_protocol()
        transport, rest = self.give_up()
        self._server.connections.discard(self)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        transport.resume_reading()
        protocol.data_received(b"%b\r\n%b" % (b"".join(lines), rest))

    def give_up(self) -> tuple[asyncio.Transport, bytes]:
        """The transport and what has come behind the current request, for another protocol."""
        self._is_ended = True
        self._deadline = 0.0
        self._stop_timer()
        rest, self._left_over = self._left_over or b"", None
        return self.transport, rest

    # -- reading and writing

    def read_on(self) -> None:
        """Read unless enough waits already: a request behind the current one, or much of a body."""
        if self.transport.is_closing():
            return
        reading = self._reading
        is_busy = (
            self._is_resting
            or bool(self._waiting)
            or self._left_over is not None
            or (reading is not None and reading.is_full)
        )
        if is_busy != self._is_paused:
            self._is_paused = is_busy
            if is_busy:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def write(self, data: bytes) -> None:
        """Raises ConnectionResetError once the client is gone."""
        if self.transport.is_closing():
            raise ConnectionResetError("the client has closed the connection")
        if data:
            self.transport.write(data)

    async def until_writable(self) -> None:
        """Waits while the client is slow to read. Raises ConnectionResetError once it is gone."""
        if self._drained is not None:
            await asyncio.shield(self._drained)
        if self.transport.is_closing():
            raise ConnectionResetError("the client has closed the connection")

    @property
    def peer_address(self) -> str:
        """The client's IP address."""
        if self._peer is None:
            peer = self.transport.get_extra_info("peername")
            self._peer = str(peer[0]) if isinstance(peer, tuple) else ""
        return self._peer

    # -- time

    def _set_deadline(self, seconds: float) -> None:
        self._deadline = self._loop.time() + seconds
        if self._timer is not None and self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._on_timer)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        """The timer of a busy connection is not moved with every request: it looks here how things are."""
        self._timer = None
        if not self._deadline:
            return
        if self._loop.time() + 0.001 < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._on_timer)
        else:
            self.transport.close()

    @property
    def task(self) -> "asyncio.Task[None] | None":
        """What is answering at the moment."""
        return self._task

    @property
    def is_idle(self) -> bool:
        return self._current is None and not self._waiting

    async def stop(self) -> None:
        """Ends whatever is going on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        self.transport.abort()


def _fields(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """By name in lower case; the first value of each."""
    found: dict[str, str] = {}
    for name, value in headers:
        found.setdefault(name.decode("ascii").lower(), value.decode("utf-8", "replace").strip())
    return found


def _size(target: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    return len(target) + sum(len(name) + len(value) + 4 for name, value in headers)


def _refusal(code: int, why: str) -> bytes:
    """A Status like any other."""
    error = BadRequest(why, details={}) if code == 400 else BadRequest(why, reason="", code=code)
    text = orjson.dumps(error.to_status()) + b"\n"
    return head(code, [("Content-Type", JSON), ("Content-Length", str(len(text))), ("Connection", "close")]) + text
