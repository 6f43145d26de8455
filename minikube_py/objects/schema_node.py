"""The shape of one place in an API object, as merging, pruning and field ownership need to know it.

A node says what may stand at a path: its type, its children, and how a list or map there is merged. Kinds that
contain themselves (JSONSchemaProps) are graphs with loops, so children are resolved on first use: `properties`,
`additional` and `items` each accept either the value or a function without arguments that returns it.

Source: structured-merge-diff's schema atoms, and the x-kubernetes-* extensions of the OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Literal, TypeAlias

NodeType: TypeAlias = Literal["object", "array", "string", "integer", "number", "boolean", "any"]
ListType: TypeAlias = Literal["atomic", "set", "map"]
MapType: TypeAlias = Literal["granular", "atomic"]
Shape: TypeAlias = Literal["leaf", "map", "list-map", "list-set", "deduced"]
PatchStrategy: TypeAlias = Literal["", "merge", "replace", "retainKeys", "merge,retainKeys"]

Properties: TypeAlias = Mapping[str, "SchemaNode"]
_NO_PROPERTIES: Properties = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class SchemaNode:
    """One place in an object. Compared by identity; build each node once and share it.

    An object node with neither properties nor `additional` holds anything and is owned field by field when
    `preserve_unknown` is set. `format`, `enum` and the like are not here: they matter to checks only.
    """

    type: NodeType = "any"
    properties_source: Properties | Callable[[], Properties] = field(default_factory=lambda: _NO_PROPERTIES, repr=False)
    additional_source: SchemaNode | Callable[[], SchemaNode | None] | None = field(default=None, repr=False)
    items_source: SchemaNode | Callable[[], SchemaNode | None] | None = field(default=None, repr=False)
    list_type: ListType = "atomic"
    map_keys: tuple[str, ...] = ()
    map_type: MapType = "granular"
    patch_strategy: PatchStrategy = ""
    patch_merge_key: str = ""
    preserve_unknown: bool = False
    is_int_or_string: bool = False
    default: object = None
    """The value a list-map key takes when it is left out (`protocol: TCP` in a container's ports)."""

    @cached_property
    def properties(self) -> Properties:
        """The named children of an object."""
        source = self.properties_source
        return source() if callable(source) else source

    @cached_property
    def additional(self) -> SchemaNode | None:
        """What each value of a map with free keys looks like; None where only `properties` are known."""
        source = self.additional_source
        return source if source is None or isinstance(source, SchemaNode) else source()

    @cached_property
    def items(self) -> SchemaNode | None:
        """What each element of a list looks like."""
        source = self.items_source
        return source if source is None or isinstance(source, SchemaNode) else source()

    @cached_property
    def shape(self) -> Shape:
        """How ownership divides the value: not at all (leaf), by field, by list key, by set element, or by what it is.

        An object about which nothing is known is one leaf, as in Kubernetes, unless unknown fields are kept.
        """
        if self.type == "array":
            if self.list_type == "map" and self.map_keys:
                return "list-map"
            return "list-set" if self.list_type == "set" else "leaf"
        if self.is_int_or_string or self.type not in ("object", "any"):
            return "leaf"
        if self.map_type == "atomic":
            return "leaf"
        if self.properties or self.additional is not None:
            return "map"
        return "deduced" if self.preserve_unknown else "leaf"

    def child(self, key: str) -> SchemaNode | None:
        """The node under `key` of an object, or None where the schema says nothing about it."""
        found = self.properties.get(key)
        return found if found is not None else self.additional


ANY = SchemaNode(type="any", preserve_unknown=True)
"""The node of things without a schema: objects are merged key by key, lists are replaced whole."""
