"""Reads a structural OpenAPI v3 schema of a custom kind into nodes that pruning, defaulting and checks walk.

Source: apiextensions-apiserver pkg/apiserver/schema (structural schemas), the CustomResourceDefinition API reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from minikube_py.objects.schema_node import ANY, SchemaNode
from minikube_py.resources.schema import node_of

OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
META_FIELDS = frozenset(("apiVersion", "kind", "metadata"))
_STRING = SchemaNode(type="string")


@dataclass(frozen=True, eq=False)
class Structural:
    """One place of the schema. `raw` is the schema itself, for value validations and rules.

    additional is the schema of free keys; `allows_additional` is set as well for `additionalProperties: true`.
    default is copied before use; `has_default` tells null from nothing.
    """

    raw: Mapping[str, Any]
    type: str = ""
    properties: Mapping[str, Structural] = field(default_factory=dict)
    additional: Structural | None = None
    allows_additional: bool = False
    items: Structural | None = None
    nullable: bool = False
    default: Any = None
    preserve: bool = False
    int_or_string: bool = False
    embedded: bool = False
    list_type: str = ""
    map_keys: tuple[str, ...] = ()
    map_type: str = ""
    any_default: bool = False
    """Whether a default stands here or anywhere below."""

    @property
    def has_default(self) -> bool:
        return self.default is not None

    def child(self, key: str) -> Structural | None:
        """The schema of a key of an object."""
        found = self.properties.get(key)
        return found if found is not None else self.additional

    @property
    def rules(self) -> list[Mapping[str, Any]]:
        return self.raw.get("x-kubernetes-validations") or []


EMPTY = Structural({})


def parse(raw: Mapping[str, Any] | None) -> Structural:
    """The nodes of a schema as it stands in a CRD."""
    if not isinstance(raw, Mapping):
        return EMPTY
    properties = {key: parse(child) for key, child in (raw.get("properties") or {}).items()}
    extra = raw.get("additionalProperties")
    additional = parse(extra) if isinstance(extra, Mapping) else None
    listed = raw.get("items")
    items = parse(listed) if isinstance(listed, Mapping) else None
    default = raw.get("default")
    children = [*properties.values(), *([additional] if additional else []), *([items] if items else [])]
    return Structural(
        raw=raw,
        type=raw.get("type") or "",
        properties=properties,
        additional=additional,
        allows_additional=extra is True or additional is not None,
        items=items,
        nullable=bool(raw.get("nullable")),
        default=default,
        preserve=bool(raw.get("x-kubernetes-preserve-unknown-fields")),
        int_or_string=bool(raw.get("x-kubernetes-int-or-string")),
        embedded=bool(raw.get("x-kubernetes-embedded-resource")),
        list_type=raw.get("x-kubernetes-list-type") or "",
        map_keys=tuple(raw.get("x-kubernetes-list-map-keys") or ()),
        map_type=raw.get("x-kubernetes-map-type") or "",
        any_default=default is not None or any(child.any_default for child in children),
    )


def root_node(root: Structural) -> SchemaNode:
    """The node of whole objects, for merging and field ownership: the schema with the real metadata put in."""
    return _resource_node(root)


def _resource_node(place: Structural) -> SchemaNode:
    known = {"apiVersion": _STRING, "kind": _STRING, "metadata": node_of(OBJECT_META)}

    def children() -> dict[str, SchemaNode]:
        return {**{key: _node(child) for key, child in place.properties.items() if key not in META_FIELDS}, **known}

    return SchemaNode(
        type="object", properties_source=children, preserve_unknown=place.preserve, map_type=_map_type(place)
    )


def _node(place: Structural) -> SchemaNode:
    if place.embedded:
        return _resource_node(place)
    if place.int_or_string:
        return SchemaNode(type="any", is_int_or_string=True, default=place.default)
    if not place.type:
        return ANY if place.preserve else SchemaNode(type="any", preserve_unknown=True)
    additional, items = place.additional, place.items
    free = (lambda: _node(additional)) if additional else (ANY if place.allows_additional else None)
    return SchemaNode(
        type=place.type,  # type: ignore[arg-type]
        properties_source=(lambda: {key: _node(child) for key, child in place.properties.items()}),
        additional_source=free,
        items_source=(lambda: _node(items)) if items else None,
        list_type=place.list_type or "atomic",  # type: ignore[arg-type]
        map_keys=place.map_keys,
        map_type=_map_type(place),
        preserve_unknown=place.preserve or (place.type == "object" and not place.properties and additional is None),
        default=place.default,
    )


def _map_type(place: Structural) -> Any:
    return "atomic" if place.map_type == "atomic" else "granular"
