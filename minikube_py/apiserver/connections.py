"""Holds each connection to its time: heads that never come, answers that nobody reads, and bytes that are no HTTP."""

import asyncio
import logging
from typing import Any

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest

from minikube_py.objects.errors import ApiError, BadRequest, InternalError

log = logging.getLogger(__name__)

HEAD_SECONDS = 32.0
"""How long a new connection may take to its first request, as kube-apiserver's ReadHeaderTimeout."""
STALL_SECONDS = 60.0
"""How long a client may leave an answer unread before its connection is cut."""
IDLE_SECONDS = 180.0
_LINGERING_SECONDS = 2.0
_LINE_BYTES = 64 * 1024
"""The longest line of a head: room for selectors that name thousands of objects."""


class ApiConnection(RequestHandler):
    """One connection. Reading is bounded by aiohttp's own buffers, writing by the transport's high-water mark."""

    def __init__(self, manager: web.Server, *, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        super().__init__(manager, loop=loop, **options)
        self.may_stall = False
        self._first_request: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._first_request = self._loop.call_later(HEAD_SECONDS, self._drop_silent)

    def _drop_silent(self) -> None:
        if self._request_count == 0:
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        for timer in (self._first_request, self._stall):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client is slower than the answer: from here on it has to go on reading."""
        super().pause_writing()
        if not self.may_stall and self._stall is None:
            self._stall = self._loop.call_later(STALL_SECONDS, self._cut_off)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _cut_off(self) -> None:
        log.warning("a client reads nothing for %d s: its connection is cut", STALL_SECONDS)
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The answer to what is not HTTP: a Status like any other, and no traceback in the log for it."""
        if request.writer.output_size > 0:
            raise ConnectionResetError("the answer has begun already")
        error: ApiError
        if isinstance(exc, HttpProcessingError):
            what = " ".join((message or "bad request").split())[:300]
            error = BadRequest(f"malformed HTTP request: {what}", details={})
            if isinstance(exc, LineTooLong):
                error = BadRequest(f"the head of the request is too long: {what}", reason="", code=431)
        else:
            self.log_exception("Error handling request from %s", request.remote, exc_info=exc)
            error = InternalError.of(type(exc).__name__)
        response = web.Response(
            body=orjson.dumps(error.to_status()) + b"\n", status=error.code, content_type="application/json"
        )
        response.force_close()
        return response


class ApiConnections(web.Server):
    """aiohttp's server with connections of our own kind. Bodies come as they are: nothing is decompressed unasked."""

    def __init__(self, handler: Any) -> None:
        super().__init__(handler, handler_cancellation=True)
        self._options: dict[str, Any] = {
            "access_log": None,
            "keepalive_timeout": IDLE_SECONDS,
            "lingering_time": _LINGERING_SECONDS,
            "auto_decompress": False,
            "max_line_size": _LINE_BYTES,
            "max_field_size": _LINE_BYTES,
        }

    def __call__(self) -> RequestHandler:
        return ApiConnection(self, loop=asyncio.get_running_loop(), **self._options)
