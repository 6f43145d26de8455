"""Finds fields that stand twice in a JSON text, and tells of them and of unknown ones in the order of the text."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from minikube_py.objects.errors import BadRequest
from minikube_py.objects.json_pieces import IN_PIECES, load


class _Pairs(list[tuple[str, Any]]):
    """An object as its pairs, in the order of the text."""


def duplicate_fields(data: bytes) -> list[str]:
    """The paths of duplicate fields, such as `spec.replicas`.

    Text that comes out as long as it went in holds none: a duplicate would be gone. That spares almost every request
    from Go clients (whose text is dense) and from Python (whose json module spaces it) the slow pass.
    """
    text = data.strip()
    if IN_PIECES.get():
        return [where for where, is_again in _fields(text) if is_again]
    try:
        tree = orjson.loads(text)
        if len(orjson.dumps(tree)) == len(text) or len(json.dumps(tree)) == len(text):
            return []
    except (ValueError, RecursionError):
        raise BadRequest("the body is not valid JSON") from None
    return [where for where, is_again in _fields(text) if is_again]


def complaints(data: bytes, unknown: Sequence[str]) -> list[str]:
    """What Go's strict decoder says of duplicate and unknown fields. It does not look into unknown ones."""
    found: dict[str, None] = {}
    not_known = frozenset(unknown)
    for where, is_again in _fields(data, not_known):
        if where in not_known:
            found[unknown_field(where)] = None
        elif is_again:
            found[f'duplicate field "{where}"'] = None
    return list({**found, **dict.fromkeys(map(unknown_field, unknown))})


def unknown_field(where: str) -> str:
    return f'unknown field "{where}"'


def _fields(text: bytes, closed: frozenset[str] = frozenset()) -> Iterator[tuple[str, bool]]:
    """The path of every field in the order of the text, and whether it was in its object before.

    What is in a closed field is left out.
    """
    try:
        tree = load(text, _Pairs) if IN_PIECES.get() else json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        raise BadRequest("the body is not valid JSON") from None
    return _walk(tree, "", closed)


def _walk(node: Any, path: str, closed: frozenset[str]) -> Iterator[tuple[str, bool]]:
    if isinstance(node, _Pairs):
        seen: set[str] = set()
        for key, value in node:
            where = f"{path}.{key}" if path else key
            yield where, key in seen
            seen.add(key)
            if where not in closed:
                yield from _walk(value, where, closed)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _walk(value, f"{path}[{index}]", closed)
