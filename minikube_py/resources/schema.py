"""Reads the schema table of Kubernetes v1.37: definitions, the list of kinds, and schema nodes for merging."""

from functools import cache
from importlib.resources import files
from typing import Any

import orjson

from minikube_py.objects.schema_node import ANY, SchemaNode
from minikube_py.resources.kind import ResourceKind

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
    return table


@cache
def kind_table() -> list[dict[str, Any]]:
    """One entry a resource of each version: names, scope, verbs, subresources, stored version, served by default."""
    table: list[dict[str, Any]] = _load("kinds.json")
    return table


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


def node_for(kind: ResourceKind) -> SchemaNode:
    """The schema node of a built-in kind's objects. Kinds without a definition are trees of anything."""
    return node_of(kind.schema) if kind.schema in definitions() else ANY


@cache
def node_of(name: str) -> SchemaNode:
    """The node of a definition, its children built on first use."""
    return _node(definitions()[name])


def _load(name: str) -> Any:
    return orjson.loads(files("minikube_py.resources").joinpath("schema", name).read_bytes())


def resolve(place: Definition) -> Definition:
    """The definition a place points to with what stands beside its `$ref` (patch strategy and the like) laid on top."""
    ref = place.get("$ref")
    if ref is None:
        return place
    body = definitions()[ref]
    return {**body, **place} if len(place) > 1 else body


def _node(place: Definition) -> SchemaNode:
    """A fresh node for a place; places that only refer to a definition share its node."""
    ref = place.get("$ref")
    if ref is not None and len(place) == 1:
        return node_of(ref)
    body = resolve(place)
    properties = body.get("properties")
    additional = body.get("additionalProperties")
    items = body.get("items")
    kind = body.get("type", "any")
    anything = kind == "any" or bool(body.get("x-kubernetes-preserve-unknown-fields"))
    return SchemaNode(
        type=kind,
        properties_source=(lambda: {key: _node(child) for key, child in properties.items()}) if properties else {},
        additional_source=(lambda: _node(additional)) if isinstance(additional, dict) else None,
        items_source=(lambda: _node(items)) if isinstance(items, dict) else None,
        list_type=body.get("x-kubernetes-list-type", "atomic"),
        map_keys=tuple(body.get("x-kubernetes-list-map-keys", ())),
        map_type=body.get("x-kubernetes-map-type", "granular"),
        patch_strategy=body.get("x-kubernetes-patch-strategy", ""),
        patch_merge_key=body.get("x-kubernetes-patch-merge-key", ""),
        preserve_unknown=anything or (kind == "object" and properties is None and not isinstance(additional, dict)),
        is_int_or_string=bool(body.get("x-kubernetes-int-or-string")),
        default=body.get("default"),
    )
