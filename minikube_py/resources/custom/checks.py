"""Says what is wrong with an object of a custom kind, with the texts of Kubernetes' OpenAPI validation.

A value that did not change in an update is not complained about (ratcheting), so that tightening a schema never locks
stored objects. Source: kube-openapi pkg/validation, apiextensions-apiserver pkg/apiserver/validation, KEP-4008.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from minikube_py.objects import go_text
from minikube_py.objects.errors import Cause
from minikube_py.resources.custom.formats import has_format, supported
from minikube_py.resources.custom.quick_check import (
    Quick,
    compile_pattern,
    compile_quick,
    in_range,
    is_in_enum,
    is_multiple,
    is_of_type,
    type_names,
    type_of,
)
from minikube_py.resources.custom.structural import Structural, parse
from minikube_py.resources.fields import FieldErrors, Path

MISSING: Any = object()


@dataclass(frozen=True)
class ValueCheck:
    """The compiled value validations of one schema place."""

    place: Structural
    passes: Quick

    @staticmethod
    def of(place: Structural) -> "ValueCheck":
        return ValueCheck(place, compile_quick(place))

    def validate(self, value: Any, errors: FieldErrors, path: str = "", old: Any = MISSING) -> None:
        """Adds what is wrong with a value; `old` is the stored one in an update."""
        if not self.passes(value):
            errors.extend(_Walk().visit(self.place, value, path, old))


class _Walk:
    """The careful pass. Each visit gives the causes found at and below a place."""

    def visit(self, place: Structural, value: Any, path: str, old: Any = MISSING) -> list[Cause]:
        errors = FieldErrors()
        self._type(place, value, path, errors)
        if value is not None:
            self._logic(place.raw, value, path, errors)
            if isinstance(value, str):
                _check_string(place, value, path, errors)
            elif isinstance(value, (int, float)) and not isinstance(value, bool):
                _check_number(place, value, path, errors)
            elif isinstance(value, list):
                self._list(place, value, path, old, errors)
        _check_enum(place, value, path, errors)
        if isinstance(value, dict):
            self._object(place, value, path, old, errors)
        if errors and old is not MISSING and path and old == value:
            return []
        return errors.causes

    def _type(self, place: Structural, value: Any, path: str, errors: FieldErrors) -> None:
        names = type_names(place)
        if not names or (value is None and place.nullable) or is_of_type(value, names):
            return
        found, wanted = type_of(value), ",".join(names)
        name = place.raw.get("format") or ""
        if value is not None and not isinstance(value, (str, list)) and name and supported(name, place.type):
            formats = {"integer": "int64", "number": "float64"}
            found, wanted = formats.get(found, ""), name
        errors.type_invalid(Path(path), found, f'{path} in body must be of type {wanted}: "{found}"')

    # --- anyOf, allOf, oneOf, not

    def _logic(self, raw: Mapping[str, Any], value: Any, path: str, errors: FieldErrors) -> None:
        shown = go_text.quote(path)
        if raw.get("anyOf"):
            passed, best = self._try(raw["anyOf"], value, path)
            if not passed:
                _complain(errors, f"{shown} must validate at least one schema (anyOf)")
                errors.extend(best)
        if raw.get("oneOf"):
            passed, best = self._try(raw["oneOf"], value, path)
            if passed != 1:
                what = f"Found {passed} valid alternatives" if passed else "Found none valid"
                _complain(errors, f"{shown} must validate one and only one schema (oneOf). {what}")
                errors.extend(best if not passed else ())
        if raw.get("allOf"):
            results = [self.visit(parse(schema), value, path) for schema in raw["allOf"]]
            passed = sum(not result for result in results)
            for result in results:
                errors.extend(result)
            if passed != len(results):
                more = "" if passed else ". None validated"
                _complain(errors, f"{shown} must validate all the schemas (allOf){more}")
        if isinstance(raw.get("not"), Mapping) and not self.visit(parse(raw["not"]), value, path):
            _complain(errors, f"{shown} must not validate the schema (not)")

    def _try(self, schemas: list[Any], value: Any, path: str) -> tuple[int, list[Cause]]:
        """How many schemas pass, and the causes of the one that failed least."""
        results = [self.visit(parse(schema), value, path) for schema in schemas]
        failed = [result for result in results if result]
        return len(results) - len(failed), min(failed, key=len) if failed else []

    # --- containers

    def _list(self, place: Structural, value: list[Any], path: str, old: Any, errors: FieldErrors) -> None:
        raw = place.raw
        if place.items is not None:
            find = correlate(place, old)
            for index, item in enumerate(value):
                errors.extend(self.visit(place.items, item, f"{path}[{index}]", find(item)))
        if raw.get("minItems") is not None and len(value) < raw["minItems"]:
            errors.invalid(Path(path), len(value), f"{path} in body should have at least {raw['minItems']} items")
        if raw.get("maxItems") is not None and len(value) > raw["maxItems"]:
            errors.too_many(Path(path), len(value), raw["maxItems"])

    def _object(self, place: Structural, value: dict[str, Any], path: str, old: Any, errors: FieldErrors) -> None:
        raw = place.raw
        count = len(value)
        if raw.get("minProperties") is not None and count < raw["minProperties"]:
            least = raw["minProperties"]
            errors.invalid(Path(path), count, f"{path} in body should have at least {least} properties")
        if raw.get("maxProperties") is not None and count > raw["maxProperties"]:
            errors.too_many(Path(path), count, raw["maxProperties"])
        before = old if isinstance(old, dict) else {}
        for key in sorted(value):
            here = f"{path}.{key}" if path else key
            child = place.child(key)
            if child is not None:
                is_type_meta = not path and key in ("apiVersion", "kind")
                errors.extend(
                    self.visit(child, value[key], here, MISSING if is_type_meta else before.get(key, MISSING))
                )
            elif raw.get("additionalProperties") is False:
                errors.invalid(Path(path), "", f"{here} in body is a forbidden property")
        for key in raw.get("required") or ():
            if key not in value:
                errors.required(Path(f"{path}.{key}" if path else key))


def correlate(place: Structural, old: Any) -> Callable[[Any], Any]:
    """Finds the old element that a new one stands for: by key in a list-map, else there is none."""
    if place.list_type != "map" or not isinstance(old, list):
        return lambda _item: MISSING
    by_key: dict[tuple[str, ...], Any] = {}
    for item in old:
        if isinstance(item, dict):
            by_key.setdefault(map_key(place, item), item)

    def find(item: Any) -> Any:
        return by_key.get(map_key(place, item), MISSING) if isinstance(item, dict) else MISSING

    return find


def map_key(place: Structural, item: dict[str, Any]) -> tuple[str, ...]:
    """An element's keys in a form that tells 1 from "1" and from nothing."""
    return tuple(json.dumps(item[key], sort_keys=True) if key in item else "" for key in place.map_keys)


def _complain(errors: FieldErrors, text: str) -> None:
    """An error without a field of its own, as Kubernetes prints those of composed schemas."""
    errors.add("FieldValueInvalid", Path(), f'Invalid value: "": {text}')


def _check_string(place: Structural, value: str, path: str, errors: FieldErrors) -> None:
    raw, here = place.raw, Path(path)
    name = raw.get("format") or ""
    if raw.get("maxLength") is not None and len(value) > raw["maxLength"]:
        errors.too_long(here, raw["maxLength"])
    elif raw.get("minLength") is not None and len(value) < raw["minLength"]:
        errors.invalid(here, value, f"{path} in body should be at least {raw['minLength']} chars long")
    elif raw.get("pattern") and compile_pattern(raw["pattern"]).search(value) is None:
        errors.invalid(here, value, f"{path} in body should match '{raw['pattern']}'")
    if name and place.type in ("", "string") and not place.int_or_string and not has_format(value, name):
        errors.type_invalid(here, value, f"{path} in body must be of type {name}: {go_text.quote(value)}")


def _check_number(place: Structural, value: Any, path: str, errors: FieldErrors) -> None:
    raw, here = place.raw, Path(path)
    name = raw.get("format") or ""
    if place.type in ("integer", "number") and not in_range(value, place.type, name):
        form = f"with format {name}" if name else "(default format)"
        _complain(errors, f"Checked value must be of type {place.type} {form} in {path}")
    factor, low, high = raw.get("multipleOf"), raw.get("minimum"), raw.get("maximum")
    if factor is not None and not is_multiple(value, factor):
        errors.invalid(here, value, f"{path} in body should be a multiple of {go_text.plain(factor)}")
    if low is not None and (value < low or (raw.get("exclusiveMinimum") and value == low)):
        word = "greater than" if raw.get("exclusiveMinimum") else "greater than or equal to"
        errors.invalid(here, value, f"{path} in body should be {word} {go_text.plain(low)}")
    if high is not None and (value > high or (raw.get("exclusiveMaximum") and value == high)):
        word = "less than" if raw.get("exclusiveMaximum") else "less than or equal to"
        errors.invalid(here, value, f"{path} in body should be {word} {go_text.plain(high)}")


def _check_enum(place: Structural, value: Any, path: str, errors: FieldErrors) -> None:
    allowed = place.raw.get("enum")
    if allowed and not is_in_enum(value, allowed):
        texts = [v if isinstance(v, str) else json.dumps(v, separators=(",", ":")) for v in allowed]
        errors.not_supported(Path(path), value, texts)
