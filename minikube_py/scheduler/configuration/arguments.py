"""Checks the arguments of plugins in a profile's pluginConfig, and fills in Kubernetes' defaults.

Source: pkg/scheduler/apis/config/validation and v1/defaults.go.
"""

from collections.abc import Callable
from typing import Any

from minikube_py.objects.errors import Object
from minikube_py.resources.core.affinity_rules import validate_affinity
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.value_rules import validate_label_name

LEAST, MOST, RATIO = "LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"
_FIELDS = {
    "DefaultPreemption": {"minCandidateNodesPercentage", "minCandidateNodesAbsolute"},
    "InterPodAffinity": {"hardPodAffinityWeight", "ignorePreferredTermsOfExistingPods"},
    "NodeAffinity": {"addedAffinity"},
    "NodeResourcesBalancedAllocation": {"resources"},
    "NodeResourcesFit": {"ignoredResources", "ignoredResourceGroups", "scoringStrategy"},
    "PodTopologySpread": {"defaultConstraints", "defaultingType"},
    "VolumeBinding": {"bindTimeoutSeconds"},
    "DynamicResources": {"filterTimeout", "bindingTimeout"},
}
_CPU_AND_MEMORY = [{"name": "cpu", "weight": 1}, {"name": "memory", "weight": 1}]


def read_arguments(name: str, args: Object, path: Path, errors: FieldErrors) -> Object:
    """The checked arguments of one plugin with the defaults in place."""
    kind = args.get("kind")
    if kind is not None and kind != f"{name}Args":
        errors.invalid(path.child("kind"), kind, f"must be {name}Args")
    for field in sorted(args.keys() - _FIELDS.get(name, set()) - {"apiVersion", "kind"}):
        errors.forbidden(path.child(field), "unknown field")
    check = _CHECKS.get(name)
    return check(dict(args), path, errors) if check is not None else args


def _integer(args: Object, path: Path, errors: FieldErrors, default: int, most: int | None = None) -> int:
    """A whole number from 0 to `most`; path ends in its name."""
    value = args.get(path.text.rpartition(".")[2])
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 0 or (most is not None and value > most):
        errors.invalid(path, value, f"not in valid range [0, {'inf)' if most is None else f'{most}]'}")
        return default
    return value


def _default_preemption(args: Object, path: Path, errors: FieldErrors) -> Object:
    percent, least = path.child("minCandidateNodesPercentage"), path.child("minCandidateNodesAbsolute")
    found = {
        "minCandidateNodesPercentage": _integer(args, percent, errors, 10, 100),
        "minCandidateNodesAbsolute": _integer(args, least, errors, 100),
    }
    if not any(found.values()):
        errors.invalid(percent, 0, "cannot be zero at the same time as minCandidateNodesAbsolute")
        errors.invalid(least, 0, "cannot be zero at the same time as minCandidateNodesPercentage")
    return found


def _inter_pod_affinity(args: Object, path: Path, errors: FieldErrors) -> Object:
    args["hardPodAffinityWeight"] = _integer(args, path.child("hardPodAffinityWeight"), errors, 1, 100)
    return args


def _node_affinity(args: Object, path: Path, errors: FieldErrors) -> Object:
    added = args.get("addedAffinity")
    if added is not None:
        found = FieldErrors()
        validate_affinity({"nodeAffinity": added}, path.child("addedAffinity"), found)
        for cause in found.causes:
            field = cause.field.replace("addedAffinity.nodeAffinity", "addedAffinity")
            errors.add(cause.reason, Path(field), cause.message)
    return args


def _resources(resources: Any, path: Path, errors: FieldErrors) -> list[Object]:
    found = []
    for number, entry in enumerate(resources or _CPU_AND_MEMORY):
        weight = entry.get("weight") or 1
        if not isinstance(weight, int) or not 0 < weight <= 100:
            why = f"resource weight of {entry.get('name')} not in valid range (0, 100]"
            errors.invalid(path.index(number).child("weight"), weight, why)
        found.append({"name": entry.get("name"), "weight": weight})
    return found


def _balanced(args: Object, path: Path, errors: FieldErrors) -> Object:
    place = path.child("resources")
    args["resources"] = _resources(args.get("resources"), place, errors)
    names = [entry["name"] for entry in args["resources"]]
    for number, entry in enumerate(args["resources"]):
        if entry["name"] in names[:number]:
            errors.duplicate(place.index(number).child("name"), entry["name"])
        if entry["weight"] != 1:
            errors.invalid(place.index(number).child("weight"), entry["weight"], "must be 1")
    return args


def _resources_fit(args: Object, path: Path, errors: FieldErrors) -> Object:
    for field in ("ignoredResources", "ignoredResourceGroups"):
        for number, value in enumerate(args.get(field) or ()):
            place = path.child(field).index(number)
            if field == "ignoredResourceGroups" and "/" in value:
                errors.invalid(place, value, "resource group name can't contain '/'")
            validate_label_name(value, place, errors)
    place = path.child("scoringStrategy")
    strategy = dict(args.get("scoringStrategy") or {"type": LEAST})
    if strategy.get("type") not in (LEAST, MOST, RATIO):
        errors.not_supported(place.child("type"), strategy.get("type") or "", [LEAST, MOST, RATIO])
    strategy["resources"] = _resources(strategy.get("resources"), place.child("resources"), errors)
    ratio, curve = place.child("requestedToCapacityRatio"), strategy.get("requestedToCapacityRatio")
    if strategy.get("type") == RATIO:
        if curve is None:
            errors.required(ratio, "must be specified when type is RequestedToCapacityRatio")
        else:
            _shape(curve.get("shape") or [], ratio.child("shape"), errors)
    elif curve is not None:
        errors.forbidden(ratio, "must be nil when type is not RequestedToCapacityRatio")
    args["scoringStrategy"] = strategy
    return args


def _shape(shape: list[Object], path: Path, errors: FieldErrors) -> None:
    if not shape:
        errors.required(path, "at least one point must be specified")
    before = -1
    for number, point in enumerate(shape):
        utilization, score = point.get("utilization") or 0, point.get("score") or 0
        place = path.index(number)
        if utilization <= before:
            errors.invalid(place.child("utilization"), utilization, "values must be sorted in increasing order")
        before = utilization
        if not 0 <= utilization <= 100:
            errors.invalid(place.child("utilization"), utilization, "not in valid range [0, 100]")
        if not 0 <= score <= 10:
            errors.invalid(place.child("score"), score, "not in valid range [0, 10]")


def _topology_spread(args: Object, path: Path, errors: FieldErrors) -> Object:
    constraints, defaulting = args.get("defaultConstraints") or [], args.get("defaultingType") or "System"
    if defaulting not in ("System", "List"):
        errors.not_supported(path.child("defaultingType"), defaulting, ["System", "List"])
    elif defaulting == "System" and constraints:
        errors.invalid(path.child("defaultingType"), defaulting, "when .defaultConstraints are not empty")
    seen: set[tuple[Any, Any]] = set()
    for number, constraint in enumerate(constraints):
        place = path.child("defaultConstraints").index(number)
        key, action = constraint.get("topologyKey"), constraint.get("whenUnsatisfiable")
        if (constraint.get("maxSkew") or 0) <= 0:
            errors.invalid(place.child("maxSkew"), constraint.get("maxSkew") or 0, "not in valid range (0, inf)")
        if not key:
            errors.required(place.child("topologyKey"), "can not be empty")
        else:
            validate_label_name(key, place.child("topologyKey"), errors)
        errors.enum(place.child("whenUnsatisfiable"), action, ("DoNotSchedule", "ScheduleAnyway"), "can not be empty")
        if constraint.get("labelSelector") is not None:
            why = "constraint must not define a selector, as they deduced for each pod"
            errors.forbidden(place.child("labelSelector"), why)
        if (key, action) in seen:
            errors.duplicate(place, f"{{{key}, {action}}}")
        seen.add((key, action))
    return {"defaultConstraints": constraints, "defaultingType": defaulting}


def _volume_binding(args: Object, path: Path, errors: FieldErrors) -> Object:
    args["bindTimeoutSeconds"] = _integer(args, path.child("bindTimeoutSeconds"), errors, 600)
    return args


_CHECKS: dict[str, Callable[[Object, Path, FieldErrors], Object]] = {
    "DefaultPreemption": _default_preemption,
    "InterPodAffinity": _inter_pod_affinity,
    "NodeAffinity": _node_affinity,
    "NodeResourcesBalancedAllocation": _balanced,
    "NodeResourcesFit": _resources_fit,
    "PodTopologySpread": _topology_spread,
    "VolumeBinding": _volume_binding,
}
