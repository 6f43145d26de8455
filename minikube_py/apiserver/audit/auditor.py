"""Decides by the policy which requests get an audit trail, and listens to their replies."""

import ipaddress
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import partial
from urllib.parse import quote

import orjson

from minikube_py.apiserver import protobuf, yaml_codec
from minikube_py.apiserver.audit.policy import AuditPolicy, Level
from minikube_py.apiserver.audit.trail import AuditTrail, Origin, Sink
from minikube_py.apiserver.call import Body, ByteChannel, Exchange, MessageChannel, ResponseStream
from minikube_py.apiserver.codecs import PROTOBUF, YAML
from minikube_py.apiserver.messages import HttpRequest, Reply, Taken
from minikube_py.apiserver.request_info import RequestInfo, UserInfo
from minikube_py.objects.errors import ApiError

AUDIT_ID = "Audit-Id"
_NOBODY = UserInfo("")
_FAILED = "Authentication failed, attempted: {}"
_ANONYMOUS = "Authentication failed, no credentials provided"


class Auditor:
    """One policy and one log."""

    def __init__(self, policy: AuditPolicy, sink: Sink) -> None:
        self._policy = policy
        self._sink = sink

    def begin(self, user: UserInfo, info: RequestInfo, origin: Callable[[], Origin]) -> AuditTrail | None:
        """The trail of a request that has just come in, or None when the policy doesn't want it."""
        verdict = self._policy.judge(user, info)
        if verdict.level is Level.NONE:
            return None
        return AuditTrail(self._sink, verdict, (user, info), origin())

    def follow(self, request: HttpRequest) -> None:
        """Begins the trail of an authenticated request and of what it does with its connection."""
        trail = self.begin(request.user, request.info, partial(origin_of, request))
        if trail is not None:
            request.audit = trail
            request.exchange = _WatchedExchange(request.exchange, trail)
            request.on_end.append(trail.abandon)
            trail.receive()

    def refuse(self, request: HttpRequest) -> None:
        """Writes down a request that nobody could be found for."""
        trail = self.begin(_NOBODY, request.info, partial(origin_of, request))
        if trail is not None:
            ways = attempts(request)
            trail.refuse(401, _FAILED.format(", ".join(ways)) if ways else _ANONYMOUS)

    def take_body(self, trail: AuditTrail, body: Body, verb: str) -> None:
        """Notes the request's body; one that can't be read is answered with an error soon, and has no place here."""
        try:
            trail.take_request(body.tree(), verb)
        except ApiError:
            return

    def listen(self, trail: AuditTrail, reply: Reply | Taken) -> Reply | Taken:
        """The reply, with its trail completed now, or at the end of its stream."""
        if isinstance(reply, Taken):
            trail.complete()
            return reply
        reply.headers[AUDIT_ID] = trail.audit_id
        if reply.stream is not None:
            trail.start(reply.code)
            trail.is_streaming = True
            reply.stream = _until_end(trail, reply.stream)
            return reply
        if reply.chunks is not None and trail.wants_response:
            reply.body, reply.chunks = b"".join(reply.chunks), None
        if trail.is_long:
            trail.start(reply.code)
        trail.answer(reply.code, _json_of(reply) if trail.wants_response or reply.code >= 400 else b"")
        trail.complete()
        return reply


def attempts(request: HttpRequest) -> list[str]:
    """The kinds of credentials that a request came with."""
    ways = []
    scheme = request.headers.get("authorization", "").partition(" ")[0].lower()
    if scheme:
        ways.append(scheme if scheme in ("basic", "bearer") else "unknown")
    if request.peer_certificate:
        ways.append("x509")
    return ways


def origin_of(request: HttpRequest) -> Origin:
    query = request.exchange.raw_query
    path = quote(request.path, safe="/:@!$&'()*+,;=-._~")
    headers = request.headers
    return Origin(
        f"{path}?{query}" if query else path,
        tuple(_source_addresses(headers, request.exchange.peer_address())),
        headers.get("user-agent", ""),
        headers.get("audit-id", ""),
    )


def _source_addresses(headers: Mapping[str, str], peer: str) -> Iterable[str]:
    """The addresses that proxies say the request came by, then the peer's own, which alone can't be made up."""
    said = (part.strip() for part in headers.get("x-forwarded-for", "").split(","))
    addresses = [address for address in said if _is_address(address)]
    real = headers.get("x-real-ip", "").strip()
    if real not in addresses and _is_address(real):
        addresses.append(real)
    if peer and addresses[-1:] != [peer]:
        addresses.append(peer)
    return addresses


def _is_address(text: str) -> bool:
    if not text:
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


async def _until_end(trail: AuditTrail, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for frame in stream:
            yield frame
    finally:
        trail.complete()


def _json_of(reply: Reply) -> bytes:
    """The JSON text of a reply in any of the API's formats; b'' for plain text and the like."""
    if reply.content_type.startswith("application/json"):
        return reply.body.strip()
    if reply.content_type == PROTOBUF and reply.body.startswith(protobuf.MAGIC):
        return orjson.dumps(protobuf.decode(reply.body))
    if reply.content_type == YAML:
        return orjson.dumps(yaml_codec.load(reply.body)[0])
    return b""


class _WatchedExchange:
    """An exchange that tells the trail when the handler begins to answer by itself."""

    def __init__(self, exchange: Exchange, trail: AuditTrail) -> None:
        self._exchange = exchange
        self._trail = trail
        self.method = exchange.method
        self.headers = exchange.headers
        self.raw_query = exchange.raw_query

    async def websocket(self, protocols: tuple[str, ...]) -> MessageChannel:
        channel = await self._exchange.websocket(protocols)
        self._trail.start(101)
        return channel

    async def upgrade(self, protocol: str, headers: Mapping[str, str]) -> ByteChannel:
        channel = await self._exchange.upgrade(protocol, {**headers, AUDIT_ID: self._trail.audit_id})
        self._trail.start(101)
        return channel

    async def start(self, code: int, headers: Mapping[str, str]) -> ResponseStream:
        stream = await self._exchange.start(code, {**headers, AUDIT_ID: self._trail.audit_id})
        self._trail.start(code)
        return stream

    async def read_body(self) -> bytes:
        return await self._exchange.read_body()

    def body_chunks(self) -> AsyncIterator[bytes]:
        return self._exchange.body_chunks()

    def header_values(self, name: str) -> list[str]:
        return self._exchange.header_values(name)

    def query_values(self, name: str) -> list[str]:
        return self._exchange.query_values(name)

    def peer_address(self) -> str:
        return self._exchange.peer_address()
