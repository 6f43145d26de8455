"""Gives expressions the types of API objects, from OpenAPI schemas: the schema table's or a custom kind's.

Source: apiserver pkg/cel/common/schemas.go (which CEL type a schema stands for).
"""

from collections.abc import Mapping
from typing import Any

from minikube_py.objects.cel.source import escape
from minikube_py.objects.cel.values import DYN, CelType, list_of
from minikube_py.resources.schema_table import META, definitions, resolve

_OBJECT_META = f"{META}ObjectMeta"
_STRING = CelType("string")
_SCALARS = {"boolean": CelType("bool"), "integer": CelType("int"), "number": CelType("double"), "string": _STRING}
_FORMATS = {
    "byte": CelType("bytes"), "date": CelType("timestamp"), "date-time": CelType("timestamp"),
    "duration": CelType("duration"),
}  # fmt: skip
_RULE_META: Mapping[str, Any] = {
    "type": "object", "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}},
}  # fmt: skip


class SchemaTypes:
    """Types by name, made as they are asked for. One instance serves one environment.

    only_escaped: a field whose name is a word of CEL can be named only as `__namespace__`, as in the rules of schemas.
    """

    def __init__(self, *, only_escaped: bool = True) -> None:
        self._only_escaped = only_escaped
        self._schemas: dict[str, Mapping[str, Any]] = {}
        self._fields: dict[str, dict[str, CelType]] = {}

    # --- checker.StructTypes

    def is_known(self, name: str) -> bool:
        return name in self._schemas

    def field(self, name: str, field: str) -> CelType | None:
        fields = self._fields.get(name)
        if fields is None:
            properties = self._schemas[name].get("properties") or {}
            fields = self._fields[name] = {}
            for key, child in properties.items():
                kind = fields[escape(key) or key] = self.type_of(child, f"{name}.{key}")
                if not self._only_escaped:
                    fields[key] = kind
        return fields.get(field)

    # --- making types

    def definition(self, name: str) -> CelType:
        """The type of a definition of the schema table."""
        return self.type_of({"$ref": name}, name)

    def custom(self, raw: Mapping[str, Any], name: str) -> CelType:
        """The type of whole objects of a custom kind, as clients see them."""
        known = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"$ref": _OBJECT_META}}
        return self.type_of({**raw, "properties": {**(raw.get("properties") or {}), **known}}, name)

    def rule_scope(self, raw: Mapping[str, Any], name: str, *, is_resource: bool) -> CelType:
        """The type of `self` in a rule at this schema; of a resource's metadata rules see the name only."""
        if not is_resource:
            return self.type_of(raw, name)
        return self.type_of(_with_rule_meta(raw), name)

    def struct(self, name: str, properties: Mapping[str, Any]) -> CelType:
        return self.type_of({"type": "object", "properties": properties}, name)

    def type_of(self, place: Mapping[str, Any], path: str) -> CelType:
        """`path` names the type where the schema has no name of its own."""
        if "$ref" in place:
            name = place["$ref"]
            if name not in self._schemas:
                body = resolve(dict(place)) if name in definitions() else {}
                if body.get("type") != "object" or not body.get("properties"):
                    return self.type_of({key: value for key, value in body.items() if key != "$ref"}, path)
                self._schemas[name] = body
            return CelType(name)
        if place.get("x-kubernetes-int-or-string"):
            return DYN
        kind = place.get("type")
        if kind == "array":
            return list_of(self.type_of(place.get("items") or {}, f"{path}.@idx"))
        if kind == "object":
            return self._object(place, path)
        if kind == "string":
            return _FORMATS.get(place.get("format", ""), _STRING)
        return _SCALARS.get(kind or "", DYN)

    def _object(self, place: Mapping[str, Any], path: str) -> CelType:
        additional = place.get("additionalProperties")
        if isinstance(additional, Mapping):
            return CelType("map", (_STRING, self.type_of(additional, f"{path}.@elem")))
        if additional:
            return CelType("map", (_STRING, DYN))
        if place.get("x-kubernetes-embedded-resource"):
            place = _with_rule_meta(place)
        if not place.get("properties"):
            return DYN
        self._schemas[path] = place
        return CelType(path)


def _with_rule_meta(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    known = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": _RULE_META}
    return {**raw, "properties": {**(raw.get("properties") or {}), **known}}
