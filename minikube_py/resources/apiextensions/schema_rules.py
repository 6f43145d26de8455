"""Checks the OpenAPI schema of a custom kind's version: what is supported, list and map types, rules' own fields.

Source: apiextensions-apiserver pkg/apis/apiextensions/validation/validation.go.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from minikube_py.resources.custom.field_paths import resolve_field_path
from minikube_py.resources.custom.structural import META_FIELDS, parse
from minikube_py.resources.fields import FieldErrors, Path

Schema = Mapping[str, Any]
TYPES = ("array", "boolean", "integer", "number", "object", "string")
REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_X = "x-kubernetes-"
_UNSUPPORTED = (
    ("id", "id is not supported"),
    ("additionalItems", "additionalItems is not supported"),
    ("patternProperties", "patternProperties is not supported"),
    ("definitions", "definitions is not supported"),
    ("dependencies", "dependencies is not supported"),
    ("$ref", "$ref is not supported"),
)
_NEWLINES = re.compile(r"[\n\r]")


@dataclass(frozen=True)
class Where:
    """What the places above mean for a place: whether defaults are allowed, and whether it is part of metadata."""

    path: Path
    no_defaults: str | None = None
    in_metadata: bool = False

    def at(self, path: Path) -> "Where":
        return replace(self, path=path)


def validate_schema(schema: Any, where: Where, errors: FieldErrors, *, is_root: bool = False) -> None:
    """Adds the errors of a schema and of all below it."""
    if not isinstance(schema, Mapping):
        return
    path = where.path
    _supported(schema, where, errors)
    if schema.get("uniqueItems"):
        why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.forbidden(path.child("uniqueItems"), why)
    _properties(schema, where, errors, is_root=is_root)
    _junctors(schema, where, errors)
    if isinstance(schema.get("items"), Mapping):
        validate_schema(schema["items"], where.at(path.child("items")), errors)
    if schema.get(_X + "preserve-unknown-fields") is False:
        errors.invalid(path.child(_X + "preserve-unknown-fields"), False, "must be true or undefined")
    _map_type(schema, path, errors)
    _list_type(schema, path, errors)
    _list_map(schema, path, errors)
    for index, rule in enumerate(schema.get(_X + "validations") or ()):
        _rule(schema, rule, path.child(_X + "validations").index(index), errors)


def _supported(schema: Schema, where: Where, errors: FieldErrors) -> None:
    path, type_name = where.path, schema.get("type") or ""
    if type_name and type_name not in TYPES:
        errors.not_supported(path.child("type"), type_name, TYPES)
    if schema.get("default") is not None and where.no_defaults is not None:
        errors.forbidden(path.child("default"), f"must not be set {where.no_defaults}".strip())
    for key, why in _UNSUPPORTED:
        if schema.get(key):
            errors.forbidden(path.child(key), why)
    if type_name == "null":
        errors.forbidden(path.child("type"), "type cannot be set to null, use nullable as an alternative")
    if isinstance(schema.get("items"), list) and schema["items"]:
        errors.forbidden(path.child("items"), "items must be a schema object and not an array")
    if where.in_metadata and schema.get(_X + "embedded-resource"):
        errors.forbidden(path.child(_X + "embedded-resource"), "must not be used inside of resource meta")


def _properties(schema: Schema, where: Where, errors: FieldErrors, *, is_root: bool) -> None:
    path, extra, properties = where.path, schema.get("additionalProperties"), schema.get("properties") or {}
    if extra is not None:
        if properties and extra is not True:
            why = "additionalProperties and properties are mutual exclusive"
            errors.forbidden(path.child("additionalProperties"), why)
        below = where.at(path.child("additionalProperties"))
        if where.in_metadata:
            below = replace(below, no_defaults="inside additionalProperties applying to object metadata")
        validate_schema(extra, below, errors)
    for key in sorted(properties):
        below = where.at(path.child("properties").key(key))
        if key in META_FIELDS and (is_root or schema.get(_X + "embedded-resource")):
            below = replace(below, in_metadata=True)
            if is_root:
                below = replace(below, no_defaults=f"in top-level {key}")
        validate_schema(properties[key], below, errors)


def _junctors(schema: Schema, where: Where, errors: FieldErrors) -> None:
    path = where.path
    validate_schema(schema.get("not"), where.at(path.child("not")), errors)
    for word in ("allOf", "oneOf", "anyOf"):
        for index, nested in enumerate(schema.get(word) or ()):
            validate_schema(nested, where.at(path.child(word).index(index)), errors)


def _needs_type(schema: Schema, wanted: str, extension: str, path: Path, errors: FieldErrors) -> bool:
    type_name, why = schema.get("type") or "", f"must be {wanted} if {extension} is specified"
    if type_name == wanted:
        return True
    if type_name:
        errors.invalid(path.child("type"), type_name, why)
    else:
        errors.required(path.child("type"), why)
    return False


def _map_type(schema: Schema, path: Path, errors: FieldErrors) -> None:
    found = schema.get(_X + "map-type")
    if found is None:
        return
    _needs_type(schema, "object", _X + "map-type", path, errors)
    if found not in ("atomic", "granular"):
        errors.not_supported(path.child(_X + "map-type"), found, ("atomic", "granular"))


def _list_type(schema: Schema, path: Path, errors: FieldErrors) -> None:
    found, items = schema.get(_X + "list-type"), schema.get("items")
    if found is None:
        return
    if _needs_type(schema, "array", _X + "list-type", path, errors) and found == "set" and isinstance(items, Mapping):
        why = "must be atomic as item of a list with x-kubernetes-list-type=set"
        for type_name, key, fallback in (("array", "list-type", "atomic"), ("object", "map-type", "granular")):
            inner = items.get(_X + key)
            if items.get("type") == type_name and (inner or fallback) != "atomic":
                errors.invalid(path.child("items").child(_X + key), inner, why)
    if found not in ("atomic", "set", "map"):
        errors.not_supported(path.child(_X + "list-type"), found, ("atomic", "set", "map"))
    if found in ("set", "map") and isinstance(items, Mapping) and items.get("nullable"):
        why = f"cannot be nullable when x-kubernetes-list-type is {found}"
        errors.forbidden(path.child("items").child("nullable"), why)


def _list_map(schema: Schema, path: Path, errors: FieldErrors) -> None:
    found, keys, items = schema.get(_X + "list-type"), schema.get(_X + "list-map-keys") or [], schema.get("items")
    if keys and found != "map":
        why = "must be map if x-kubernetes-list-map-keys is non-empty"
        if found is None:
            errors.required(path.child(_X + "list-type"), why)
        else:
            errors.invalid(path.child(_X + "list-type"), found, why)
    if found != "map":
        return
    here = path.child(_X + "list-map-keys")
    if not keys:
        errors.required(here, "must not be empty if x-kubernetes-list-type is map")
    if items is None:
        errors.required(path.child("items"), "must have a schema if x-kubernetes-list-type is map")
    elif not isinstance(items, Mapping):
        why = "must only have a single schema if x-kubernetes-list-type is map"
        errors.invalid(path.child("items"), items, why)
    elif items.get("type") != "object":
        why = "must be object if parent array's x-kubernetes-list-type is map"
        errors.invalid(path.child("items").child("type"), items.get("type") or "", why)
    else:
        _map_keys(keys, items, path, errors)


def _map_keys(keys: list[str], items: Schema, path: Path, errors: FieldErrors) -> None:
    here, properties, required = path.child(_X + "list-map-keys"), items.get("properties") or {}, items.get("required")
    for index, key in enumerate(keys):
        held = properties.get(key)
        place = path.child("items").child("properties").key(key)
        if held is None:
            errors.invalid(here, keys, "entries must all be names of item properties")
        elif held.get("type") in ("array", "object"):
            why = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            errors.invalid(place.child("type"), items.get("type"), why)
        if key in keys[:index]:
            errors.invalid(here, keys, "must not contain duplicate entries")
        if held is not None and key not in (required or ()) and held.get("default") is None:
            why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            errors.required(place.child("default"), why)
        if held is not None and held.get("nullable"):
            why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
            errors.forbidden(place.child("nullable"), why)


def _rule(schema: Schema, rule: Schema, path: Path, errors: FieldErrors) -> None:
    """The fields of one x-kubernetes-validations entry; the expressions are compiled elsewhere."""
    text, message = (rule.get("rule") or "").strip(), rule.get("message") or ""
    if not text:
        errors.required(path.child("rule"), "rule is not specified")
    elif message and not message.strip():
        errors.invalid(path.child("message"), message, "must be non-empty if specified")
    elif _NEWLINES.search(message.strip()):
        errors.invalid(path.child("message"), message, "must not contain line breaks")
    elif _NEWLINES.search(text) and not message.strip():
        errors.required(path.child("message"), "message must be specified if rule contains line breaks")
    expression = rule.get("messageExpression") or ""
    if expression and not expression.strip():
        errors.required(path.child("messageExpression"), "messageExpression must be non-empty if specified")
    if rule.get("reason") is not None and rule["reason"] not in REASONS:
        errors.not_supported(path.child("reason"), rule["reason"], REASONS)
    field_path = rule.get("fieldPath") or ""
    if field_path and not field_path.strip():
        errors.invalid(path.child("fieldPath"), field_path, "must be non-empty if specified")
    if _NEWLINES.search(field_path):
        errors.invalid(path.child("fieldPath"), field_path, "must not contain line breaks")
    if field_path:
        try:
            resolve_field_path(field_path, parse(schema))
        except ValueError:
            errors.invalid(path.child("fieldPath"), field_path, "must be a valid path")
