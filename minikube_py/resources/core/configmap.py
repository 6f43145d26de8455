"""ConfigMaps: keys, size, and immutability on request."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path, is_same
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, age, number

SIZE_LIMIT = 1024 * 1024


def validate(config: Object, errors: FieldErrors) -> None:
    data, binary = config.get("data") or {}, config.get("binaryData") or {}
    total = 0
    for key, value in data.items():
        errors.invalid_each(Path("data").key(key), key, meta.config_map_key(key))
        if key in binary:
            errors.invalid(Path("data").key(key), key, "duplicate of key present in binaryData")
        total += len(value.encode())
    for key, value in binary.items():
        errors.invalid_each(Path("binaryData").key(key), key, meta.config_map_key(key))
        total += decoded_size(value)
    if total > SIZE_LIMIT:
        errors.too_long(Path("[]"), SIZE_LIMIT)


def decoded_size(value: str) -> int:
    """The length in bytes of what a base64 text stands for."""
    return len(value) // 4 * 3 - value.count("=", -2)


def validate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    if old.get("immutable"):
        validate_frozen(new, old, ("data", "binaryData"), errors)
    validate(new, errors)


def validate_frozen(new: Object, old: Object, keys: tuple[str, ...], errors: FieldErrors) -> None:
    """The rules of an object with `immutable: true`, which also can't be made mutable again."""
    why = "field is immutable when `immutable` is set"
    if not new.get("immutable"):
        errors.forbidden(Path("immutable"), why)
    for key in keys:
        if not is_same(new.get(key), old.get(key)) or (new.get(key) or {}) != (old.get(key) or {}):
            errors.forbidden(Path(key), why)


def row(config: Object) -> list[Any]:
    count = len(config.get("data") or ()) + len(config.get("binaryData") or ())
    return [meta.name(config), count, age(config)]


RULES = KindRules(
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, number("Data", "The number of keys."), AGE),
    row=row,
)
