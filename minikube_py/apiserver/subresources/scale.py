"""/scale: the number of replicas of a workload, as an autoscaling/v1 Scale."""

from collections.abc import Callable

from minikube_py.apiserver.call import Answer, ApiCall, TreeBody
from minikube_py.apiserver.decoding import check_body
from minikube_py.apiserver.patching import patch_tree
from minikube_py.apiserver.reads import find
from minikube_py.apiserver.subresources.bodies import check_as, decode_body
from minikube_py.apiserver.updating import change
from minikube_py.apiserver.writes import WholeObject
from minikube_py.objects.errors import BadRequest, Invalid, MethodNotAllowed, Object
from minikube_py.objects.meta import deep_copy
from minikube_py.objects.selectors import format_label_selector
from minikube_py.resources import schema
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import GVK
from minikube_py.resources.schema_table import definition_of

SCALE = GVK("autoscaling", "v1", "Scale")
_KEPT_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


class _ScaleView:
    def of(self, obj: Object) -> Object:
        return scale_of(obj)

    def put(self, obj: Object, view: Object) -> None:
        obj["spec"]["replicas"] = (view.get("spec") or {}).get("replicas") or 0


class _Scaled(WholeObject):
    subresource = "scale"
    view = _ScaleView()


_SCALED = _Scaled()


async def scale(call: ApiCall) -> Answer:
    """GET, PUT and PATCH of a Scale. A resourceVersion in it is the optimistic lock of the workload."""
    verb = call.info.verb
    if verb == "get":
        return Answer(scale_of(call.context.records.shared(call.kind, find(call))))
    if verb == "update":
        sent = decode_body(call, SCALE)
        _check_name(call, sent)
        answer = await change(call, lambda old: _scaled(old, sent), _SCALED)
    elif verb == "patch":
        answer = await change(call, _patcher(call), _SCALED)
    else:
        raise MethodNotAllowed("the server does not allow this method on the requested resource", details={})
    return Answer(scale_of(answer.obj or {}))


def _patcher(call: ApiCall) -> Callable[[Object], Object]:
    document, media_type = call.body.tree(), call.body.media_type
    node = schema.node_of(definition_of(*SCALE) or "")

    def produce(old: Object) -> Object:
        patched = patch_tree(scale_of(old), document, media_type, node)
        check_body(call, patched, SCALE)
        check_as(call, patched, SCALE, TreeBody(patched).complaints)
        return _scaled(old, patched)

    return produce


def _check_name(call: ApiCall, sent: Object) -> None:
    name = sent.setdefault("metadata", {}).setdefault("name", call.info.name)
    if name != call.info.name:
        raise BadRequest(f"the name of the object ({name}) does not match the name on the URL ({call.info.name})")


def _scaled(old: Object, wanted: Object) -> Object:
    """The workload with the replicas of the Scale, carrying the Scale's lock."""
    replicas = (wanted.get("spec") or {}).get("replicas") or 0
    errors = FieldErrors()
    if replicas < 0:
        errors.invalid(Path("spec.replicas"), replicas, "must be greater than or equal to 0")
        raise Invalid.of(SCALE.group, SCALE.kind, old["metadata"]["name"], errors.causes)
    new = deep_copy(old)
    new["spec"]["replicas"] = replicas
    metadata = wanted.get("metadata") or {}
    for key in ("resourceVersion", "uid"):
        if metadata.get(key):
            new["metadata"][key] = metadata[key]
    return new


def scale_of(obj: Object) -> Object:
    """The Scale of a workload."""
    spec, status, metadata = obj.get("spec") or {}, obj.get("status") or {}, obj["metadata"]
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in _KEPT_METADATA if metadata.get(key)},
        "spec": {"replicas": spec["replicas"]} if spec.get("replicas") else {},
        "status": {"replicas": status.get("replicas") or 0, "selector": _selector_text(obj)},
    }


def _selector_text(obj: Object) -> str:
    selector = (obj.get("spec") or {}).get("selector") or {}
    if obj.get("kind") == "ReplicationController":
        return ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
    return format_label_selector(selector)
