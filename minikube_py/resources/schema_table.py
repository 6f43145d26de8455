"""Reads the schema table of Kubernetes v1.37: every definition, and one entry for each resource of each version.

The metrics API, which is not in Kubernetes' own packages, is written by hand in metrics.json.
"""

from functools import cache
from importlib.resources import files
from typing import Any

import orjson

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
TIME = META + "Time"
MICRO_TIME = META + "MicroTime"

Definition = dict[str, Any]


@cache
def definitions() -> dict[str, Definition]:
    """Every definition by its long name (`io.k8s.api.core.v1.Pod`); a `$ref` is such a name. Read-only."""
    table: dict[str, Definition] = _load("definitions.json")
    table.update(_load("metrics.json")["definitions"])
    return table


@cache
def go_fields() -> dict[str, dict[str, Any]]:
    """By definition: `drop`, the fields that Go leaves out when they are empty, and `fill`, the values of those that it
    adds. Read-only; definitions of which nothing is known are missing."""
    table: dict[str, dict[str, Any]] = _load("go_fields.json")
    return table


@cache
def kind_table() -> list[dict[str, Any]]:
    """One entry a resource of each version: names, scope, verbs, subresources, stored version, served by default."""
    table: list[dict[str, Any]] = _load("kinds.json")
    return [*table, *_load("metrics.json")["kinds"]]


@cache
def definition_names() -> dict[tuple[str, str, str], str]:
    """The definition of each (group, version, kind), also of kinds that are no resources (Scale, Status, Eviction).

    DeleteOptions and WatchEvent exist in every group; they are listed under their first one, the core group.
    """
    found: dict[tuple[str, str, str], str] = {}
    for name, body in definitions().items():
        for gvk in body.get("x-kubernetes-group-version-kind", ())[:1]:
            found[gvk["group"], gvk["version"], gvk["kind"]] = name
    return found


def definition_of(group: str, version: str, kind: str) -> str | None:
    """The definition name for a body's GVK; DeleteOptions and friends are found for any group."""
    names = definition_names()
    return names.get((group, version, kind)) or names.get(("", "v1", kind))


def _load(name: str) -> Any:
    return orjson.loads(files("minikube_py.resources").joinpath("schema", name).read_bytes())


def resolve(place: Definition) -> Definition:
    """The definition a place points to with what stands beside its `$ref` (patch strategy and the like) laid on top."""
    ref = place.get("$ref")
    if ref is None:
        return place
    body = definitions()[ref]
    return {**body, **place} if len(place) > 1 else body
