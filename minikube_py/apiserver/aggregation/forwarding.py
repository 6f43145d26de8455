"""Sends a request on to the server of an aggregated API, with who asks in its headers, and brings the answer back.

Source: the page "Kubernetes API Aggregation Layer" (request flow, headers), kube-aggregator pkg/apiserver.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from urllib.parse import quote

from minikube_py.apiserver.aggregation.api import AggregatedApi, FrontProxy
from minikube_py.apiserver.messages import HttpRequest, Reply, Taken
from minikube_py.apiserver.outbound import Outbound
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.apiserver.streaming.proxied_http import (
    BackendConnection,
    ProxiedRequest,
    ProxiedResponse,
    pump,
)
from minikube_py.objects.errors import ServiceUnavailable

_MAX_WHOLE_BYTES = 64 * 1024


class Forwarder:
    """Passes requests on to the servers of aggregated APIs. front_proxy: by what they recognise this server."""

    def __init__(self, outbound: Outbound, front_proxy: FrontProxy | None) -> None:
        self._outbound = outbound
        self._front_proxy = front_proxy

    async def connect(self, api: AggregatedApi) -> BackendConnection:
        """A connection to the API's server, whose certificate has been checked. Raises ServiceUnavailable, NotFound."""
        try:
            return await self._outbound.connect(api.target(self._front_proxy))
        except (OSError, ValueError) as error:
            raise ServiceUnavailable(f"error trying to reach service: {error}") from None

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
