"""Checks that the schema of a custom kind is structural: every field has a type outside of value validations.

Source: apiextensions-apiserver pkg/apiserver/schema/{validation,complete}.go.
"""

from collections.abc import Mapping
from typing import Any

import re2

from minikube_py.resources.custom.quick_check import compile_pattern
from minikube_py.resources.fields import FieldErrors, Path

Schema = Mapping[str, Any]
ROOT, ITEM, FIELD = "root", "item", "field"
_X = "x-kubernetes-"
_EMPTY_TYPE = {
    ROOT: "must not be empty at the root",
    ITEM: "must not be empty for specified array items",
    FIELD: "must not be empty for specified object fields",
}
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_NESTED = (
    ("type", "must be empty to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    (_X + "preserve-unknown-fields", "must be false to be structural"),
    (_X + "embedded-resource", "must be false to be structural"),
    (_X + "int-or-string", "must be false to be structural"),
    (_X + "list-map-keys", "must be empty to be structural"),
    (_X + "list-type", "must be undefined to be structural"),
    (_X + "map-type", "must be undefined to be structural"),
    (_X + "validations", "must be empty to be structural"),
)
_SET_IS_ENOUGH = frozenset(("default", _X + "list-type", _X + "map-type"))


def validate_structural(schema: Schema, path: Path, errors: FieldErrors) -> None:
    """Adds the errors of a version's schema, sorted by text."""
    found = FieldErrors()
    _invariants(schema, ROOT, path, found)
    _spine(schema, schema, path, path, found)
    errors.extend(sorted(found.causes, key=lambda cause: f"{cause.field}: {cause.message}"))


def _schema(value: Any) -> Schema | None:
    return value if isinstance(value, Mapping) else None


def _invariants(schema: Schema, level: str, path: Path, errors: FieldErrors) -> None:
    items, extra = _schema(schema.get("items")), schema.get("additionalProperties")
    if schema.get("type") == "array" and items is None:
        errors.required(path.child("items"), "must be specified")
    if items is not None:
        _invariants(items, ITEM, path.child("items"), errors)
    for key, child in (schema.get("properties") or {}).items():
        _invariants(child, FIELD, path.child("properties").key(key), errors)
    if extra is not None and level == ROOT:
        errors.forbidden(path.child("additionalProperties"), "must not be used at the root")
    if isinstance(extra, Mapping):
        _invariants(extra, FIELD, path.child("additionalProperties"), errors)
    if schema.get(_X + "int-or-string"):
        for name in (_X + "preserve-unknown-fields", _X + "embedded-resource"):
            if schema.get(name):
                errors.invalid(path.child(name), True, "must be false if x-kubernetes-int-or-string is true")
    _values(schema, path, errors, is_spine=True)
    _type(schema, level, path, errors)
    if level == ROOT or schema.get(_X + "embedded-resource"):
        _type_meta(schema, level, path, errors)


def _type(schema: Schema, level: str, path: Path, errors: FieldErrors) -> None:
    name, is_embedded = schema.get("type") or "", bool(schema.get(_X + "embedded-resource"))
    keeps = bool(schema.get(_X + "preserve-unknown-fields"))
    if is_embedded and name != "object":
        why = "must be object if x-kubernetes-embedded-resource is true"
        if name:
            errors.invalid(path.child("type"), name, why)
        else:
            errors.required(path.child("type"), why)
    elif not name and not keeps and not schema.get(_X + "int-or-string"):
        errors.required(path.child("type"), _EMPTY_TYPE[level])
    if is_embedded and schema.get("additionalProperties") is not None:
        why = "must not be used if x-kubernetes-embedded-resource is set"
        errors.forbidden(path.child("additionalProperties"), why)
    if level == ROOT and name not in ("", "object"):
        errors.invalid(path.child("type"), name, "must be object at the root")
    if is_embedded and not keeps and not schema.get("properties"):
        why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        errors.required(path.child("properties"), why)


def _type_meta(schema: Schema, level: str, path: Path, errors: FieldErrors) -> None:
    """A resource's kind and apiVersion are strings; of its metadata the root may restrict the names, nothing else."""
    properties = schema.get("properties") or {}
    for key in ("kind", "apiVersion"):
        if key in properties and properties[key].get("type") != "string":
            here = path.child("properties").key(key).child("type")
            errors.invalid(here, properties[key].get("type") or "", "must be string")
    metadata = properties.get("metadata")
    if metadata is None:
        return
    here = path.child("properties").key("metadata")
    if metadata.get("type") != "object":
        errors.invalid(here.child("type"), metadata.get("type") or "", "must be object")
    others = {key for key, value in metadata.items() if value} - {"type", "properties", "default"}
    named = set(metadata.get("properties") or ())
    if level == ROOT and (others or named - {"name", "generateName"}):
        why = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        errors.forbidden(here, why)


def _values(schema: Schema, path: Path, errors: FieldErrors, *, is_spine: bool, skips_any_of: bool = False) -> None:
    """The junctors and the pattern of a place. The anyOf that spells an int-or-string out may name types."""
    if not (skips_any_of or (is_spine and schema.get("anyOf") == _INT_OR_STRING)):
        for index, nested in enumerate(schema.get("anyOf") or ()):
            _nested(nested, path.child("anyOf").index(index), errors)
    for index, nested in enumerate(schema.get("allOf") or ()):
        is_pattern = is_spine and index == 0 and nested.get("anyOf") == _INT_OR_STRING
        _nested(nested, path.child("allOf").index(index), errors, skips_any_of=is_pattern)
    for index, nested in enumerate(schema.get("oneOf") or ()):
        _nested(nested, path.child("oneOf").index(index), errors)
    refused = _schema(schema.get("not"))
    if refused is not None:
        _nested(refused, path.child("not"), errors)
    if schema.get("pattern"):
        try:
            compile_pattern(schema["pattern"])
        except re2.error as error:
            what = error.args[0] if error.args else ""
            text = what.decode(errors="replace") if isinstance(what, bytes) else str(what)
            why = f"must be a valid regular expression, but isn't: error parsing regexp: {text}"
            errors.invalid(path.child("pattern"), schema["pattern"], why)


def _nested(schema: Schema, path: Path, errors: FieldErrors, *, skips_any_of: bool = False) -> None:
    """A schema under a junctor says what values may be, never what there is."""
    _values(schema, path, errors, is_spine=False, skips_any_of=skips_any_of)
    items = _schema(schema.get("items"))
    if items is not None:
        _nested(items, path.child("items"), errors)
    for key, child in (schema.get("properties") or {}).items():
        _nested(child, path.child("properties").key(key), errors)
    if schema.get("additionalProperties") is not None:
        errors.forbidden(path.child("additionalProperties"), "must be undefined to be structural")
    for key, why in _NESTED:
        found = schema.get(key)
        if found is not None if key in _SET_IS_ENOUGH else found:
            errors.forbidden(path.child(key), why)
    if "metadata" in (schema.get("properties") or {}):
        errors.forbidden(path.child("properties").key("metadata"), "must not be specified in a nested context")


def _spine(nested: Schema, spine: Schema | None, at: Path, path: Path, errors: FieldErrors) -> None:
    """Every place under a junctor has to be declared outside of it as well; `at` is the path there."""
    refused = _schema(nested.get("not"))
    if refused is not None:
        _spine_of(refused, spine, at, path.child("not"), errors)
    for word in ("allOf", "anyOf", "oneOf"):
        for index, each in enumerate(nested.get(word) or ()):
            _spine_of(each, spine, at, path.child(word).index(index), errors)


def _spine_of(nested: Schema, spine: Schema | None, at: Path, path: Path, errors: FieldErrors) -> None:
    if spine is None:
        errors.required(at, f"because it is defined in {path}")
        return
    _spine(nested, spine, at, path, errors)
    items = _schema(nested.get("items"))
    if items is not None:
        _spine_of(items, _schema(spine.get("items")), at.child("items"), path.child("items"), errors)
    declared = spine.get("properties") or {}
    for key, child in (nested.get("properties") or {}).items():
        here, there = path.child("properties").key(key), at.child("properties").key(key)
        _spine_of(child, declared.get(key), there, here, errors)
