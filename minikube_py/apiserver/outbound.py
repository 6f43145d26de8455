"""Calls to others by order of the cluster's admin: HTTPS with a checked certificate, without redirects.

A URL may be local, as operator authors need it; a Service is reached through the node of one of its pods.
Source: apiserver pkg/util/webhook/client.go.
"""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from minikube_py.apiserver.streaming.proxied_http import BackendConnection, ProxiedRequest, SocketStream, TlsStream
from minikube_py.client.node_connection import ByteStream
from minikube_py.objects.errors import ApiError

_LARGEST_ANSWER = 3 * 1024 * 1024
_UNREACHABLE = "error trying to reach service: "
_HEADERS = {
    "Content-Type": "application/json", "Accept": "application/json", "User-Agent": "kube-apiserver-admission",
}  # fmt: skip

Dial: TypeAlias = Callable[[str, str, str], Awaitable[ByteStream]]
"""(namespace, service, port) -> a connection to one of its endpoints. Raises ApiError."""


class OutboundError(Exception):
    """The other side could not be reached, or gave no usable answer; the text says which URL and why."""


@dataclass(frozen=True)
class Target:
    """Whom to call: a URL, or a Service. ca_pem b'': certificates that this machine trusts."""

    url: str = ""
    namespace: str = ""
    service: str = ""
    port: int = 443
    path: str = ""
    ca_pem: bytes = field(default=b"", repr=False)

    @property
    def shown(self) -> str:
        """The URL as errors name it."""
        return self.url or f"https://{self.service}.{self.namespace}.svc:{self.port}{self.path}"

    @property
    def server_name(self) -> str:
        return f"{self.service}.{self.namespace}.svc" if self.service else urlsplit(self.url).hostname or ""


@dataclass(frozen=True)
class Answer:
    code: int
    body: bytes


def target_of(config: Mapping[str, Any]) -> Target:
    """Whom a WebhookClientConfig names."""
    ca_pem = base64.b64decode(config.get("caBundle") or "")
    service = config.get("service")
    if service is None:
        return Target(config.get("url") or "", ca_pem=ca_pem)
    return Target(
        namespace=service.get("namespace") or "",
        service=service.get("name") or "",
        port=service.get("port") or 443,
        path=service.get("path") or "",
        ca_pem=ca_pem,
    )


async def post_json(target: Target, body: bytes, timeout: float, dial: Dial | None, *, is_told: bool = True) -> Answer:
    """POSTs JSON. is_told: the other side learns the timeout, whole seconds. Raises OutboundError."""
    parts = urlsplit(target.shown)
    query = "&".join(part for part in (parts.query, f"timeout={timeout:g}s" if is_told else "") if part)
    query = f"?{query}" if query else ""
    shown = f'Post "{parts.scheme}://{parts.netloc}{parts.path}{query}"'
    if parts.scheme != "https":
        raise OutboundError(f"{shown}: only https is allowed")
    try:
        async with asyncio.timeout(timeout):
            return await _exchange(target, body, f"{parts.path or '/'}{query}", dial)
    except TimeoutError:
        raise OutboundError(f"{shown}: context deadline exceeded") from None
    except ApiError as error:
        raise OutboundError(f"{shown}: {error.message.removeprefix(_UNREACHABLE)}") from None
    except (OSError, ValueError) as error:
        raise OutboundError(f"{shown}: {error}") from None


async def _exchange(target: Target, body: bytes, path: str, dial: Dial | None) -> Answer:
    stream = TlsStream(await _connect(target, dial), target.server_name, _context(target.ca_pem))
    try:
        await stream.handshake()
        connection = BackendConnection(stream)
        request = ProxiedRequest(
            "POST",
            path,
            urlsplit(target.shown).netloc,
            _HEADERS,
            _once(body),
            content_length=len(body),
            has_body=True,
        )
        head = await connection.request(request)
        return Answer(head.code, await _whole(connection))
    finally:
        await stream.close()


async def _connect(target: Target, dial: Dial | None) -> ByteStream:
    if target.service:
        if dial is None:
            raise OSError(f'service "{target.service}" can\'t be reached from here')
        return await dial(target.namespace, target.service, str(target.port))
    parts = urlsplit(target.url)
    return SocketStream(*await asyncio.open_connection(parts.hostname, parts.port or 443))


@lru_cache(maxsize=256)
def _context(ca_pem: bytes) -> ssl.SSLContext:
    """Raises ValueError for a bundle that holds no certificate."""
    try:
        context = ssl.create_default_context(cadata=ca_pem.decode() if ca_pem else None)
    except ssl.SSLError:
        raise ValueError("unable to load root certificates: unable to parse bytes as PEM block") from None
    # As Go checks certificates: one that is in the bundle itself is trusted, whatever it may sign.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _whole(connection: BackendConnection) -> bytes:
    parts, size = [], 0
    async for chunk in connection.body():
        size += len(chunk)
        if size > _LARGEST_ANSWER:
            raise ValueError("the answer is too large")
        parts.append(chunk)
    return b"".join(parts)
