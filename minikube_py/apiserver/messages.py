"""The HTTP request and reply as the pipeline sees them, free of any web framework."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from minikube_py.apiserver.call import Exchange
from minikube_py.apiserver.codecs import JSON
from minikube_py.apiserver.request_info import RequestInfo, UserInfo

if TYPE_CHECKING:
    from minikube_py.apiserver.audit.trail import AuditTrail

WEBSOCKET_TOKEN = "base64url.bearer.authorization.k8s.io."
"""Browsers can't set headers on a WebSocket, so a bearer token may follow this as one of its subprotocols."""

_UNPARSED = RequestInfo("", "")
_NOBODY = UserInfo("")


@dataclass
class HttpRequest:
    """One request. Header names are in lower case; `info` and `user` are filled in by the stages.

    `on_end` collects what has to happen when the request is over, however it ends; `audit` is its trail in the audit
    log, where the policy wants one.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    exchange: Exchange
    peer_certificate: bytes = b""
    info: RequestInfo = _UNPARSED
    user: UserInfo = _NOBODY
    warnings: list[str] = field(default_factory=list)
    on_end: list[Callable[[], None]] = field(default_factory=list)
    audit: "AuditTrail | None" = None


@dataclass
class Reply:
    """One answer: a body, or chunks of a known end, or a stream that goes on until somebody stops.

    `close` ends what the stream holds on to, also when nobody has begun to read it.
    """

    body: bytes = b""
    code: int = 200
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    chunks: Iterator[bytes] | None = None
    stream: AsyncIterator[bytes] | None = None
    close: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True)
class Taken:
    """The handler has answered through the exchange itself."""
