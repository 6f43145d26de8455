"""Resolves the field paths of rules and selectable fields, `.spec['a-b'].c`, against a structural schema.

Source: apiextensions-apiserver pkg/apiserver/schema/cel/validation.go (ValidFieldPath).
"""

import re

from minikube_py.resources.custom.structural import Structural
from minikube_py.resources.fields import Path

_TOKEN = re.compile(r"[.\[\]]|'(?:[^'\\]|\\.)*'|[^.\[\]]+")
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "'": "'", "\\": "\\"}


def resolve_field_path(text: str, place: Structural, *, allows_brackets: bool = True) -> tuple[Path, Structural | None]:
    """The normalized path and the schema it leads to. Raises ValueError with Kubernetes' texts."""
    tokens = _TOKEN.findall(text)
    path, found = Path(), place
    position = 0

    def take() -> str:
        nonlocal position
        if position >= len(tokens):
            raise ValueError("unexpected end of JSON path")
        position += 1
        return str(tokens[position - 1])

    while position < len(tokens):
        token = take()
        if token == "[":
            if not allows_brackets:
                raise ValueError("array notation is not allowed")
            name = _quoted(take())
            path, found = _step(path, found, name)
            if (close := take()) != "]":
                raise ValueError(f"expected ] but got {close}")
        elif token == ".":
            path, found = _step(path, found, take())
        else:
            raise ValueError(f"expected [ or . but got: {token}")
    return path, found


def _quoted(token: str) -> str:
    if len(token) < 2 or token[0] != "'" or token[-1] != "'":
        raise ValueError(f"expected single quoted string but got {token}")

    def unescape(found: re.Match[str]) -> str:
        if found[1] not in _ESCAPES:
            raise ValueError(f"invalid string literal: invalid escape char {found[0]}")
        return _ESCAPES[found[1]]

    return re.sub(r"\\(.)", unescape, token[1:-1])


def _step(path: Path, place: Structural, name: str) -> tuple[Path, Structural]:
    if place.properties:
        child = place.properties.get(name)
        if child is None:
            raise ValueError("does not refer to a valid field")
        return path.child(name), child
    if place.additional is None:
        raise ValueError("does not refer to a valid field")
    return path.key(name), place.additional
