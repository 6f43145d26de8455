"""Answers what the schema says of a kind: nodes for merging, and the one-pass check of decoded objects.

The tables themselves are in schema_table.py, the check in schema_check.py.
"""

from functools import cache

from minikube_py.objects.errors import Object
from minikube_py.objects.schema_node import ANY, SchemaNode
from minikube_py.resources.kind import ResourceKind
from minikube_py.resources.schema_check import SchemaReport, check_definition, fill_empty, keeping_reset
from minikube_py.resources.schema_table import (
    Definition,
    definition_names,
    definition_of,
    definitions,
    kind_table,
    resolve,
)

__all__ = [
    "SchemaReport", "blank", "check", "check_definition", "definition_names", "definition_of", "definitions", "fill",
    "kind_table", "node_for", "node_of", "prune",
]  # fmt: skip


def check(kind: ResourceKind, obj: Object) -> SchemaReport:
    """Checks and cleans a decoded object in place, as Go's decoding and encoding would leave it: unknown fields and
    nulls are gone, quantities and times are in their canonical form. A kind without a definition passes as it is."""
    if kind.custom_schema is not None:
        return kind.custom_schema.check(obj)
    if kind.schema not in definitions():
        return SchemaReport()
    metadata = obj.get("metadata") if isinstance(obj, dict) else None
    return keeping_reset(metadata, lambda: check_definition(kind.schema, obj))


def blank(kind: ResourceKind) -> Object:
    """An object of the kind in which nothing is set, as Go prints it. Shared, read-only."""
    return _blank(kind.schema) if kind.custom_schema is None else {}


@cache
def _blank(name: str) -> Object:
    found: Object = {}
    fill_empty(name, found)
    return found


def fill(kind: ResourceKind, obj: Object) -> None:
    """Adds the fields of the object itself that are there even when nobody set them, such as an empty status."""
    fill_empty(kind.schema, obj)


def prune(kind: ResourceKind, obj: Object) -> list[str]:
    """Drops unknown fields (and all else that `check` cleans) in place; gives the paths of the unknown fields."""
    return list(check(kind, obj).unknown_fields)


def node_for(kind: ResourceKind) -> SchemaNode:
    """The schema node of a kind's objects. Kinds without a definition are trees of anything."""
    if kind.custom_schema is not None:
        return kind.custom_schema.node
    return node_of(kind.schema) if kind.schema in definitions() else ANY


@cache
def node_of(name: str) -> SchemaNode:
    """The node of a definition, its children built on first use."""
    return _node(definitions()[name])


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
