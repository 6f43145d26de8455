"""Which plugins there are, at which extension points each works, and which of them a profile switches on."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path

MULTI_POINT = "multiPoint"
POINTS = (
    "preEnqueue", "queueSort", "preFilter", "filter", "postFilter", "preScore", "score", "reserve", "permit", "preBind",
    "bind", "postBind",
)  # fmt: skip
_EVERY = "*"

# Source: pkg/scheduler/apis/config/v1/default_plugins.go, and what each plugin of framework/plugins extends.
PLUGINS: dict[str, tuple[int, frozenset[str]]] = {
    name: (weight, frozenset(points.split()))
    for name, weight, points in (
        ("SchedulingGates", 0, "preEnqueue"),
        ("PrioritySort", 0, "queueSort"),
        ("NodeUnschedulable", 0, "filter"),
        ("NodeName", 0, "filter"),
        ("TaintToleration", 3, "filter preScore score"),
        ("NodeAffinity", 2, "preFilter filter preScore score"),
        ("NodePorts", 0, "preFilter filter"),
        ("NodeResourcesFit", 1, "preFilter filter preScore score"),
        ("VolumeRestrictions", 0, "preFilter filter"),
        ("NodeVolumeLimits", 0, "preFilter filter"),
        ("VolumeBinding", 0, "preFilter filter reserve preBind"),
        ("VolumeZone", 0, "preFilter filter"),
        ("PodTopologySpread", 2, "preFilter filter preScore score"),
        ("InterPodAffinity", 2, "preFilter filter preScore score"),
        ("DynamicResources", 0, "preEnqueue preFilter filter postFilter reserve preBind"),
        ("DefaultPreemption", 0, "postFilter"),
        ("NodeResourcesBalancedAllocation", 1, "preScore score"),
        ("ImageLocality", 1, "preScore score"),
        ("DefaultBinder", 0, "bind"),
    )
}
"""Name to default weight and extension points, in the order of the defaults."""


@dataclass
class EnabledPlugins:
    """The names at each extension point, in order, and the weights of those that score."""

    at: dict[str, list[str]] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)


def enabled_plugins(plugins: Object, path: Path, errors: FieldErrors) -> EnabledPlugins:
    """What a profile's `plugins` make of the defaults."""
    for name in plugins.keys() - {*POINTS, MULTI_POINT}:
        errors.forbidden(path.child(name), "unknown field")
    _check_names(plugins, path, errors)
    found = EnabledPlugins()
    everywhere = _expand(list(PLUGINS), plugins.get(MULTI_POINT) or {})
    weights = _weights(plugins.get(MULTI_POINT) or {})
    for point in POINTS:
        own = plugins.get(point) or {}
        names = [name for name in everywhere if point in PLUGINS.get(name, (0, frozenset()))[1]]
        found.at[point] = _expand(names, own)
        if point == "score":
            weights |= _weights(own)
    found.weights = {name: weights.get(name) or PLUGINS[name][0] or 1 for name in found.at["score"] if name in PLUGINS}
    _check_whole(found, path, errors)
    return found


def _expand(names: list[str], changes: Object) -> list[str]:
    disabled = {entry.get("name") for entry in changes.get("disabled") or ()}
    kept = [] if _EVERY in disabled else [name for name in names if name not in disabled]
    for entry in changes.get("enabled") or ():
        if entry.get("name") not in kept:
            kept.append(entry.get("name"))
    return kept


def _weights(changes: Object) -> dict[str, int]:
    return {entry["name"]: entry["weight"] for entry in changes.get("enabled") or () if entry.get("weight")}


def _check_names(plugins: Object, path: Path, errors: FieldErrors) -> None:
    for point, place, entry in _entries(plugins, path):
        name = entry.get("name")
        if not name:
            errors.required(place.child("name"))
        elif name not in PLUGINS:
            errors.invalid(place.child("name"), name, "plugin does not exist")
        elif point != MULTI_POINT and point not in PLUGINS[name][1]:
            errors.invalid(place.child("name"), name, f"plugin does not extend {point}")
        if not isinstance(entry.get("weight") or 0, int) or (entry.get("weight") or 0) < 0:
            errors.invalid(place.child("weight"), entry.get("weight"), "must be a positive whole number")


def _entries(plugins: Object, path: Path) -> Iterator[tuple[str, Path, Any]]:
    for point in (*POINTS, MULTI_POINT):
        for number, entry in enumerate((plugins.get(point) or {}).get("enabled") or ()):
            yield point, path.child(point, "enabled").index(number), entry


def _check_whole(found: EnabledPlugins, path: Path, errors: FieldErrors) -> None:
    if "PrioritySort" not in found.at["queueSort"]:
        errors.invalid(path.child("queueSort"), found.at["queueSort"], "one queue sort plugin is needed: PrioritySort")
    if "DefaultBinder" not in found.at["bind"]:
        errors.invalid(path.child("bind"), found.at["bind"], "one bind plugin is needed: DefaultBinder")
