"""Checks what value validations can't say: unique list-map keys and set elements, and embedded resources.

Source: apiextensions-apiserver pkg/apiserver/schema/{listtype,objectmeta}.
"""

import json
from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.custom.structural import Structural
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules, ResourceKind
from minikube_py.resources.metadata import validate_metadata

_EMBEDDED = {
    is_namespaced: ResourceKind(
        "", "", "", "", "", is_namespaced, (), rules=KindRules(name_check=meta.path_segment_name), custom=True
    )
    for is_namespaced in (True, False)
}


def validate_lists(value: Any, place: Structural, path: Path, errors: FieldErrors) -> None:
    """Sets hold each element once, list-maps each key once."""
    if isinstance(value, dict):
        for key, child in value.items():
            found = place.properties.get(key)
            if found is not None:
                validate_lists(child, found, path.child(key), errors)
            elif place.additional is not None:
                validate_lists(child, place.additional, path.key(key), errors)
    elif isinstance(value, list):
        if place.list_type == "set":
            for index in _repeated(value):
                errors.duplicate(path.index(index), value[index])
        elif place.list_type == "map":
            _validate_list_map(value, place, path, errors)
        if place.items is not None:
            for index, item in enumerate(value):
                validate_lists(item, place.items, path.index(index), errors)


def _validate_list_map(value: list[Any], place: Structural, path: Path, errors: FieldErrors) -> None:
    for index, item in enumerate(value):
        if item is not None and not isinstance(item, dict):
            errors.invalid(path.index(index), item, "must be an object for an array of list-type map")
            return
    keys = [{key: item[key] for key in place.map_keys if key in (item or {})} for item in value]
    for index in _repeated(keys):
        errors.duplicate(path.index(index), keys[index])


def _repeated(values: list[Any]) -> list[int]:
    """Where a value stands for the second time; the third says nothing new."""
    seen: dict[str, int] = {}
    found = []
    for index, value in enumerate(values):
        text = json.dumps(value, sort_keys=True)
        seen[text] = seen.get(text, 0) + 1
        if seen[text] == 2:
            found.append(index)
    return found


def validate_embedded(value: Any, place: Structural, path: Path, errors: FieldErrors) -> None:
    """Embedded resources have an apiVersion and a kind, and metadata that an object could have."""
    if isinstance(value, dict):
        if place.embedded:
            _validate_resource(value, path, errors)
        for key, child in value.items():
            found = place.properties.get(key)
            if found is not None:
                validate_embedded(child, found, path.child(key), errors)
            elif place.additional is not None:
                validate_embedded(child, place.additional, path.key(key), errors)
    elif isinstance(value, list) and place.items is not None:
        for index, item in enumerate(value):
            validate_embedded(item, place.items, path.index(index), errors)


def _validate_resource(value: Object, path: Path, errors: FieldErrors) -> None:
    for key in ("apiVersion", "kind"):
        here = path.child(key)
        if key not in value:
            errors.required(here)
        elif not isinstance(value[key], str):
            errors.invalid(here, value[key], "must be a string")
        elif not value[key]:
            errors.invalid(here, "", "must not be empty")
        elif key == "apiVersion" and value[key].count("/") > 1:
            errors.invalid(here, value[key], f"unexpected GroupVersion string: {value[key]}")
        elif key == "kind":
            wrong = meta.dns1035_label(value[key].lower())
            if wrong:
                why = "may have mixed case, but should otherwise match: " + ",".join(wrong)
                errors.invalid(here, value[key], why)
    held = value.get("metadata")
    if isinstance(held, dict):
        found = FieldErrors()
        shown = {"metadata": {**held, "name": held.get("name") or "fakename"}}
        validate_metadata(shown, _EMBEDDED[bool(held.get("namespace"))], found)
        for cause in found.causes:
            errors.add(cause.reason, Path(f"{path.text}.{cause.field}" if path.text else cause.field), cause.message)
