"""Sends requests of any kind through the pipeline in process, from the stage behind authentication on."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from urllib.parse import parse_qsl, unquote

import orjson

from minikube_py.apiserver.call import ByteChannel, MessageChannel, ResponseStream
from minikube_py.apiserver.messages import HttpRequest, Reply, Taken
from minikube_py.apiserver.pipeline import IN_PROCESS, Pipeline, run
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.objects.errors import BadRequest, InternalError, Object

MAX_ANSWER_BYTES = 64 * 1024 * 1024
LOOPBACK = "127.0.0.1"
"""Where calls of this process come from, to those who ask for an address."""


class MemoryExchange:
    """The exchange of a call that has no connection: it has a body, and can't be taken over."""

    def __init__(self, method: str, raw_query: str, body: bytes) -> None:
        self.method = method
        self.headers: Mapping[str, str] = {"content-type": "application/json"} if body else {}
        self.raw_query = raw_query
        self._body = body

    def peer_address(self) -> str:
        return LOOPBACK

    async def read_body(self) -> bytes:
        return self._body

    async def body_chunks(self) -> AsyncIterator[bytes]:
        if self._body:
            yield self._body

    def query_values(self, name: str) -> list[str]:
        return [value for key, value in parse_qsl(self.raw_query, keep_blank_values=True) if key == name]

    def header_values(self, name: str) -> list[str]:
        return [value for key, value in self.headers.items() if key == name.lower()]

    async def websocket(self, protocols: tuple[str, ...]) -> MessageChannel:
        raise BadRequest("this call needs an HTTP connection")

    async def upgrade(self, protocol: str, headers: Mapping[str, str]) -> ByteChannel:
        raise BadRequest("this call needs an HTTP connection")

    async def start(self, code: int, headers: Mapping[str, str]) -> ResponseStream:
        raise BadRequest("this call needs an HTTP connection")


async def call(pipeline: Pipeline, user: UserInfo, method: str, path: str, body: Object | None) -> Reply:
    """The reply to a request of `user`; failures are Status objects with their code."""
    plain, _, raw_query = path.partition("?")
    exchange = MemoryExchange(method, raw_query, b"" if body is None else orjson.dumps(body))
    query = dict(reversed(parse_qsl(raw_query, keep_blank_values=True)))
    request = HttpRequest(method, unquote(plain), query, exchange.headers, exchange, user=user)
    reply = await run(pipeline, request, IN_PROCESS)
    if isinstance(reply, Taken):
        return Reply()
    return reply if reply.stream is None else await _whole(reply, reply.stream)


async def _whole(reply: Reply, stream: AsyncIterator[bytes]) -> Reply:
    """An answer whose length was not known beforehand: that of another server. Raises InternalError for a huge one."""
    body = bytearray()
    async for part in stream:
        body += part
        if len(body) > MAX_ANSWER_BYTES:
            raise InternalError(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
    return replace(reply, body=bytes(body), stream=None)
