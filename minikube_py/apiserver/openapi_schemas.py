"""Turns the schema table into OpenAPI schemas, version 2 and 3, with descriptions where they are installed.

Source: kube-openapi's forms of the two documents (references beside other keys, int-or-string, quantities).
"""

from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from minikube_py.objects.errors import Object
from minikube_py.resources.schema_table import INT_OR_STRING, QUANTITY, definitions

_DESCRIPTIONS = "kubernetes-json-schema/v1.37.0-local/_definitions.json"
_V2, _V3 = "#/definitions/", "#/components/schemas/"
_SPECIAL_V2: dict[str, Object] = {
    QUANTITY: {"type": "string"},
    INT_OR_STRING: {"type": "string", "format": "int-or-string"},
}
_SPECIAL_V3: dict[str, Object] = {
    QUANTITY: {"oneOf": [{"type": "string"}, {"type": "number"}]},
    INT_OR_STRING: {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
}


@cache
def descriptions() -> dict[str, Any]:
    """Definitions with descriptions from the `explain` extra; empty when it isn't installed."""
    spec = find_spec("kubernetes_validate")
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        file = Path(place) / _DESCRIPTIONS
        if file.is_file():
            found: dict[str, Any] = orjson.loads(file.read_bytes())["$defs"]
            return found
    return {}


def closure(names: Iterable[str]) -> list[str]:
    """These definitions and all they refer to, sorted."""
    table, found, todo = definitions(), set[str](), list(names)
    while todo:
        name = todo.pop()
        if name in found or name not in table:
            continue
        found.add(name)
        todo += _references(table[name])
    return sorted(found)


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [name for item in node for name in _references(item)]
    if not isinstance(node, dict):
        return []
    found = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return found + [name for value in node.values() for name in _references(value)]


def schemas_v3(names: Iterable[str]) -> Object:
    return {name: _schema(name, _SPECIAL_V3, _V3) for name in names}


def schemas_v2(names: Iterable[str]) -> Object:
    return {name: _schema(name, _SPECIAL_V2, _V2) for name in names}


_BRANCHES = ("allOf", "anyOf", "oneOf", "not")
_PRESERVE = "x-kubernetes-preserve-unknown-fields"


def plain_v2(schema: Object) -> Object:
    """A custom schema as version 2 can say it: clients of that form know neither branches nor null."""
    if schema.get(_PRESERVE):
        return {"type": "object"}
    return _plain(schema)


def _plain(schema: Object) -> Object:
    out = {key: value for key, value in schema.items() if key not in (*_BRANCHES, "nullable")}
    is_open = bool(schema.get(_PRESERVE))
    if schema.get("nullable") or is_open:
        out.pop("items", None)
        out.pop("properties", None)
    if schema.get("nullable") or (is_open and out.get("type") == "object"):
        out.pop("type", None)
    if out.get("type") == "array" and "items" not in out:
        del out["type"]
    properties: Object = out.get("properties") or {}
    optional = {name for name, child in properties.items() if child.get("nullable")}
    if optional and "required" in out:
        out["required"] = [name for name in out["required"] if name not in optional]
        if not out["required"]:
            del out["required"]
    if properties:
        out["properties"] = {name: _plain(child) for name, child in properties.items()}
    if isinstance(out.get("items"), dict):
        out["items"] = _plain(out["items"])
    values = out.get("additionalProperties")
    if isinstance(values, dict):
        out["additionalProperties"] = _plain(values)
        if values.get("nullable"):
            out.pop("required", None)
    return out


_ANY_OBJECT, _ANY_LIST = "io.k8s.api.core.v1.Namespace", "io.k8s.api.core.v1.NamespaceList"
_HEAD = ("apiVersion", "kind", "metadata")


def head_v3(*, is_list: bool = False) -> Object:
    """The properties that every object has, or every list, described as those of built-in kinds."""
    return _head(_V3, is_list)


def head_v2(*, is_list: bool = False) -> Object:
    return _head(_V2, is_list)


def _head(prefix: str, is_list: bool) -> Object:
    properties = _schema(_ANY_LIST if is_list else _ANY_OBJECT, {}, prefix)["properties"]
    return {key: properties[key] for key in _HEAD}


def with_head(schema: Object, head: Object) -> Object:
    """A custom schema with the properties of an object where it embeds objects. Changes the tree it is given."""
    if schema.get("x-kubernetes-embedded-resource") and isinstance(schema.get("properties", {}), dict):
        schema["properties"] = {**(schema.get("properties") or {}), **head}
    children = [*(schema.get("properties") or {}).values(), schema.get("items"), schema.get("additionalProperties")]
    for child in children:
        if isinstance(child, dict):
            with_head(child, head)
    return schema


def _schema(name: str, special: dict[str, Object], prefix: str) -> Object:
    described = descriptions().get(name) or {}
    if name in special:
        body = dict(special[name])
        if described.get("description"):
            body["description"] = described["description"]
        return body
    return _place(definitions()[name], described, prefix)


def _place(node: Object, described: Any, prefix: str) -> Object:
    """One place of a schema with its description and its references in the document's form."""
    text = described.get("description") if isinstance(described, dict) else None
    out: Object = {"description": text} if text else {}
    for key, value in node.items():
        if key == "$ref":
            continue
        if key == "properties":
            inner = (described.get("properties") or {}) if isinstance(described, dict) else {}
            out[key] = {name: _place(child, inner.get(name) or {}, prefix) for name, child in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            out[key] = _place(value, (described or {}).get(key) or {}, prefix)
        elif key != "x-kubernetes-int-or-string":
            out[key] = value
    reference = node.get("$ref")
    if reference is not None:
        link = {"$ref": prefix + reference}
        if prefix == _V2 or not out:
            out.update(link)
        else:
            out["allOf"] = [link]
    return out
