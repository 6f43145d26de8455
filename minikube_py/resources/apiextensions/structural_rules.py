"""Checks that the schema of a custom kind is structural: every place has a type, and nothing that can't be pruned by.

Source: apiextensions-apiserver pkg/apiserver/schema (validation) and pkg/apis/apiextensions/validation.
"""

from collections.abc import Mapping
from typing import Any

from minikube_py.resources.fields import FieldErrors, Path

TYPES = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED = ("definitions", "dependencies", "patternProperties", "additionalItems", "$ref", "id")
_LOGICAL = ("allOf", "anyOf", "oneOf")
_FORBIDDEN_INSIDE = (
    ("additionalProperties", "must be undefined to be structural"),
    ("type", "must be empty to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("default", "must be undefined to be structural"),
    ("nullable", "must be false to be structural"),
)
MAX_DEPTH = 100
Schema = Mapping[str, Any]


def validate_structural(schema: Schema, path: Path, errors: FieldErrors) -> None:
    """The whole openAPIV3Schema of one version."""
    type_ = schema.get("type", "")
    if not type_:
        errors.required(path.child("type"), "must not be empty at the root")
    elif type_ != "object":
        errors.invalid(path.child("type"), type_, "must be object at the root")
    if schema.get("nullable"):
        errors.forbidden(path.child("nullable"), "nullable cannot be true at the root")
    _validate_place(schema, path, errors, "", 0)


def _validate_place(schema: Schema, path: Path, errors: FieldErrors, what: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        errors.invalid(path, "", f"must not be nested more than {MAX_DEPTH} levels deep")
        return
    _validate_type(schema, path, errors, what)
    for key in _UNSUPPORTED:
        if schema.get(key):
            errors.forbidden(path.child(key), f"{key} is not supported")
    if schema.get("uniqueItems"):
        why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.forbidden(path.child("uniqueItems"), why)
    _validate_lists(schema, path, errors)
    _validate_children(schema, path, errors, depth)
    for key in _LOGICAL:
        for index, child in enumerate(schema.get(key) or ()):
            _validate_inside(child, schema, path.child(key).index(index), errors, depth + 1)
    if isinstance(schema.get("not"), dict):
        _validate_inside(schema["not"], schema, path.child("not"), errors, depth + 1)
    for index, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        if not (rule.get("rule") or "").strip():
            errors.required(path.child("x-kubernetes-validations").index(index).child("rule"), "rule is not specified")


def _validate_type(schema: Schema, path: Path, errors: FieldErrors, what: str) -> None:
    type_, at = schema.get("type", ""), path.child("type")
    int_or_string = bool(schema.get("x-kubernetes-int-or-string"))
    preserve = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    if not type_:
        if what and not int_or_string and not preserve:
            errors.required(at, f"must not be empty for specified {what}")
    elif int_or_string:
        errors.invalid(at, type_, "must be empty if x-kubernetes-int-or-string is true")
    elif type_ == "null":
        errors.forbidden(at, "type cannot be set to null, use nullable as an alternative")
    elif type_ not in TYPES:
        errors.not_supported(at, type_, TYPES)
    if preserve and type_ not in ("", "object"):
        errors.invalid(at, type_, "must be object if x-kubernetes-preserve-unknown-fields is true")
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        at = path.child("x-kubernetes-preserve-unknown-fields")
        errors.invalid(at, False, "must be true or undefined")
    if schema.get("x-kubernetes-embedded-resource"):
        if type_ != "object":
            errors.invalid(at, type_, "must be object if x-kubernetes-embedded-resource is true")
        if not preserve and not schema.get("properties"):
            why = "must not be empty if x-kubernetes-embedded-resource is true without"
            errors.required(path.child("properties"), f"{why} x-kubernetes-preserve-unknown-fields")


def _validate_lists(schema: Schema, path: Path, errors: FieldErrors) -> None:
    list_type, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or []
    if list_type is not None:
        if schema.get("type") != "array":
            errors.invalid(
                path.child("type"), schema.get("type", ""), "must be array if x-kubernetes-list-type is specified"
            )
        errors.optional_enum(path.child("x-kubernetes-list-type"), list_type, ("atomic", "set", "map"))
    at = path.child("x-kubernetes-list-map-keys")
    if list_type == "map":
        if not keys:
            errors.required(at, "must not be empty if x-kubernetes-list-type is map")
        items = schema.get("items")
        known = (items.get("properties") or {}) if isinstance(items, dict) else {}
        for index, key in enumerate(keys):
            if key not in known:
                errors.invalid(at.index(index), key, "must be the name of a property of the items")
    elif keys:
        why = "must be map if x-kubernetes-list-map-keys is non-empty"
        errors.invalid(path.child("x-kubernetes-list-type"), list_type, why)
    map_type = schema.get("x-kubernetes-map-type")
    if map_type is not None:
        if schema.get("type") != "object":
            errors.invalid(
                path.child("type"), schema.get("type", ""), "must be object if x-kubernetes-map-type is specified"
            )
        errors.optional_enum(path.child("x-kubernetes-map-type"), map_type, ("atomic", "granular"))


def _validate_children(schema: Schema, path: Path, errors: FieldErrors, depth: int) -> None:
    properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
    if additional is False:
        errors.forbidden(path.child("additionalProperties"), "additionalProperties cannot be set to false")
    elif additional is not None and properties:
        why = "additionalProperties and properties are mutual exclusive"
        errors.forbidden(path.child("additionalProperties"), why)
    for name, child in properties.items():
        _validate_place(child, path.child("properties").key(name), errors, "object fields", depth + 1)
    if isinstance(additional, dict):
        _validate_place(additional, path.child("additionalProperties"), errors, "object fields", depth + 1)
    items = schema.get("items")
    if isinstance(items, list):
        errors.forbidden(path.child("items"), "items must be a schema object and not an array")
    elif isinstance(items, dict):
        _validate_place(items, path.child("items"), errors, "array items", depth + 1)
    elif schema.get("type") == "array":
        errors.required(path.child("items"), "must be specified")


def _validate_inside(schema: Any, outside: Schema, path: Path, errors: FieldErrors, depth: int) -> None:
    """Inside allOf, anyOf, oneOf and not only values may be restricted, of fields that are also declared outside."""
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return
    is_int_or_string = bool(outside.get("x-kubernetes-int-or-string"))
    for key, why in _FORBIDDEN_INSIDE:
        if schema.get(key) and not (key == "type" and is_int_or_string):
            errors.forbidden(path.child(key), why)
    for key in schema:
        if key.startswith("x-kubernetes-") and key != "x-kubernetes-validations" and schema[key]:
            errors.forbidden(path.child(key), "must be false to be structural")
    for name, child in (schema.get("properties") or {}).items():
        known = (outside.get("properties") or {}).get(name)
        if known is None and not isinstance(outside.get("additionalProperties"), dict):
            where = path.text.split(".allOf")[0].split(".anyOf")[0].split(".oneOf")[0].split(".not")[0]
            why = f"because it is defined in {path.child('properties').key(name)}"
            errors.required(Path(where).child("properties").key(name), why)
        else:
            _validate_inside(
                child, known or outside["additionalProperties"], path.child("properties").key(name), errors, depth + 1
            )
    if isinstance(schema.get("items"), dict) and isinstance(outside.get("items"), dict):
        _validate_inside(schema["items"], outside["items"], path.child("items"), errors, depth + 1)
    for key in _LOGICAL:
        for index, child in enumerate(schema.get(key) or ()):
            _validate_inside(child, outside, path.child(key).index(index), errors, depth + 1)
    if isinstance(schema.get("not"), dict):
        _validate_inside(schema["not"], outside, path.child("not"), errors, depth + 1)
