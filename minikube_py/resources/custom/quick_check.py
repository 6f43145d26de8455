"""Compiles a custom schema's value validations to closures that say yes or no; checks.py says what is wrong."""

from collections.abc import Callable, Mapping
from typing import Any

import re2

from minikube_py.resources.custom.formats import FORMATS, supported
from minikube_py.resources.custom.structural import EMPTY, Structural, parse

Quick = Callable[[Any], bool]
INT_BOUNDS = {"int32": 2**31, "int64": 2**63}
_FLOAT32_MAX = 3.4028234663852886e38


def compile_pattern(pattern: str) -> Any:
    """A user's regular expression on a linear-time engine. Raises re2.error."""
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def compile_quick(place: Structural) -> Quick:
    """A function that tells whether a value passes the schema: types and value validations, without rules (CEL)."""
    tests: list[Quick] = [*_of_type(place), *_of_logic(place.raw)]
    type_check = _type_check(place)

    def check(value: Any) -> bool:
        if not type_check(value):
            return False
        if value is None:
            return True
        return all(test(value) for test in tests)

    raw = place.raw
    if not raw.get("enum"):
        return check
    allowed = raw["enum"]
    return lambda value: check(value) and is_in_enum(value, allowed)


def is_in_enum(value: Any, allowed: list[Any]) -> bool:
    """Equality as Go's values have it: a number is never a boolean."""
    return any(candidate == value and isinstance(candidate, bool) == isinstance(value, bool) for candidate in allowed)


def type_names(place: Structural) -> tuple[str, ...]:
    return ("integer", "string") if place.int_or_string else (place.type,) if place.type else ()


def type_of(value: Any) -> str:
    """What OpenAPI calls the type of a JSON value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def is_of_type(value: Any, names: tuple[str, ...]) -> bool:
    found = type_of(value)
    if not names or found in names:
        return True
    if found == "integer":
        return "number" in names
    return found == "number" and value.is_integer() and "integer" in names


def _type_check(place: Structural) -> Quick:
    names, nullable = type_names(place), place.nullable
    if not names:
        return lambda _value: True
    wanted = {"string": str, "object": dict, "array": list, "boolean": bool}.get(names[0]) if len(names) == 1 else None
    if wanted is not None:
        return lambda value: type(value) is wanted or (value is None and nullable)

    def check(value: Any) -> bool:
        return nullable if value is None else is_of_type(value, names)

    return check


def _of_type(place: Structural) -> list[Quick]:
    """The tests that apply by the type of the value, whatever the schema's own type is."""
    raw = place.raw
    tests = [
        _string_tests(raw, place.type if not place.int_or_string else ""),
        _number_tests(raw, place.type if not place.int_or_string else ""),
        _list_tests(place),
        _object_tests(place),
    ]
    return [test for test in tests if test is not None]


def _string_tests(raw: Mapping[str, Any], type_name: str) -> Quick | None:
    shortest, longest, pattern = raw.get("minLength"), raw.get("maxLength"), raw.get("pattern")
    name = raw.get("format") or ""
    format_check = FORMATS.get(name.replace("-", "")) if name and supported(name, type_name) else None
    if type_name not in ("", "string") or (shortest is None and longest is None and not pattern and not format_check):
        return None
    compiled = compile_pattern(pattern) if pattern else None

    def check(value: Any) -> bool:
        if type(value) is not str:
            return True
        if longest is not None and len(value) > longest:
            return False
        if shortest is not None and len(value) < shortest:
            return False
        if compiled is not None and compiled.search(value) is None:
            return False
        return format_check is None or format_check(value)

    return check


def in_range(value: Any, type_name: str, format_name: str) -> bool:
    """Whether a number fits its format; integers without one are 64 bits wide."""
    if type_name == "integer":
        bound = INT_BOUNDS.get(format_name, 2**63)
        return bool(-bound <= value < bound)
    return format_name != "float" or abs(value) <= _FLOAT32_MAX


def is_multiple(value: Any, factor: Any) -> bool:
    if isinstance(value, int) and float(factor).is_integer():
        return bool(value % int(factor) == 0)
    ratio = value / factor if factor >= 1 else 1 / factor * value
    return bool(abs(ratio - round(ratio)) < 1e-9)


def _number_tests(raw: Mapping[str, Any], type_name: str) -> Quick | None:
    low, high, factor = raw.get("minimum"), raw.get("maximum"), raw.get("multipleOf")
    low_open, high_open = bool(raw.get("exclusiveMinimum")), bool(raw.get("exclusiveMaximum"))
    name = raw.get("format") or ""
    if type_name not in ("", "integer", "number"):
        return None

    def check(value: Any) -> bool:
        if type(value) is not int and type(value) is not float:
            return True
        if type_name and not in_range(value, type_name, name):
            return False
        if high is not None and (value > high or (high_open and value == high)):
            return False
        if low is not None and (value < low or (low_open and value == low)):
            return False
        return factor is None or is_multiple(value, factor)

    return check


def _list_tests(place: Structural) -> Quick | None:
    raw = place.raw
    fewest, most = raw.get("minItems"), raw.get("maxItems")
    item_check = compile_quick(place.items) if place.items is not None else None
    if fewest is None and most is None and item_check is None:
        return None

    def check(value: Any) -> bool:
        if type(value) is not list:
            return True
        if most is not None and len(value) > most:
            return False
        if fewest is not None and len(value) < fewest:
            return False
        return item_check is None or all(map(item_check, value))

    return check


def _object_tests(place: Structural) -> Quick | None:
    raw = place.raw
    fewest, most = raw.get("minProperties"), raw.get("maxProperties")
    required = tuple(raw.get("required") or ())
    checks = {key: compile_quick(child) for key, child in place.properties.items()}
    free = compile_quick(place.additional) if place.additional is not None else None
    is_closed = raw.get("additionalProperties") is False
    if fewest is None and most is None and not required and not checks and free is None and not is_closed:
        return None
    find = checks.get

    def check(value: Any) -> bool:
        if type(value) is not dict:
            return True
        if (most is not None and len(value) > most) or (fewest is not None and len(value) < fewest):
            return False
        for key in required:
            if key not in value:
                return False
        for key, child in value.items():
            test = find(key)
            if test is None:
                if is_closed:
                    return False
                test = free
            if test is not None and not test(child):
                return False
        return True

    return check


def _of_logic(raw: Mapping[str, Any]) -> list[Quick]:
    """anyOf, allOf, oneOf and not."""
    tests: list[Quick] = []
    any_of, all_of, one_of = (_compile_each(raw.get(key)) for key in ("anyOf", "allOf", "oneOf"))
    if any_of:
        tests.append(lambda value: any(test(value) for test in any_of))
    tests.extend(all_of)
    if one_of:
        tests.append(lambda value: sum(test(value) for test in one_of) == 1)
    if isinstance(raw.get("not"), Mapping):
        refused = compile_quick(parse(raw["not"]))
        tests.append(lambda value: not refused(value))
    return tests


def _compile_each(schemas: Any) -> list[Quick]:
    return [compile_quick(parse(schema)) for schema in schemas or ()]


def compile_schema(place: Structural) -> Quick:
    """Like compile_quick; schemas without anything to check pass everything."""
    return (lambda _value: True) if place is EMPTY else compile_quick(place)
