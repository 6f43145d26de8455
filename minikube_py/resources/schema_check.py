"""Checks decoded JSON against the schema table in one pass: types, unknown fields, nulls, empty and canonical values.

Two passes share the work. The quick one is compiled to closures and says whether an object is what Kubernetes would
store, but for empty values, which it drops and adds in place as Go does; nearly all objects are. Any doubt sends
the object through the careful one, which knows paths, speaks like Go's strict decoder, and cleans the rest too.
"""

import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from typing import Any

from minikube_py.objects import quantity
from minikube_py.objects.meta import deep_copy
from minikube_py.resources.go_time import canonical_micro_time, canonical_time
from minikube_py.resources.schema_table import (
    INT_OR_STRING,
    MICRO_TIME,
    QUANTITY,
    TIME,
    Definition,
    definitions,
    go_fields,
    resolve,
)

INT_LIMITS = {"int32": 2**31, "int64": 2**63}
_PLAIN_TIME = re.compile(r"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\dZ")
_PLAIN_MICRO_TIME = re.compile(r"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d{6}Z")
_SCALARS = {"string": str, "boolean": bool}


@dataclass(frozen=True)
class SchemaReport:
    """What a check found. `type_error` is Go's text for the first value of a wrong type, or ''; `unknown_fields` are
    the paths of the fields that were dropped."""

    type_error: str = ""
    unknown_fields: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        return not self.type_error and not self.unknown_fields

    def decode_error(self, kind: str, version: str) -> str:
        """The message of the 400 answer for a type error."""
        return f'{kind} in version "{version}" cannot be handled as a {kind}: {self.type_error}'

    def strict_error(self, kind: str, version: str) -> str:
        """The message of the 400 answer for unknown fields when fieldValidation is Strict."""
        fields = ", ".join(self.warnings())
        return f'{kind} in version "{version}" cannot be handled as a {kind}: strict decoding error: {fields}'

    def warnings(self) -> list[str]:
        """One warning text a dropped field, for fieldValidation Warn."""
        return [f'unknown field "{path}"' for path in self.unknown_fields]


_CLEAN = SchemaReport()


def check_definition(name: str, value: Any) -> SchemaReport:
    """Checks and cleans `value` in place against a definition."""
    try:
        _quick(name)(value)
    except _Doubt:
        return _check_carefully(name, value)
    return _CLEAN


def keeping_reset(metadata: Any, check: Callable[[], SchemaReport]) -> SchemaReport:
    """Runs the check of an object with this metadata. `managedFields: []` is a request to forget all managers: unlike
    other empty lists it has to arrive."""
    is_reset = isinstance(metadata, dict) and metadata.get("managedFields") == []
    report = check()
    if is_reset:
        metadata["managedFields"] = []
    return report


def fill_empty(name: str, value: dict[str, Any]) -> None:
    """Adds the fields of a definition that Go prints although nobody set them."""
    _empties(name).apply(value)


class _Doubt(Exception):
    """The quick pass met something that is not exactly as it will be stored."""


Quick = Callable[[Any], None]


@cache
def _quick(name: str) -> Quick:
    return _compile({"$ref": name})


@cache
def _quick_lazy(name: str) -> Quick:
    """Stands for a definition that may refer to itself: it is compiled when it is first needed."""

    def run(value: Any) -> None:
        _quick_body(name)(value)

    return run


@cache
def _quick_body(name: str) -> Quick:
    body = definitions()[name]
    return _compile_struct(body["properties"], _empties(name)) if "properties" in body else _compile_body(body)


_NAMED: dict[str, Quick] = {}


def _compile(place: Definition) -> Quick:
    ref = place.get("$ref")
    if ref is None:
        return _compile_body(place)
    named = _NAMED.get(ref)
    if named is not None:
        return named
    body = definitions()[ref]
    return _quick_lazy(ref) if "properties" in body else _compile_body(body)


def _compile_body(body: Definition) -> Quick:
    if body.get("x-kubernetes-preserve-unknown-fields"):
        return _quick_dict
    kind = body.get("type")
    if "properties" in body:
        return _compile_struct(body["properties"], _Empties())
    if kind == "object":
        additional = body.get("additionalProperties")
        return _compile_map(additional) if isinstance(additional, dict) else _quick_dict
    if kind == "array":
        return _compile_list(body.get("items", {}))
    if kind == "integer":
        return _compile_int(INT_LIMITS[body.get("format", "int64")])
    if kind == "number":
        return _quick_number
    if kind == "string" and body.get("format") == "byte":
        return _quick_bytes
    if kind in _SCALARS:
        return _compile_scalar(_SCALARS[kind])
    return _quick_any


@dataclass(frozen=True)
class _Empties:
    """What a struct does with empty values: `drop` are left out, `fill` makes those that are there anyway."""

    drop: frozenset[str] = frozenset()
    fill: tuple[tuple[str, Callable[[], Any]], ...] = ()

    def apply(self, value: dict[str, Any]) -> None:
        for key in [key for key, child in value.items() if not child and key in self.drop]:
            del value[key]
        for key, make in self.fill:
            if key not in value:
                value[key] = make()


@cache
def _empties(name: str) -> _Empties:
    entry = go_fields().get(name, {})
    fill = tuple((key, _maker(value)) for key, value in entry.get("fill", {}).items())
    return _Empties(frozenset(entry.get("drop", ())), fill)


def _maker(value: Any) -> Callable[[], Any]:
    """Gives a fresh copy of a value each time."""
    if value == {}:
        return dict
    if value == []:
        return list
    return partial(deep_copy, value)


def _compile_struct(properties: dict[str, Definition], empties: _Empties) -> Quick:
    scalars: dict[str, type] = {}
    others: dict[str, Quick] = {}
    for key, place in properties.items():
        if "$ref" not in place and place.get("type") in _SCALARS and place.get("format") != "byte":
            scalars[key] = _SCALARS[place["type"]]
        else:
            others[key] = _compile(place)
    scalar_of, other_of, drop, fill = scalars.get, others.get, empties.drop, empties.fill

    def struct(value: Any) -> None:
        if type(value) is not dict:
            raise _Doubt
        is_dropping = False
        for key, child in value.items():
            if scalar_of(key) is not type(child):
                check = other_of(key)
                if check is None:
                    raise _Doubt
                check(child)
            if not child and key in drop:
                is_dropping = True
        if is_dropping:
            empties.apply(value)
        for key, make in fill:
            if key not in value:
                value[key] = make()

    return struct


def _compile_map(place: Definition) -> Quick:
    if place.get("type") == "string" and "format" not in place:
        return _quick_string_map
    check = _compile(place)

    def mapping(value: Any) -> None:
        if type(value) is not dict:
            raise _Doubt
        for child in value.values():
            check(child)

    return mapping


def _compile_list(place: Definition) -> Quick:
    if place.get("type") == "string" and "format" not in place:
        return _quick_string_list
    check = _compile(place)

    def listing(value: Any) -> None:
        if type(value) is not list:
            raise _Doubt
        for child in value:
            check(child)

    return listing


def _compile_int(limit: int) -> Quick:
    def integer(value: Any) -> None:
        if type(value) is not int or not -limit <= value < limit:
            raise _Doubt

    return integer


def _compile_scalar(wanted: type) -> Quick:
    def scalar(value: Any) -> None:
        if type(value) is not wanted:
            raise _Doubt

    return scalar


def _quick_any(value: Any) -> None:
    if value is None:
        raise _Doubt


def _quick_dict(value: Any) -> None:
    if type(value) is not dict:
        raise _Doubt


def _quick_string_map(value: Any) -> None:
    if type(value) is not dict:
        raise _Doubt
    for child in value.values():
        if type(child) is not str:
            raise _Doubt


def _quick_string_list(value: Any) -> None:
    if type(value) is not list:
        raise _Doubt
    for child in value:
        if type(child) is not str:
            raise _Doubt


def _quick_number(value: Any) -> None:
    if type(value) is not int and type(value) is not float:
        raise _Doubt


def _quick_bytes(value: Any) -> None:
    if type(value) is not str:
        raise _Doubt
    try:
        binascii.a2b_base64(value, strict_mode=True)
    except ValueError:
        raise _Doubt from None


@lru_cache(maxsize=4096)
def _is_canonical(text: str) -> bool:
    try:
        return quantity.canonical(text) == text
    except ValueError:
        return False


def _quick_quantity(value: Any) -> None:
    if type(value) is not str or len(value) > 32 or not _is_canonical(value):
        raise _Doubt


def _quick_int_or_string(value: Any) -> None:
    if type(value) is not str and (type(value) is not int or not -(2**31) <= value < 2**31):
        raise _Doubt


def _quick_time(value: Any) -> None:
    if type(value) is not str or _PLAIN_TIME.fullmatch(value) is None:
        raise _Doubt


def _quick_micro_time(value: Any) -> None:
    if type(value) is not str or _PLAIN_MICRO_TIME.fullmatch(value) is None:
        raise _Doubt


_NAMED.update(
    {
        QUANTITY: _quick_quantity,
        INT_OR_STRING: _quick_int_or_string,
        TIME: _quick_time,
        MICRO_TIME: _quick_micro_time,
    }
)

_DROP = object()


def _check_carefully(name: str, value: Any) -> SchemaReport:
    walk = _Walk()
    walk.visit({"$ref": name}, value, _Where("", (), ""))
    return SchemaReport(walk.type_error, tuple(walk.unknown))


@dataclass(frozen=True)
class _Where:
    """A place in the object: the path for unknown fields, and the struct and field names of Go's type errors."""

    path: str
    fields: tuple[str, ...]
    struct: str

    def child(self, key: str, struct: str) -> "_Where":
        return _Where(f"{self.path}.{key}" if self.path else key, (*self.fields, key), struct)

    def item(self, index: int | str) -> "_Where":
        step = f"[{index}]" if isinstance(index, int) else f".{index}"
        return _Where(self.path + step, self.fields, self.struct)


@dataclass
class _Walk:
    """The careful pass. `visit` gives the clean value; unknown fields and the first type error are kept."""

    type_error: str = ""
    unknown: list[str] = field(default_factory=list)

    def visit(self, place: Definition, value: Any, where: _Where) -> Any:
        ref = place.get("$ref", "")
        special = _SPECIAL.get(ref)
        if special is not None:
            return special(self, value)
        body = resolve(place)
        if value is None:
            return _zero(ref, body)
        if body.get("x-kubernetes-preserve-unknown-fields") or "type" not in body:
            return value
        kind = body["type"]
        if "properties" in body:
            return self._struct(ref, body, value, where)
        if kind == "object":
            return self._map(ref, body, value, where)
        if kind == "array":
            return self._list(place, body, value, where)
        return self._scalar(body, value, where)

    def _struct(self, ref: str, body: Definition, value: Any, where: _Where) -> Any:
        if not isinstance(value, dict):
            return self._wrong(value, go_type({"$ref": ref}), where)
        properties = body["properties"]
        struct = ref.rsplit(".", 1)[-1]
        for key in list(value):
            place = properties.get(key)
            if place is None:
                self.unknown.append(f"{where.path}.{key}" if where.path else key)
                del value[key]
            elif value[key] is None:
                del value[key]
            else:
                value[key] = self.visit(place, value[key], where.child(key, struct))
        _empties(ref).apply(value)
        return value

    def _map(self, ref: str, body: Definition, value: Any, where: _Where) -> Any:
        if not isinstance(value, dict):
            return self._wrong(value, go_type({"$ref": ref} if ref else body), where)
        place = body.get("additionalProperties")
        if isinstance(place, dict):
            for key in value:
                value[key] = self.visit(place, value[key], where.item(key))
        return value

    def _list(self, place: Definition, body: Definition, value: Any, where: _Where) -> Any:
        if not isinstance(value, list):
            return self._wrong(value, go_type(body), where)
        items = body.get("items", {})
        for index, child in enumerate(value):
            value[index] = self.visit(items, child, where.item(index))
        return value

    def _scalar(self, body: Definition, value: Any, where: _Where) -> Any:
        kind = body["type"]
        if kind == "boolean":
            return value if isinstance(value, bool) else self._wrong(value, "bool", where)
        if kind == "number":
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            return value if is_number else self._wrong(value, "float64", where)
        if kind == "integer":
            return self._integer(body.get("format", "int64"), value, where)
        if body.get("format") == "byte":
            return self._bytes(value, where)
        return value if isinstance(value, str) else self._wrong(value, "string", where)

    def _integer(self, go: str, value: Any, where: _Where) -> Any:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            return self._wrong(value, go, where)
        limit = INT_LIMITS[go]
        return value if -limit <= value < limit else self._wrong(value, go, where, show_number=True)

    def _bytes(self, value: Any, where: _Where) -> Any:
        if not isinstance(value, str):
            return self._wrong(value, "[]uint8", where)
        text = value.replace("\r", "").replace("\n", "")
        try:
            binascii.a2b_base64(text, strict_mode=True)
        except ValueError:
            self.fail(f"illegal base64 data at input byte {_bad_base64_at(text)}")
        return text

    def _wrong(self, value: Any, go: str, where: _Where, *, show_number: bool = False) -> Any:
        what = json_name(value)
        if go in INT_LIMITS and (show_number or isinstance(value, float)):
            what = f"number {value}"
        if where.fields:
            target = f"Go struct field {where.struct}.{'.'.join(where.fields)} of type {go}"
        else:
            target = f"Go value of type {go}"
        self.fail(f"json: cannot unmarshal {what} into {target}")
        return value

    def fail(self, text: str) -> None:
        self.type_error = self.type_error or text


def _zero(ref: str, body: Definition) -> Any:
    """What Go makes of null inside a list or a map: the zero value."""
    kind = body.get("type")
    if "properties" in body:
        struct: dict[str, Any] = {}
        _empties(ref).apply(struct)
        return struct
    return {"string": "", "integer": 0, "number": 0, "boolean": False}.get(str(kind))


def json_name(value: Any) -> str:
    """What Go's decoder calls a JSON value in its errors."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "array"
    return "object" if isinstance(value, dict) else "null"


def go_type(place: Definition) -> str:
    """The Go type of a place as its errors print it: `int32`, `[]v1.Container`, `map[string]string`."""
    ref = place.get("$ref")
    if ref == INT_OR_STRING:
        return "intstr.IntOrString"
    if ref:
        return ".".join(ref.rsplit(".", 2)[-2:]) if "properties" in definitions()[ref] else go_type(definitions()[ref])
    kind = place.get("type")
    if kind == "array":
        return "[]" + go_type(place.get("items", {}))
    if kind == "object":
        return "map[string]" + go_type(place.get("additionalProperties") or {})
    if kind == "integer":
        return str(place.get("format", "int64"))
    if place.get("format") == "byte":
        return "[]uint8"
    return {"string": "string", "boolean": "bool", "number": "float64"}.get(str(kind), "interface {}")


def _bad_base64_at(text: str) -> int:
    found = re.search(r"[^A-Za-z0-9+/]", text.rstrip("="))
    return found.start() if found else len(text) - len(text) % 4


def _visit_quantity(walk: _Walk, value: Any) -> Any:
    if value is None:
        return "0"
    if isinstance(value, (dict, list, bool)):
        walk.fail(quantity.FORMAT_TEXT)
        return value
    try:
        return quantity.canonical(value)
    except ValueError as error:
        walk.fail(str(error))
        return value


def _visit_int_or_string(walk: _Walk, value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str):
        return value
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int):
        shown = f"number {value}" if isinstance(value, float) else json_name(value)
        walk.fail(f"json: cannot unmarshal {shown} into Go value of type int32")
    elif not -(2**31) <= value < 2**31:
        walk.fail(f"json: cannot unmarshal number {value} into Go value of type int32")
    return value


def _visit_time(walk: _Walk, value: Any, canonical: Callable[[str], str] = canonical_time) -> Any:
    if not isinstance(value, str):
        if value is not None:
            walk.fail(f"json: cannot unmarshal {json_name(value)} into Go value of type string")
        return value
    try:
        return canonical(value)
    except ValueError as error:
        walk.fail(str(error))
        return value


def _visit_micro_time(walk: _Walk, value: Any) -> Any:
    return _visit_time(walk, value, canonical_micro_time)


_SPECIAL: dict[str, Callable[[_Walk, Any], Any]] = {
    QUANTITY: _visit_quantity,
    INT_OR_STRING: _visit_int_or_string,
    TIME: _visit_time,
    MICRO_TIME: _visit_micro_time,
}
