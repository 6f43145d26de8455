"""Finds what a request tuple is about and who answers it: reads, writes, a subresource, or a virtual kind."""

from minikube_py.apiserver.authz.messages import forbidden
from minikube_py.apiserver.authz.protocol import Verdict
from minikube_py.apiserver.call import Answer, ApiCall, Handler
from minikube_py.apiserver.context import ServerContext
from minikube_py.apiserver.creating import create
from minikube_py.apiserver.deleting import delete, delete_collection
from minikube_py.apiserver.patching import patch
from minikube_py.apiserver.request_info import RequestInfo, UserInfo
from minikube_py.apiserver.subresources.catalog import SUBRESOURCES
from minikube_py.apiserver.updating import update
from minikube_py.apiserver.virtual import VIRTUAL
from minikube_py.objects.errors import MethodNotAllowed, UnknownPath
from minikube_py.resources.kind import ResourceKind

WRITES: dict[str, Handler] = {
    "create": create,
    "update": update,
    "patch": patch,
    "delete": delete,
    "deletecollection": delete_collection,
}
READS = frozenset(("get", "list", "watch"))


def authorize(context: ServerContext, user: UserInfo, info: RequestInfo) -> None:
    """Raises Forbidden unless an authorizer allows the request."""
    if context.authorizer is None:
        return
    decision = context.authorizer.authorize(user, info)
    if decision.verdict is not Verdict.ALLOW:
        raise forbidden(user, info, decision.reason)


def find_kind(context: ServerContext, info: RequestInfo) -> ResourceKind:
    """The kind a resource request is about. Raises UnknownPath for what isn't served."""
    kind = context.registry.find(info.gvr)
    if kind is None or (info.namespace and not kind.namespaced and kind.plural != "namespaces"):
        raise UnknownPath
    return kind


def find_handler(call: ApiCall) -> Handler | None:
    """Who answers; None for get, list and watch of stored objects. Raises UnknownPath, MethodNotAllowed."""
    info, kind = call.info, call.kind
    if info.subresource:
        place = (info.group, info.resource, info.subresource)
        handler = SUBRESOURCES.get(place) or SUBRESOURCES.get(("*", "*", info.subresource))
        if handler is None or info.subresource not in kind.subresources:
            raise UnknownPath
        return handler
    virtual = VIRTUAL.get((info.group, info.resource))
    if virtual is not None:
        if info.verb != "create":
            raise not_allowed(info)
        return virtual
    if info.verb not in kind.verbs:
        raise not_allowed(info)
    return WRITES.get(info.verb)


def not_allowed(info: RequestInfo) -> MethodNotAllowed:
    details = {"group": info.group, "kind": info.resource} if info.group else {"kind": info.resource}
    return MethodNotAllowed("the server does not allow this method on the requested resource", details=details)


async def write(call: ApiCall) -> Answer | None:
    """Runs the handler of anything but a read."""
    handler = find_handler(call)
    if handler is None:
        raise not_allowed(call.info)
    return await handler(call)
