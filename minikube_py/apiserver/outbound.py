"""Calls to webhooks and aggregated APIs, by order of the cluster's admin: HTTPS, certificates checked, no redirects.

A URL may be local, as operator authors need it; a Service is reached through the node of one of its pods.
Source: apiserver pkg/util/webhook/client.go.
"""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from minikube_py.apiserver.streaming.proxied_http import (
    BackendConnection,
    ProxiedRequest,
    ProxiedResponse,
    SocketStream,
    TlsStream,
)
from minikube_py.client.node_connection import ByteStream
from minikube_py.objects.errors import ApiError

_LARGEST_ANSWER = 3 * 1024 * 1024
_IDLE_SECONDS = 30.0
_IDLE_PER_TARGET = 4
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
    """Whom to call: a URL, or a Service. ca_pem b'': certificates that this machine trusts.

    identity: the files of a certificate and its key by which the other side recognises this server. is_insecure: the
    admin wants the other side's certificate not to be checked.
    """

    url: str = ""
    namespace: str = ""
    service: str = ""
    port: int = 443
    path: str = ""
    ca_pem: bytes = field(default=b"", repr=False)
    identity: tuple[Path, Path] | None = None
    is_insecure: bool = False

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


class _Idle(NamedTuple):
    """A connection that waits for the next request, and the timer that ends its waiting."""

    connection: BackendConnection
    plain: ByteStream
    timer: asyncio.TimerHandle


class Outbound:
    """Makes the calls. Connections are kept open for a while: a TLS handshake costs more than a review."""

    def __init__(self, dial: Dial | None = None) -> None:
        self._dial = dial
        self._idle: dict[Target, list[_Idle]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def post_json(self, target: Target, body: bytes, timeout: float, *, is_told: bool = True) -> Answer:
        """POSTs JSON. is_told: the other side learns the timeout, whole seconds. Raises OutboundError."""
        parts = urlsplit(target.shown)
        query = "&".join(part for part in (parts.query, f"timeout={timeout:g}s" if is_told else "") if part)
        query = f"?{query}" if query else ""
        shown = f'Post "{parts.scheme}://{parts.netloc}{parts.path}{query}"'
        if parts.scheme != "https":
            raise OutboundError(f"{shown}: only https is allowed")
        try:
            async with asyncio.timeout(timeout):
                return await self._post(target, body, f"{parts.path or '/'}{query}", parts.netloc)
        except TimeoutError:
            raise OutboundError(f"{shown}: context deadline exceeded") from None
        except ApiError as error:
            raise OutboundError(f"{shown}: {error.message.removeprefix(_UNREACHABLE)}") from None
        except (OSError, ValueError) as error:
            raise OutboundError(f"{shown}: {error}") from None

    async def connect(self, target: Target) -> BackendConnection:
        """A connection of the caller's own. Raises ApiError, OSError, and ValueError for certificates of no use."""
        return (await self._open(target))[0]

    async def _open(self, target: Target) -> tuple[BackendConnection, ByteStream]:
        context = _context(target.ca_pem, target.identity, target.is_insecure)
        plain = await self._connect(target)
        async with _closed_on_failure(plain):
            stream = TlsStream(plain, target.server_name, context)
            await stream.handshake()
        return BackendConnection(stream), plain

    async def _post(self, target: Target, body: bytes, path: str, host: str) -> Answer:
        def request() -> ProxiedRequest:
            return ProxiedRequest(
                "POST", path, host, _HEADERS, _once(body), content_length=len(body), has_body=True, keeps_open=True
            )

        while (kept := self._take(target)) is not None:
            try:
                head = await _ask(*kept, request())
            except (ApiError, OSError):
                continue  # closed by the other side while it waited: not this request's failure
            return await self._rest(target, *kept, head)
        connection, plain = await self._open(target)
        return await self._rest(target, connection, plain, await _ask(connection, plain, request()))

    async def _rest(
        self, target: Target, connection: BackendConnection, plain: ByteStream, head: ProxiedResponse
    ) -> Answer:
        async with _closed_on_failure(plain):
            answer = Answer(head.code, await _whole(connection))
        if connection.is_reusable:
            await self._keep(target, connection, plain)
        else:
            await plain.close()
        return answer

    async def _connect(self, target: Target) -> ByteStream:
        if target.service:
            if self._dial is None:
                raise OSError(f'service "{target.service}" can\'t be reached from here')
            return await self._dial(target.namespace, target.service, str(target.port))
        parts = urlsplit(target.url)
        return SocketStream(*await asyncio.open_connection(parts.hostname, parts.port or 443))

    # --- open connections

    def _take(self, target: Target) -> tuple[BackendConnection, ByteStream] | None:
        waiting = self._idle.get(target)
        while waiting:
            idle = waiting.pop()
            idle.timer.cancel()
            if isinstance(idle.plain, SocketStream) and idle.plain.is_over:
                self._close_soon(idle.plain)
                continue
            return idle.connection, idle.plain
        return None

    async def _keep(self, target: Target, connection: BackendConnection, plain: ByteStream) -> None:
        waiting = self._idle.setdefault(target, [])
        if len(waiting) >= _IDLE_PER_TARGET:
            await plain.close()
            return
        timer = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._expire, target, connection)
        waiting.append(_Idle(connection, plain, timer))

    def _expire(self, target: Target, connection: BackendConnection) -> None:
        waiting = self._idle.get(target, [])
        for idle in [idle for idle in waiting if idle.connection is connection]:
            waiting.remove(idle)
            self._close_soon(idle.plain)
        if not waiting:
            self._idle.pop(target, None)

    def _close_soon(self, plain: ByteStream) -> None:
        task = asyncio.ensure_future(plain.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        """Ends the connections that wait."""
        for waiting in self._idle.values():
            for idle in waiting:
                idle.timer.cancel()
                await idle.plain.close()
        self._idle.clear()
        await asyncio.gather(*self._closing)


@lru_cache(maxsize=256)
def _context(ca_pem: bytes, identity: tuple[Path, Path] | None, is_insecure: bool) -> ssl.SSLContext:
    """Raises ValueError for a bundle that holds no certificate, OSError for an identity that can't be read."""
    try:
        context = ssl.create_default_context(cadata=ca_pem.decode() if ca_pem else None)
    except (ssl.SSLError, UnicodeDecodeError):
        raise ValueError("unable to load root certificates: unable to parse bytes as PEM block") from None
    # As Go checks certificates: one that is in the bundle itself is trusted, whatever it may sign.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if is_insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if identity is not None:
        context.load_cert_chain(*identity)
    return context


@asynccontextmanager
async def _closed_on_failure(plain: ByteStream) -> AsyncIterator[None]:
    try:
        yield
    except BaseException:
        await plain.close()
        raise


async def _ask(connection: BackendConnection, plain: ByteStream, request: ProxiedRequest) -> ProxiedResponse:
    async with _closed_on_failure(plain):
        return await connection.request(request)


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
