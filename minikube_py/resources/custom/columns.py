"""Makes the server-side table of a custom kind from additionalPrinterColumns."""

from collections.abc import Callable
from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.custom.json_path import Step, find, parse, show
from minikube_py.resources.kind import Column
from minikube_py.resources.printing import NAME, since

_AGE: Object = {
    "name": "Age",
    "type": "date",
    "jsonPath": ".metadata.creationTimestamp",
    "description": "CreationTimestamp is a timestamp representing the server time when this object was created. It is "
    "not guaranteed to be set in happens-before order across separate operations.",
}
Row = Callable[[Any], list[Any]]


def columns_of(version: Any) -> tuple[tuple[Column, ...], Row]:
    """The columns of a version, the name first, and the function that fills a row."""
    declared = version.get("additionalPrinterColumns") or [_AGE]
    columns = [NAME]
    readers: list[tuple[str, list[Step]]] = []
    for entry in declared:
        path = entry.get("jsonPath", "")
        description = entry.get("description") or f"Custom resource definition column (in JSONPath format): {path}"
        columns.append(
            Column(
                entry.get("name", ""),
                entry.get("type", ""),
                entry.get("format") or "",
                description,
                entry.get("priority") or 0,
            )
        )
        readers.append((entry.get("type", ""), _steps(path)))

    def row(obj: Any) -> list[Any]:
        return [meta.name(obj), *(_cell(type_name, find(steps, obj)) for type_name, steps in readers)]

    return tuple(columns), row


def _steps(path: str) -> list[Step]:
    try:
        return parse(path)
    except ValueError:
        return [lambda _value: []]


def _cell(type_name: str, found: list[Any]) -> Any:
    value = found[0] if found else None
    if value is None:
        return None
    if type_name == "string":
        return show(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if type_name == "integer":
        return int(value) if is_number else None
    if type_name == "number":
        return value if is_number else None
    if type_name == "boolean":
        return value if isinstance(value, bool) else None
    return _age(value) if type_name == "date" and isinstance(value, str) else None


def _age(text: str) -> str:
    try:
        return since(text)
    except ValueError:
        return "<invalid>"
