"""/scale of custom kinds: a Scale read from and written to the paths that the definition names."""

from collections.abc import Callable

from minikube_py.apiserver.call import Answer, ApiCall, TreeBody
from minikube_py.apiserver.decoding import check_body
from minikube_py.apiserver.patching import patch_tree
from minikube_py.apiserver.reads import read_one
from minikube_py.apiserver.subresources.bodies import check_as, decode_body
from minikube_py.apiserver.subresources.scale import SCALE
from minikube_py.apiserver.updating import change
from minikube_py.apiserver.writes import WholeObject
from minikube_py.objects.errors import BadRequest, InternalError, Invalid, MethodNotAllowed, Object, UnknownPath
from minikube_py.objects.meta import deep_copy
from minikube_py.resources import schema
from minikube_py.resources.custom.definition import ScalePaths
from minikube_py.resources.custom.scale import nested, set_nested
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.schema_table import definition_of

_KEPT_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


class _ScaleView:
    def __init__(self, paths: ScalePaths) -> None:
        self._paths = paths

    def of(self, obj: Object) -> Object:
        return _scale(obj, self._paths, nested(obj, self._paths.spec_replicas))

    def put(self, obj: Object, view: Object) -> None:
        set_nested(obj, self._paths.spec_replicas, (view.get("spec") or {}).get("replicas") or 0)


class _Scaled(WholeObject):
    subresource = "scale"

    def __init__(self, paths: ScalePaths) -> None:
        self.view = _ScaleView(paths)


async def custom_scale(call: ApiCall) -> Answer:
    """GET, PUT and PATCH of the Scale of a custom object."""
    custom = call.kind.custom_schema
    if custom is None or custom.scale is None:
        raise UnknownPath
    paths, verb = custom.scale, call.info.verb
    if verb == "get":
        return Answer(scale_of(call.context.records.shared(call.kind, await read_one(call)), paths))
    if verb == "update":
        sent = decode_body(call, SCALE)
        name = sent.setdefault("metadata", {}).setdefault("name", call.info.name)
        if name != call.info.name:
            raise BadRequest(f"the name of the object ({name}) does not match the name on the URL ({call.info.name})")
        answer = await change(call, lambda old: _scaled(old, sent, paths), _Scaled(paths))
    elif verb == "patch":
        answer = await change(call, _patcher(call, paths), _Scaled(paths))
    else:
        raise MethodNotAllowed("the server does not allow this method on the requested resource", details={})
    return Answer(scale_of(answer.obj or {}, paths))


def _patcher(call: ApiCall, paths: ScalePaths) -> Callable[[Object], Object]:
    document, media_type = call.body.tree(), call.body.media_type
    node = schema.node_of(definition_of(*SCALE) or "")

    def produce(old: Object) -> Object:
        patched = patch_tree(scale_of(old, paths), document, media_type, node)
        check_body(call, patched, SCALE)
        check_as(call, patched, SCALE, TreeBody(patched).complaints)
        return _scaled(old, patched, paths)

    return produce


def _scaled(old: Object, wanted: Object, paths: ScalePaths) -> Object:
    replicas = (wanted.get("spec") or {}).get("replicas") or 0
    if replicas < 0:
        errors = FieldErrors()
        errors.invalid(Path("spec.replicas"), replicas, "must be greater than or equal to 0")
        raise Invalid.of(SCALE.group, SCALE.kind, old["metadata"]["name"], errors.causes)
    new = deep_copy(old)
    set_nested(new, paths.spec_replicas, replicas)
    for key in ("resourceVersion", "uid"):
        if (wanted.get("metadata") or {}).get(key):
            new["metadata"][key] = wanted["metadata"][key]
    return new


def scale_of(obj: Object, paths: ScalePaths) -> Object:
    """The Scale of a custom object. Raises InternalError when it has no number of replicas, as Kubernetes does."""
    wanted = nested(obj, paths.spec_replicas)
    if wanted is None:
        raise InternalError(f'the spec replicas field ".{".".join(paths.spec_replicas)}" does not exist')
    return _scale(obj, paths, wanted)


def _scale(obj: Object, paths: ScalePaths, wanted: int | None) -> Object:
    status: Object = {"replicas": nested(obj, paths.status_replicas) or 0}
    selector = nested(obj, paths.selector) if paths.selector else None
    if selector:
        status["selector"] = selector
    metadata = obj["metadata"]
    return {
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in _KEPT_METADATA if metadata.get(key)},
        "spec": {"replicas": wanted} if wanted else {}, "status": status,
    }  # fmt: skip
