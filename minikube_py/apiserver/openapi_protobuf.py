"""Writes the OpenAPI version 2 document in protobuf form, as client-go's OpenAPISchema asks for it.

Source: the message definitions of gnostic-models openapiv2 (field numbers below are theirs). Extensions, defaults and
enumerated values have no messages: they travel as text in YAML, of which JSON is a part.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import orjson

from minikube_py.objects.errors import Object

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
ACCEPTED = (MEDIA_TYPE, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")

# Message: JSON key to (field number, form). Forms: text, flag, whole, real, any (as YAML), another message, `[]` before
# what repeats, and the special forms of _FORMS. An entry for "x-" is where extensions go.
_ITEM = {
    "type": (0, "text"), "format": (1, "text"), "items": (2, "PrimitivesItems"), "collectionFormat": (3, "text"),
    "default": (4, "any"), "maximum": (5, "real"), "exclusiveMaximum": (6, "flag"), "minimum": (7, "real"),
    "exclusiveMinimum": (8, "flag"), "maxLength": (9, "whole"), "minLength": (10, "whole"), "pattern": (11, "text"),
    "maxItems": (12, "whole"), "minItems": (13, "whole"), "uniqueItems": (14, "flag"), "enum": (15, "[]any"),
    "multipleOf": (16, "real"), "x-": (17, "any"),
}  # fmt: skip


def _item_from(first: int) -> dict[str, tuple[int, str]]:
    """The fields that everything with a primitive type has, which stand together in each message."""
    return {key: (first + offset, form) for key, (offset, form) in _ITEM.items()}


_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "Document": {
        "swagger": (1, "text"), "info": (2, "Info"), "host": (3, "text"), "basePath": (4, "text"),
        "schemes": (5, "[]text"), "consumes": (6, "[]text"), "produces": (7, "[]text"), "paths": (8, "paths"),
        "definitions": (9, "schemas"), "x-": (16, "any"),
    },
    "Info": {"title": (1, "text"), "version": (2, "text"), "description": (3, "text"), "x-": (7, "any")},
    "PathItem": {
        "get": (2, "Operation"), "put": (3, "Operation"), "post": (4, "Operation"), "delete": (5, "Operation"),
        "options": (6, "Operation"), "head": (7, "Operation"), "patch": (8, "Operation"),
        "parameters": (9, "[]parameter"), "x-": (10, "any"),
    },
    "Operation": {
        "tags": (1, "[]text"), "summary": (2, "text"), "description": (3, "text"), "operationId": (5, "text"),
        "produces": (6, "[]text"), "consumes": (7, "[]text"), "parameters": (8, "[]parameter"),
        "responses": (9, "responses"), "schemes": (10, "[]text"), "deprecated": (11, "flag"), "x-": (13, "any"),
    },
    "Response": {"description": (1, "text"), "schema": (2, "answer"), "x-": (5, "any")},
    "BodyParameter": {
        "description": (1, "text"), "name": (2, "text"), "in": (3, "text"), "required": (4, "flag"),
        "schema": (5, "Schema"), "x-": (6, "any"),
    },
    "QueryParameterSubSchema": {
        "required": (1, "flag"), "in": (2, "text"), "description": (3, "text"), "name": (4, "text"),
        "allowEmptyValue": (5, "flag"), **_item_from(6),
    },
    "PathParameterSubSchema": {
        "required": (1, "flag"), "in": (2, "text"), "description": (3, "text"), "name": (4, "text"), **_item_from(5),
    },
    "PrimitivesItems": _item_from(1),
    "Schema": {
        "$ref": (1, "text"), "format": (2, "text"), "title": (3, "text"), "description": (4, "text"),
        "default": (5, "any"), "multipleOf": (6, "real"), "maximum": (7, "real"), "exclusiveMaximum": (8, "flag"),
        "minimum": (9, "real"), "exclusiveMinimum": (10, "flag"), "maxLength": (11, "whole"),
        "minLength": (12, "whole"), "pattern": (13, "text"), "maxItems": (14, "whole"), "minItems": (15, "whole"),
        "uniqueItems": (16, "flag"), "maxProperties": (17, "whole"), "minProperties": (18, "whole"),
        "required": (19, "[]text"), "enum": (20, "[]any"), "additionalProperties": (21, "additional"),
        "type": (22, "types"), "items": (23, "wrapped"), "allOf": (24, "[]Schema"), "properties": (25, "schemas"),
        "readOnly": (27, "flag"), "example": (30, "any"), "x-": (31, "any"),
    },
}  # fmt: skip
# The parameters' places and their field in NonBodyParameter.
_PLACES = {"query": (3, "QueryParameterSubSchema"), "path": (4, "PathParameterSubSchema")}


def encode(document: Object) -> bytes:
    """A whole OpenAPI 2 document."""
    return _message("Document", document)


# --- messages --------------------------------------------------------------------------------------------------------


def _message(name: str, value: Mapping[str, Any]) -> bytes:
    fields, parts = _MESSAGES[name], list[bytes]()
    for key, child in value.items():
        field = fields.get(key)
        if field is not None:
            parts.append(_field(field, child))
        elif key.startswith("x-") and "x-" in fields:
            parts.append(_named(fields["x-"][0], key, _any(child)))
    return b"".join(parts)


def _field(field: tuple[int, str], value: Any) -> bytes:
    number, form = field
    if form.startswith("[]"):
        return b"".join(_one(number, form[2:], item, is_repeated=True) for item in value)
    return _one(number, form, value)


def _one(number: int, form: str, value: Any, *, is_repeated: bool = False) -> bytes:
    """One value; what is empty in protobuf's eyes is left out, unless its place in a list counts."""
    if form == "text":
        return _block(number, value.encode()) if value or is_repeated else b""
    if form == "flag":
        return _tag(number, 0) + b"\1" if value else b""
    if form == "whole":
        return _tag(number, 0) + _varint(value) if value else b""
    if form == "real":
        return _tag(number, 1) + struct.pack("<d", value) if value else b""
    special = _FORMS.get(form)
    return _block(number, special(value) if special is not None else _message(form, value))


def _paths(value: Mapping[str, Any]) -> bytes:
    return b"".join(_named(2, path, _message("PathItem", item)) for path, item in value.items())


def _schemas(value: Mapping[str, Any]) -> bytes:
    return b"".join(_named(1, name, _message("Schema", schema)) for name, schema in value.items())


def _responses(value: Mapping[str, Any]) -> bytes:
    return b"".join(_named(1, code, _block(1, _message("Response", answer))) for code, answer in value.items())


def _parameter(value: Mapping[str, Any]) -> bytes:
    if value["in"] == "body":
        return _block(1, _block(1, _message("BodyParameter", value)))
    number, name = _PLACES[value["in"]]
    return _block(1, _block(2, _block(number, _message(name, value))))


def _additional(value: Any) -> bytes:
    if isinstance(value, bool):
        # A choice of `false` is said, unlike a flag that is not set.
        return _tag(2, 0) + (b"\1" if value else b"\0")
    return _block(1, _message("Schema", value))


def _types(value: Any) -> bytes:
    return b"".join(_block(1, name.encode()) for name in ([value] if isinstance(value, str) else value))


def _any(value: Any) -> bytes:
    return _block(2, orjson.dumps(value) + b"\n")


_FORMS: dict[str, Callable[[Any], bytes]] = {
    "any": _any,
    "paths": _paths,
    "schemas": _schemas,
    "responses": _responses,
    "parameter": _parameter,
    "additional": _additional,
    "types": _types,
    "wrapped": lambda value: _block(1, _message("Schema", value)),
    "answer": lambda value: _block(1, _message("Schema", value)),
}


# --- the wire --------------------------------------------------------------------------------------------------------


def _named(number: int, name: str, value: bytes) -> bytes:
    """An entry of a map: its name and its value."""
    return _block(number, _block(1, name.encode()) + _block(2, value))


def _block(number: int, data: bytes) -> bytes:
    return b"".join((_tag(number, 2), _varint(len(data)), data))


@cache
def _tag(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _varint(number: int) -> bytes:
    if 0 <= number < 128:
        return _SMALL[number]
    return bytes(_digits(number & 0xFFFF_FFFF_FFFF_FFFF))


def _digits(number: int) -> Iterator[int]:
    while number > 127:
        yield number & 127 | 128
        number >>= 7
    yield number


_SMALL = [bytes((number,)) for number in range(128)]
