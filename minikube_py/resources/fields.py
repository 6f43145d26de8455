"""Collects field errors with Kubernetes' paths, reasons and wording, for every kind's validation.

Source: apimachinery pkg/util/validation/field (error types and message forms).
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from minikube_py.objects.errors import Cause


class Path:
    """A field path such as `spec.containers[0].name` or `metadata.labels[app]`. Immutable."""

    __slots__ = ("text",)

    def __init__(self, text: str = "") -> None:
        self.text = text

    def child(self, *names: str) -> "Path":
        text = self.text
        for name in names:
            text = f"{text}.{name}" if text else name
        return Path(text)

    def index(self, index: int) -> "Path":
        return Path(f"{self.text}[{index}]")

    def key(self, key: str) -> "Path":
        return Path(f"{self.text}[{key}]")

    def __str__(self) -> str:
        return self.text or "<nil>"


def show(value: Any) -> str:
    """A value as Go's field errors print it: strings quoted, scalars bare, trees as JSON, nothing as null."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, (int, float)):
        return str(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class FieldErrors:
    """The causes found so far. Truthy when there are any."""

    def __init__(self) -> None:
        self.causes: list[Cause] = []

    def __bool__(self) -> bool:
        return bool(self.causes)

    def add(self, reason: str, path: Path, message: str) -> None:
        self.causes.append(Cause(reason, message, str(path)))

    def required(self, path: Path, why: str = "") -> None:
        self.add("FieldValueRequired", path, f"Required value: {why}" if why else "Required value")

    def invalid(self, path: Path, value: Any, why: str) -> None:
        self.add(
            "FieldValueInvalid",
            path,
            f"Invalid value: {show(value)}: {why}" if why else f"Invalid value: {show(value)}",
        )

    def not_supported(self, path: Path, value: Any, supported: Sequence[str]) -> None:
        values = ", ".join(show(v) for v in supported)
        self.add("FieldValueNotSupported", path, f"Unsupported value: {show(value)}: supported values: {values}")

    def duplicate(self, path: Path, value: Any) -> None:
        self.add("FieldValueDuplicate", path, f"Duplicate value: {show(value)}")

    def forbidden(self, path: Path, why: str) -> None:
        self.add("FieldValueForbidden", path, f"Forbidden: {why}" if why else "Forbidden")

    def too_long(self, path: Path, limit: int) -> None:
        unit = "byte" if limit == 1 else "bytes"
        self.add("FieldValueTooLong", path, f"Too long: may not be more than {limit} {unit}")

    def too_many(self, path: Path, actual: int, limit: int) -> None:
        unit = "item" if limit == 1 else "items"
        self.add("FieldValueTooMany", path, f"Too many: {actual}: must have at most {limit} {unit}")

    def type_invalid(self, path: Path, value: Any, why: str) -> None:
        self.add("FieldValueTypeInvalid", path, f"Invalid value: {show(value)}: {why}")

    def not_found(self, path: Path, value: Any) -> None:
        self.add("FieldValueNotFound", path, f"Not found: {show(value)}")

    def extend(self, other: Iterable[Cause]) -> None:
        self.causes.extend(other)

    def invalid_each(self, path: Path, value: Any, messages: Iterable[str]) -> None:
        """One invalid value a message."""
        for message in messages:
            self.invalid(path, value, message)

    def immutable(self, path: Path, new: Any, old: Any) -> None:
        """The value may not change; absent and empty are the same."""
        if not is_same(new, old):
            self.invalid(path, new, "field is immutable")

    def enum(self, path: Path, value: Any, supported: Sequence[str], why: str = "") -> None:
        """The value is required and one of `supported`, which are listed as they stand."""
        if not value:
            self.required(path, why)
        elif value not in supported:
            self.not_supported(path, value, supported)

    def optional_enum(self, path: Path, value: Any, supported: Sequence[str]) -> None:
        """The value may be absent, else it is one of `supported`."""
        if value is not None and value not in supported:
            self.not_supported(path, value, supported)

    def not_negative(self, path: Path, value: Any) -> None:
        if value is not None and value < 0:
            self.invalid(path, value, "must be greater than or equal to 0")


def is_same(left: Any, right: Any) -> bool:
    """Equality as Go sees it through `omitempty`: absent, null and empty are one."""
    if isinstance(left, dict) and isinstance(right, dict):
        if left == right:
            return True
        return all(is_same(left.get(key), right.get(key)) for key in left.keys() | right.keys())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(is_same(a, b) for a, b in zip(left, right, strict=True))
    if not left or not right:
        return is_empty(left) and is_empty(right)
    return bool(left == right)


def is_empty(value: Any) -> bool:
    """Whether Go would leave the value out, also where it is a tree of empty values."""
    if isinstance(value, dict):
        return all(is_empty(child) for child in value.values())
    return not value
