"""Takes a request through the server's stages, in order; the first that replies ends it."""

import base64
import ipaddress
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from minikube_py.apiserver.aggregation.apis import AggregatedApis
from minikube_py.apiserver.anonymous import anonymous_user
from minikube_py.apiserver.authn.protocol import Authenticator, Credentials
from minikube_py.apiserver.authorizing import authorize
from minikube_py.apiserver.call import ApiCall
from minikube_py.apiserver.codecs import Format, TextBody, check_media_type, encode, negotiate
from minikube_py.apiserver.context import ServerContext
from minikube_py.apiserver.dispatch import check_route, find_handler, find_kind
from minikube_py.apiserver.impersonation import impersonate, is_impersonating
from minikube_py.apiserver.long_work import LARGE_BYTES, LONG_BYTES, free_later, run_step
from minikube_py.apiserver.messages import WEBSOCKET_TOKEN, HttpRequest, Reply, Taken
from minikube_py.apiserver.query_options import check_timeout, check_write_options
from minikube_py.apiserver.reads import read_many, read_one
from minikube_py.apiserver.replies import reply_with_answer, reply_with_list, reply_with_record
from minikube_py.apiserver.request_info import RequestInfo, is_true, parse_request
from minikube_py.apiserver.virtual import VIRTUAL, VIRTUAL_READS
from minikube_py.apiserver.watch_frames import reply_with_watch
from minikube_py.objects.apply import manager_of
from minikube_py.objects.errors import (
    ApiError,
    Forbidden,
    InternalError,
    MethodNotAllowed,
    TooManyRequests,
    Unauthorized,
    UnknownPath,
)
from minikube_py.resources.kind import ResourceKind

if TYPE_CHECKING:
    from minikube_py.apiserver.audit.auditor import Auditor

log = logging.getLogger(__name__)

PathHandler = Callable[[HttpRequest], Awaitable[Reply]]
_STREAMING = frozenset(("exec", "attach", "portforward", "log", "proxy"))
_CONNECTIONS = frozenset(("exec", "attach", "portforward"))
_REMEMBERED_HOSTS = 256
_LOCAL_NAMES = frozenset(("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "mkube"))


@dataclass
class Pipeline:
    """What the stages work with. find_path answers paths outside the API groups, such as /version.

    auditor None: there is no audit log. aggregated: the APIs of other servers.
    """

    context: ServerContext
    authenticator: Authenticator | None
    find_path: Callable[[str], PathHandler | None]
    host_names: frozenset[str] = frozenset()
    max_inflight: int = 400
    inflight: Counter[str] = field(default_factory=Counter)
    known_hosts: set[str] = field(default_factory=set)
    auditor: "Auditor | None" = None
    aggregated: AggregatedApis | None = None


Stage = Callable[[Pipeline, HttpRequest], Awaitable[Reply | Taken | None]]


async def check_host(pipeline: Pipeline, request: HttpRequest) -> None:
    """Refuses names that are not the server's: a web page can make a browser resolve its own name to this address."""
    named = request.headers.get("host", "")
    if named not in pipeline.known_hosts:
        host = _host_name(named).lower().removesuffix(".")
        if not _is_known(pipeline, host):
            raise Forbidden(f'the host name "{host}" is not one of this server', details={})
        if len(pipeline.known_hosts) >= _REMEMBERED_HOSTS:
            pipeline.known_hosts.clear()
        pipeline.known_hosts.add(named)
    origin = request.headers.get("origin")
    if origin is not None and _place_of(origin) != request.headers.get("host"):
        raise Forbidden("requests from web pages of another origin are not allowed", details={})


def _place_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _is_known(pipeline: Pipeline, host: str) -> bool:
    if not host or host in _LOCAL_NAMES or host in pipeline.host_names:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def check_deadline(_pipeline: Pipeline, request: HttpRequest) -> None:
    """Refuses a timeout that is none before it asks who calls, as Kubernetes does. Watches may say what they like."""
    if request.query and request.info.verb != "watch" and request.info.subresource not in _STREAMING:
        check_timeout(request.query)


async def authenticate(pipeline: Pipeline, request: HttpRequest) -> None:
    """Finds out who asks. Raises Unauthorized; public paths need no credential."""
    if pipeline.authenticator is not None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        bearer = token.strip() if scheme.lower() == "bearer" else ""
        bearer = bearer or _websocket_token(request.headers)
        credentials = Credentials(request.headers, request.peer_certificate, bearer, request.exchange.header_values)
        answer = await pipeline.authenticator.authenticate(credentials)
        if answer is not None:
            request.user = answer.user
            return
    anonymous = anonymous_user(request.path, request.method)
    if anonymous is None:
        raise Unauthorized("Unauthorized", details={})
    request.user = anonymous


def _websocket_token(headers: Mapping[str, str]) -> str:
    """Browsers can't set headers on a WebSocket, so the token may come as one of its subprotocols."""
    for protocol in headers.get("sec-websocket-protocol", "").split(","):
        name = protocol.strip()
        if name.startswith(WEBSOCKET_TOKEN):
            try:
                padded = name[len(WEBSOCKET_TOKEN) :] + "=" * (-len(name[len(WEBSOCKET_TOKEN) :]) % 4)
                return base64.urlsafe_b64decode(padded).decode()
            except ValueError:
                raise Unauthorized("Unauthorized", details={}) from None
    return ""


async def audit(pipeline: Pipeline, request: HttpRequest) -> None:
    """Begins the request's trail in the audit log, if its policy wants one."""
    if pipeline.auditor is not None:
        pipeline.auditor.follow(request)


async def act_as(pipeline: Pipeline, request: HttpRequest) -> None:
    """Impersonation."""
    if not is_impersonating(request.headers) or pipeline.context.authorizer is None:
        return
    names = {name for name in request.headers if name.startswith("impersonate-")}
    values = {name: request.exchange.header_values(name) for name in names}
    acting = impersonate(request.user, values, pipeline.context.authorizer, as_connection(request.info))
    request.user = acting.user
    if request.audit is not None:
        request.audit.impersonate(acting.user, acting.constraint)


async def limit(pipeline: Pipeline, request: HttpRequest) -> None:
    """No user takes all of the server: past the limit the client is asked to come back in a second."""
    if request.info.verb == "watch" or request.info.subresource in _STREAMING:
        return
    name = request.user.name
    if pipeline.inflight[name] >= pipeline.max_inflight:
        raise TooManyRequests("too many requests, please try again later", details={"retryAfterSeconds": 1})
    pipeline.inflight[name] += 1

    def leave() -> None:
        pipeline.inflight[name] -= 1
        if not pipeline.inflight[name]:
            del pipeline.inflight[name]

    request.on_end.append(leave)


async def check_permission(pipeline: Pipeline, request: HttpRequest) -> None:
    annotations = request.audit.annotations if request.audit is not None else None
    authorize(pipeline.context, request.user, as_connection(request.info), annotations)


def as_connection(info: RequestInfo) -> RequestInfo:
    """exec, attach and port-forward need `create` whatever the HTTP verb: a WebSocket can only be opened with GET."""
    if info.subresource in _CONNECTIONS and info.resource == "pods" and not info.group:
        return replace(info, verb="create")
    return info


async def serve(pipeline: Pipeline, request: HttpRequest) -> Reply | Taken:
    """Dispatches to the API's resources, to one of the server's other paths, or to the server of an aggregated API."""
    if pipeline.aggregated is not None:
        api = pipeline.aggregated.of_path(request.path)
        if api is not None:
            return await pipeline.aggregated.forward(api, request)
    if not request.info.is_resource:
        handler = pipeline.find_path(request.path)
        if handler is None:
            raise UnknownPath
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed("the server does not allow this method on the requested resource", details={})
        return await handler(request)
    return await _serve_resource(pipeline, request)


STAGES = (check_host, check_deadline, authenticate, audit, act_as, limit, check_permission, serve)
IN_PROCESS = (audit, *STAGES[STAGES.index(limit) :])


async def run(pipeline: Pipeline, request: HttpRequest, stages: Sequence[Stage] = STAGES) -> Reply | Taken:
    """The reply to a request, which is counted; failures are Status objects."""
    counts, code = pipeline.context.counts, 0
    began = counts.began(request.method)
    try:
        reply = await _reply(pipeline, request, stages)
        code = 101 if isinstance(reply, Taken) else reply.code
        return reply
    finally:
        counts.ended(request.method, request.info, code, began)


async def _reply(pipeline: Pipeline, request: HttpRequest, stages: Sequence[Stage]) -> Reply | Taken:
    """The reply to a request; failures become Status objects here and nowhere else."""
    try:
        request.info = parse_request(request.path, request.method, request.query)
        for stage in stages:
            reply = await stage(pipeline, request)
            if reply is not None:
                return _listened(pipeline, request, reply)
        raise InternalError.of("no stage replied")
    except ApiError as error:
        if pipeline.auditor is not None and request.audit is None and error.code == 401:
            pipeline.auditor.refuse(request)
        return _listened(pipeline, request, status_reply(request, error))
    except Exception as error:
        log.exception("%s %s failed", request.method, request.path)
        if request.audit is not None:
            request.audit.panic(error)
        return status_reply(request, InternalError.of(f"{type(error).__name__}: {error}"))
    finally:
        for leave in request.on_end:
            leave()


def _listened(pipeline: Pipeline, request: HttpRequest, reply: Reply | Taken) -> Reply | Taken:
    if request.audit is None or pipeline.auditor is None:
        return reply
    return pipeline.auditor.listen(request.audit, reply)


def status_reply(request: HttpRequest, error: ApiError) -> Reply:
    form = Format()
    try:
        wanted = negotiate(request.headers.get("accept", ""))
        form = Format(wanted.media_type)
    except ApiError:
        pass
    reply = Reply(encode(error.to_status(), form), error.code, form.content_type)
    if error.retry_after_seconds:
        reply.headers["Retry-After"] = str(error.retry_after_seconds)
    if error.code == 401:
        reply.headers["WWW-Authenticate"] = 'Bearer realm="mkube"'
    return reply


async def _serve_resource(pipeline: Pipeline, request: HttpRequest) -> Reply | Taken:
    context, info = pipeline.context, request.info
    kind = find_kind(context, info)
    check_route(kind, info, request.method)
    agent = request.headers.get("user-agent", "")
    call = ApiCall(
        context, info, kind, request.user, request.query,
        manager=manager_of("", agent) or "unknown", warnings=request.warnings, exchange=request.exchange,
        is_answer_shared=True,
    )  # fmt: skip
    if request.audit is not None:
        call.audit_annotations = request.audit.annotations
    if kind.rules.deprecation:
        call.warnings.append(kind.rules.deprecation)
        call.audit_annotations["k8s.io/deprecated"] = "true"
    form = format_of(request, kind)
    handler = find_handler(call)
    if handler is None:
        if info.verb == "get":
            return reply_with_record(call, await read_one(call), form)
        if info.verb == "list":
            return await reply_with_list(call, await read_many(call), form)
        return await reply_with_watch(call, form)
    if info.subresource not in _STREAMING:
        check_write_options(call)
        content_type = request.headers.get("content-type", "")
        body = await request.exchange.read_body()
        if body:
            check_media_type(content_type, info.verb)
        call.body = TextBody(body, content_type)
        call.size = len(body)
        if request.audit is not None and pipeline.auditor is not None:
            pipeline.auditor.take_body(request.audit, call.body, info.verb)
        if call.size > LONG_BYTES:
            request.on_end.append(lambda: free_later(call))
    answer = await handler(call)
    if answer is None:
        return Taken()
    if call.size > LARGE_BYTES:
        call.leftovers.append(answer.obj)
    return await run_step(call, reply_with_answer, call, answer, form)


def format_of(request: HttpRequest, kind: ResourceKind) -> Format:
    """What the client accepts; people with a browser or curl get indented JSON."""
    if request.info.subresource in _STREAMING:
        return Format()
    info = request.info
    form = negotiate(
        request.headers.get("accept", ""),
        is_transformable=(info.group, info.resource) not in VIRTUAL,
        has_protobuf=bool(info.subresource) or not (kind.custom or (info.group, info.resource) in VIRTUAL_READS),
    )
    pretty = request.query.get("pretty")
    if pretty is None:
        agent = request.headers.get("user-agent", "")
        is_pretty = agent.startswith(("curl", "Wget", "Mozilla/5.0"))
    else:
        is_pretty = is_true(pretty)
    return replace(form, is_pretty=True) if is_pretty and form.media_type == "application/json" else form
