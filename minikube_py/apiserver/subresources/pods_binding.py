"""pods/binding (and bindings): gives a pod to a node, once and for all."""

from dataclasses import replace

from minikube_py import clock
from minikube_py.apiserver.call import Answer, ApiCall
from minikube_py.apiserver.subresources.bodies import decode_body
from minikube_py.apiserver.updating import change, check_preconditions, find_record
from minikube_py.apiserver.writes import WholeObject, admission_request, admit, mutate
from minikube_py.objects.conditions import observed
from minikube_py.objects.errors import Conflict, Invalid, NotFound, Object, UnknownPath
from minikube_py.objects.meta import deep_copy
from minikube_py.resources.core import binding as rules
from minikube_py.resources.fields import FieldErrors
from minikube_py.resources.kind import GVK, GVR, ResourceKind

BINDING = GVK("", "v1", "Binding")
_PODS = GVR("", "v1", "pods")


class _Bound(WholeObject):
    """The one write that sets spec.nodeName: the rules of ordinary updates would forbid it."""

    subresource = "binding"
    raises_generation = False

    def prepare(self, kind: ResourceKind, new: Object, old: Object) -> None:
        return None

    def validate(self, kind: ResourceKind, new: Object, old: Object, errors: FieldErrors) -> None:
        return None


_BOUND = _Bound()


async def bind_by_name(call: ApiCall) -> Answer:
    """POST to bindings: the pod is the one the binding is named after."""
    kind = call.context.registry.find(_PODS)
    if kind is None:
        raise UnknownPath
    name = ((call.body.tree() or {}).get("metadata") or {}).get("name", "")
    info = replace(call.info, resource="pods", name=name, subresource="binding")
    return await bind(replace(call, kind=kind, info=info))


async def bind(call: ApiCall) -> Answer:
    """POST to pods/NAME/binding. Answers with a Status."""
    binding = decode_body(call, BINDING)
    metadata = binding.setdefault("metadata", {})
    metadata.setdefault("namespace", call.info.namespace)
    metadata.setdefault("name", call.info.name)
    errors = FieldErrors()
    rules.validate(binding, errors)
    if errors:
        raise Invalid.of("", "Binding", call.info.name, errors.causes)
    record = find_record(call)
    if record is None:
        raise NotFound.of("", "pods", call.info.name)
    pod = call.context.records.shared(call.kind, record)
    check_preconditions(call, metadata, record, pod)
    request = admission_request(call, "CREATE", binding, None)
    await mutate(call, request)
    await admit(call, request)
    await change(call, lambda old: _assigned(call, old, binding), _BOUND, is_admitted=True)
    return Answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, code=201)


def _assigned(call: ApiCall, old: Object, binding: Object) -> Object:
    """The pod on its node. Raises Conflict where it can't go there any more."""
    name, spec = call.info.name, old.get("spec") or {}
    node = binding["target"]["name"]
    if old["metadata"].get("deletionTimestamp"):
        raise _conflict(name, f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise _conflict(name, f'pod {name} is already assigned to node "{spec["nodeName"]}"')
    if spec.get("schedulingGates"):
        raise _conflict(name, f"pod {name} has non-empty .spec.schedulingGates")
    new = deep_copy(old)
    new["spec"]["nodeName"] = node
    for key in ("annotations", "labels"):
        if binding["metadata"].get(key):
            new["metadata"][key] = {**(new["metadata"].get(key) or {}), **binding["metadata"][key]}
    conditions = [c for c in (new.get("status") or {}).get("conditions") or () if c["type"] != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": clock.rfc3339(), **observed(new)}
    new.setdefault("status", {})["conditions"] = [*conditions, scheduled]
    return new


def _conflict(name: str, why: str) -> Conflict:
    return Conflict.of("", "pods/binding", name, why)
