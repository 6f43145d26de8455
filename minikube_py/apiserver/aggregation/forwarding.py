"""Sends a request on to the server of an aggregated API, with who asks in its headers, and brings the answer back.

Source: the page "Kubernetes API Aggregation Layer" (request flow, headers), kube-aggregator pkg/apiserver.
"""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from urllib.parse import quote

from minikube_py.apiserver.aggregation.api import AggregatedApi, FrontProxy
from minikube_py.apiserver.messages import HttpRequest, Reply, Taken
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.apiserver.streaming.proxied_http import (
    BackendConnection,
    ProxiedRequest,
    ProxiedResponse,
    TlsStream,
    pump,
)
from minikube_py.client.node_connection import ByteStream
from minikube_py.objects.errors import ServiceUnavailable

Dial = Callable[[AggregatedApi], Awaitable[ByteStream]]

_MAX_WHOLE_BYTES = 64 * 1024


class Forwarder:
    """dial opens a connection to an endpoint of an API's Service. Raises ServiceUnavailable and NotFound."""

    def __init__(self, dial: Dial, front_proxy: FrontProxy | None) -> None:
        self._dial = dial
        self._front_proxy = front_proxy
        self._contexts: dict[AggregatedApi, ssl.SSLContext] = {}

    async def connect(self, api: AggregatedApi) -> BackendConnection:
        """A connection to the API's server, whose certificate has been checked."""
        try:
            context = self._contexts.get(api)
            if context is None:
                context = self._contexts[api] = api.ssl_context(self._front_proxy)
        except (OSError, ssl.SSLError) as error:
            raise ServiceUnavailable(f"error trying to reach service: {error}") from None
        plain = await self._dial(api)
        secured = TlsStream(plain, api.server_name, context)
        try:
            await secured.handshake()
        except BaseException:
            await plain.close()
            raise
        return BackendConnection(secured)

    def forget(self, api: AggregatedApi) -> None:
        self._contexts.pop(api, None)

    async def forward(self, api: AggregatedApi, request: HttpRequest) -> Reply | Taken:
        connection = await self.connect(api)
        try:
            response = await connection.request(_proxied(api, request))
            if response.upgrade:
                await pump(await request.exchange.upgrade(response.upgrade, response.headers), connection)
                await connection.close()
                return Taken()
            return await _reply(response, connection)
        except BaseException:
            await connection.close()
            raise


def _proxied(api: AggregatedApi, request: HttpRequest) -> ProxiedRequest:
    headers: Mapping[str, str] = request.headers
    length = headers.get("content-length")
    is_upgrade = "upgrade" in headers.get("connection", "").lower()
    path = quote(request.path, safe="/!$&'()*+,;=:@~")
    query = request.exchange.raw_query
    return ProxiedRequest(
        request.method,
        f"{path}?{query}" if query else path,
        api.server_name,
        headers,
        request.exchange.body_chunks(),
        content_length=int(length) if length is not None and length.isdigit() else None,
        has_body=length not in (None, "0") or "transfer-encoding" in headers,
        upgrade=headers.get("upgrade", "") if is_upgrade else "",
        more_headers=tuple(identity_headers(request.user)),
    )


def identity_headers(user: UserInfo) -> Iterator[tuple[str, str]]:
    """Who asks, as the request-header authenticator of the other server reads it."""
    yield "X-Remote-User", _header_text(user.name)
    if user.uid:
        yield "X-Remote-Uid", _header_text(user.uid)
    for group in user.groups:
        yield "X-Remote-Group", _header_text(group)
    for key, values in user.extra.items():
        for value in values:
            yield f"X-Remote-Extra-{quote(key, safe='')}", _header_text(value)


def _header_text(value: str) -> str:
    """Without what would end the header."""
    return value.replace("\r", "").replace("\n", "")


async def _reply(response: ProxiedResponse, connection: BackendConnection) -> Reply:
    headers = {k: v for k, v in response.headers.items() if k.lower() not in ("content-type", "content-length")}
    content_type = next((v for k, v in response.headers.items() if k.lower() == "content-type"), "text/plain")
    length = next((v for k, v in response.headers.items() if k.lower() == "content-length"), "")
    reply = Reply(code=response.code, content_type=content_type, headers=headers)
    if length.isdigit() and int(length) <= _MAX_WHOLE_BYTES:
        reply.body = b"".join([chunk async for chunk in connection.body()])
        await connection.close()
    else:
        reply.stream = _body(connection)
    return reply


async def _body(connection: BackendConnection) -> AsyncIterator[bytes]:
    try:
        async for chunk in connection.body():
            yield chunk
    finally:
        await connection.close()
