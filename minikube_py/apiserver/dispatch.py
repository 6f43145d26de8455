"""Finds what a request tuple is about and who answers it: reads, writes, a subresource, or a virtual kind."""

from minikube_py.apiserver.call import Answer, ApiCall, Handler
from minikube_py.apiserver.context import ServerContext
from minikube_py.apiserver.creating import create
from minikube_py.apiserver.deleting import delete, delete_collection
from minikube_py.apiserver.patching import patch
from minikube_py.apiserver.request_info import NO_VERB, RequestInfo
from minikube_py.apiserver.subresources.catalog import SUBRESOURCES
from minikube_py.apiserver.updating import update
from minikube_py.apiserver.virtual import VIRTUAL, VIRTUAL_READS
from minikube_py.objects.errors import MethodNotAllowed, UnknownPath
from minikube_py.resources.kind import ResourceKind

WRITES: dict[str, Handler] = {
    "create": create,
    "update": update,
    "patch": patch,
    "delete": delete,
    "deletecollection": delete_collection,
}
_OBJECT_VERBS = frozenset(("get", "update", "patch", "delete", "watch"))
_COLLECTION_VERBS = frozenset(("list", "watch", "create", "deletecollection"))
_EVERYWHERE_VERBS = frozenset(("list", "watch"))


def find_kind(context: ServerContext, info: RequestInfo) -> ResourceKind:
    """The kind a resource request is about. Raises UnknownPath for what isn't served."""
    kind = context.registry.find(info.gvr)
    if kind is None or (info.namespace and not kind.namespaced and not _is_namespace_itself(info, kind)):
        raise UnknownPath
    return kind


def _is_namespace_itself(info: RequestInfo, kind: ResourceKind) -> bool:
    """Whoever may do something in a namespace may do it to that namespace, and to no other."""
    return kind.plural == "namespaces" and not kind.group and info.name == info.namespace


def check_route(kind: ResourceKind, info: RequestInfo, method: str) -> None:
    """Whether the URL and the method go together, as routes do. Raises UnknownPath, MethodNotAllowed."""
    depth, path = len(info.parts), info.path.partition("/proxy/")[0]
    if "//" in path or (info.path.startswith("/apis/") and not info.group):
        raise UnknownPath
    if (depth > 3 and info.subresource != "proxy") or (depth > 1 and kind.namespaced and not info.namespace):
        raise UnknownPath
    if info.subresource:
        if info.verb == NO_VERB and method != "OPTIONS":
            raise not_allowed(info)
        return
    verbs = _OBJECT_VERBS if depth > 1 else _COLLECTION_VERBS
    if depth == 1 and kind.namespaced and not info.namespace:
        verbs = _EVERYWHERE_VERBS
    if info.verb not in verbs or (info.verb == "watch" and method not in ("GET", "HEAD")):
        raise not_allowed(info)


def find_handler(call: ApiCall) -> Handler | None:
    """Who answers; None for get, list and watch of stored objects. Raises UnknownPath, MethodNotAllowed."""
    info, kind = call.info, call.kind
    if info.subresource:
        place = (info.group, info.resource, info.subresource)
        handler = SUBRESOURCES.get(place) or SUBRESOURCES.get(("*", "*", info.subresource))
        subresource = kind.subresources.get(info.subresource)
        if handler is None or subresource is None:
            raise UnknownPath
        if info.verb not in subresource.verbs and (info.subresource, info.verb) != ("proxy", NO_VERB):
            raise not_allowed(info)
        return handler
    virtual = VIRTUAL.get((info.group, info.resource))
    if virtual is not None:
        if info.verb != "create":
            raise not_allowed(info)
        return virtual
    if info.verb not in kind.verbs:
        raise not_allowed(info)
    return VIRTUAL_READS.get((info.group, info.resource)) or WRITES.get(info.verb)


def not_allowed(info: RequestInfo) -> MethodNotAllowed:
    details = {"group": info.group, "kind": info.resource} if info.group else {"kind": info.resource}
    return MethodNotAllowed("the server does not allow this method on the requested resource", details=details)


async def write(call: ApiCall) -> Answer | None:
    """Runs the handler of anything but a read."""
    handler = find_handler(call)
    if handler is None:
        raise not_allowed(call.info)
    return await handler(call)
