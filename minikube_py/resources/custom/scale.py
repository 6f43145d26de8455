"""Checks and reads the scale subresource of a custom kind.

Source: apiextensions-apiserver pkg/registry/customresource (validator.go, etcd.go).
"""

from typing import Any

from minikube_py.objects import go_text
from minikube_py.objects.errors import Object
from minikube_py.resources.custom.definition import ScalePaths
from minikube_py.resources.fields import FieldErrors, Path

_MAX = 2**31 - 1


def nested(obj: Any, keys: tuple[str, ...]) -> Any:
    """What stands at the keys, or None."""
    for key in keys:
        if not isinstance(obj, dict):
            return None
        obj = obj.get(key)
    return obj


def set_nested(obj: Object, keys: tuple[str, ...], value: Any) -> None:
    """Puts a value at the keys; objects on the way are made."""
    for key in keys[:-1]:
        held = obj.get(key)
        if not isinstance(held, dict):
            held = obj[key] = {}
        obj = held
    obj[keys[-1]] = value


def validate_spec_replicas(paths: ScalePaths, obj: Object, errors: FieldErrors) -> None:
    _validate_count(paths.spec_replicas, obj, errors)


def validate_status_replicas(paths: ScalePaths, obj: Object, errors: FieldErrors) -> None:
    _validate_count(paths.status_replicas, obj, errors)
    if paths.selector:
        found = nested(obj, paths.selector)
        if found is not None and not isinstance(found, str):
            here = "." + ".".join(paths.selector)
            shown = f"{go_text.plain(found)} is of the type {go_text.type_name(found)}, expected string"
            errors.invalid(Path(here), "", f"{here} accessor error: {shown}")


def _validate_count(keys: tuple[str, ...], obj: Object, errors: FieldErrors) -> None:
    here, found = "." + ".".join(keys), nested(obj, keys)
    if found is None:
        return
    if not isinstance(found, int) or isinstance(found, bool):
        shown = f"{go_text.plain(found)} is of the type {go_text.type_name(found)}, expected int64"
        errors.invalid(Path(here), 0, f"{here} accessor error: {shown}")
    elif found < 0:
        errors.invalid(Path(here), found, "should be a non-negative integer")
    elif found > _MAX:
        errors.invalid(Path(here), found, f"should be less than or equal to {_MAX}")
