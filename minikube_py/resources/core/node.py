"""Nodes: taints, pod ranges, what may change, roles and addresses in tables."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.conditions import get_condition
from minikube_py.objects.errors import Object
from minikube_py.resources import object_warnings
from minikube_py.resources.core.affinity_rules import TAINT_EFFECTS
from minikube_py.resources.core.resource_rules import validate_resource_name, validate_resource_quantity
from minikube_py.resources.fields import FieldErrors, Path, is_same
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, NONE, UNKNOWN, age, join, text
from minikube_py.resources.value_rules import validate_canonical_cidr, validate_label_name

SPEC, STATUS = Path("spec"), Path("status")
ROLE_PREFIX, ROLE_LABEL = "node-role.kubernetes.io/", "kubernetes.io/role"


def default(node: Object) -> None:
    status = node.get("status")
    if status and status.get("allocatable") is None and status.get("capacity") is not None:
        status["allocatable"] = dict(status["capacity"])
    ranges = node.setdefault("spec", {})
    if ranges.get("podCIDR") and not ranges.get("podCIDRs"):
        ranges["podCIDRs"] = [ranges["podCIDR"]]
    elif ranges.get("podCIDRs") and not ranges.get("podCIDR"):
        ranges["podCIDR"] = ranges["podCIDRs"][0]


def validate(node: Object, errors: FieldErrors) -> None:
    spec, status = node.get("spec") or {}, node.get("status") or {}
    validate_taints(spec.get("taints") or (), SPEC.child("taints"), errors)
    ranges = spec.get("podCIDRs") or []
    for index, cidr in enumerate(ranges):
        validate_canonical_cidr(cidr, SPEC.child("podCIDRs").index(index), errors)
    if len(ranges) > 2 or (len(ranges) == 2 and (":" in ranges[0]) == (":" in ranges[1])):
        errors.invalid(SPEC.child("podCIDRs"), ranges, "may specify no more than one CIDR for each IP family")
    validate_node_resources(status, errors)


def validate_node_resources(status: Object, errors: FieldErrors) -> None:
    for key in ("capacity", "allocatable"):
        for name, amount in (status.get(key) or {}).items():
            at = STATUS.child(key).key(name)
            validate_resource_name(name, at, errors)
            validate_resource_quantity(name, amount, at, errors)


def validate_taints(taints: list[Object] | tuple[()], path: Path, errors: FieldErrors) -> None:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        at = path.index(index)
        key, value, effect = taint.get("key", ""), taint.get("value", ""), taint.get("effect", "")
        validate_label_name(key, at.child("key"), errors)
        problems = meta.label_value(value)
        if problems:
            errors.invalid(at.child("value"), value, ";".join(problems))
        errors.enum(at.child("effect"), effect, TAINT_EFFECTS)
        if (key, effect) in seen:
            errors.duplicate(at, taint)
            errors.causes[-1] = type(errors.causes[-1])(
                errors.causes[-1].reason,
                f"{errors.causes[-1].message}: taints must be unique by key and effect pair",
                errors.causes[-1].field,
            )
        seen.add((key, effect))


def validate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    validate(new, errors)
    fresh, stored = new.get("spec") or {}, old.get("spec") or {}
    before, after = stored.get("podCIDRs") or [], fresh.get("podCIDRs") or []
    if before and before != after:
        errors.forbidden(SPEC.child("podCIDRs"), 'node updates may not change podCIDR except from "" to valid')
    if stored.get("providerID") and stored["providerID"] != fresh.get("providerID"):
        errors.forbidden(SPEC.child("providerID"), 'node updates may not change providerID except from "" to valid')
    free = ("podCIDR", "podCIDRs", "providerID", "unschedulable", "taints", "configSource")
    rest = [{k: v for k, v in spec.items() if k not in free} for spec in (fresh, stored)]
    if not is_same(rest[0], rest[1]):
        errors.forbidden(SPEC, "node updates may only change labels, taints, or capacity")


def validate_status(new: Object, _old: Object, errors: FieldErrors) -> None:
    status = new.get("status") or {}
    seen: set[tuple[str, str]] = set()
    for index, address in enumerate(status.get("addresses") or ()):
        key = (address.get("type", ""), address.get("address", ""))
        if key in seen:
            errors.duplicate(STATUS.child("addresses").index(index), address)
        seen.add(key)
    validate_node_resources(status, errors)


def status_text(node: Object) -> str:
    """Ready, NotReady or Unknown, and whether pods may be scheduled."""
    ready = get_condition((node.get("status") or {}).get("conditions"), "Ready")
    words = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if (node.get("spec") or {}).get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def roles(node: Object) -> list[str]:
    found = set()
    for key, value in meta.labels(node).items():
        if key.startswith(ROLE_PREFIX) and key != ROLE_PREFIX:
            found.add(key.removeprefix(ROLE_PREFIX))
        elif key == ROLE_LABEL and value:
            found.add(value)
    return sorted(found)


def _address(node: Object, type_: str) -> str:
    for address in (node.get("status") or {}).get("addresses") or ():
        if address.get("type") == type_:
            return str(address.get("address", ""))
    return NONE


def row(node: Object) -> list[Any]:
    info = (node.get("status") or {}).get("nodeInfo") or {}
    return [
        meta.name(node),
        status_text(node),
        join(roles(node)),
        age(node),
        info.get("kubeletVersion", ""),
        _address(node, "InternalIP"),
        _address(node, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def fields(node: Object) -> dict[str, str]:
    return {"spec.unschedulable": "true" if (node.get("spec") or {}).get("unschedulable") else "false"}


RULES = KindRules(
    warnings=object_warnings.of_node,
    default=default,
    validate=validate,
    validate_update=validate_update,
    validate_status=validate_status,
    columns=(
        NAME,
        text("Status", "The status of the node"),
        text("Roles", "The roles of the node"),
        AGE,
        text("Version", "Kubelet Version reported by the node."),
        text("Internal-IP", "An address inside the cluster.", wide=True),
        text("External-IP", "An address from outside.", wide=True),
        text("OS-Image", "OS Image reported by the node.", wide=True),
        text("Kernel-Version", "Kernel Version reported by the node.", wide=True),
        text("Container-Runtime", "ContainerRuntime Version reported by the node.", wide=True),
    ),
    row=row,
    fields=fields,
)
