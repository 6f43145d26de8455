"""Reads, writes and copies large JSON trees in many short steps, so that other threads get the interpreter in between.

A C function holds the interpreter for its whole run, which for megabytes is tens of milliseconds; Python code gives
it up as soon as another thread has asked for long enough. The short steps cost five to thirty times as much in all.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextvars import ContextVar
from heapq import merge
from itertools import islice
from json import decoder, scanner
from math import isinf
from sys import getrefcount
from typing import Any, TypeVar

import orjson

T = TypeVar("T")

IN_PIECES: ContextVar[bool] = ContextVar("in_pieces", default=False)
"""Whether what is done in this context is large, and in a thread of its own."""

_FEW = 256
_OURS = 2
"""References to an object that only one variable knows: that, and the one of getrefcount's argument."""
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")
_LONGEST_INTEGER = 20


_WINDOW_BYTES = 64 * 1024
Pairs = list[tuple[str, Any]]


class _Decoder(json.JSONDecoder):
    """The standard decoder, with its scanner in Python, as strict as orjson."""

    def __init__(self, data: bytes, make_object: Callable[[Pairs], Any]) -> None:
        may_hold_halves = b"\\" in data and (_holds(data, b"\\ud") or _holds(data, b"\\uD"))
        super().__init__(
            object_pairs_hook=_checked(make_object) if may_hold_halves else make_object,
            parse_int=_integer, parse_float=_finite, parse_constant=_refuse,
        )  # fmt: skip
        if may_hold_halves:
            self.parse_string = _whole_string
        # The C scanner reads a whole tree in one call.
        self.scan_once = scanner.py_make_scanner(self)  # type: ignore[attr-defined]


def _holds(data: bytes, text: bytes) -> bool:
    """`text in data`, window by window: looking for more than one byte is slow."""
    return any(
        data.find(text, start, start + _WINDOW_BYTES + len(text)) >= 0 for start in range(0, len(data), _WINDOW_BYTES)
    )


def make_object(pairs: Pairs) -> dict[str, Any]:
    """The object; long lists of pairs are used up, because freeing one at once takes as long as making the object."""
    if len(pairs) <= _FEW:
        return dict(pairs)
    found: dict[str, Any] = {}
    pairs.reverse()
    while pairs:
        found.update(reversed(pairs[-_FEW:]))
        del pairs[-_FEW:]
    return found


def load(data: bytes, make_object: Callable[[Pairs], Any] = make_object) -> Any:
    """The tree; `make_object` makes each object of its pairs. Raises ValueError, RecursionError."""
    return _Decoder(data, make_object).decode(data.decode())


def _checked(make_object: Callable[[Pairs], Any]) -> Callable[[Pairs], Any]:
    def make(pairs: Pairs) -> Any:
        for key, _ in pairs:
            _check_halves(key)
        return make_object(pairs)

    return make


def _integer(text: str) -> int | float:
    """Integers beyond 64 bits are floats, as orjson has them."""
    if len(text) <= _LONGEST_INTEGER:
        value = int(text)
        if -(2**63) <= value < 2**64:
            return value
    return _finite(text)


def _finite(text: str) -> float:
    value = float(text)
    if isinf(value):
        raise ValueError("number is out of range")
    return value


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _whole_string(text: str, end: int, strict: bool = True) -> tuple[str, int]:
    value, after = decoder.scanstring(text, end, strict)  # type: ignore[attr-defined]
    return _check_halves(value), after


def _check_halves(text: str) -> str:
    if _HALF_A_PAIR.search(text):
        raise ValueError("a lone surrogate is no character")
    return text


def dump(tree: Any) -> bytes:
    """The same bytes as orjson gives. Raises TypeError."""
    return b"".join(_pieces(tree))


def _pieces(node: Any) -> Iterator[bytes]:
    if isinstance(node, dict):
        yield from _object_pieces(node)
    elif isinstance(node, list):
        yield from _array_pieces(node)
    else:
        yield orjson.dumps(node)


def _object_pieces(node: dict[str, Any]) -> Iterator[bytes]:
    """Keys with plain values go out by the hundred."""
    plain: dict[str, Any] = {}
    before = b"{"
    for key, value in node.items():
        if value and isinstance(value, (dict, list)):
            if plain:
                yield before + orjson.dumps(plain)[1:-1]
                plain, before = {}, b","
            yield before + orjson.dumps(key) + b":"
            yield from _pieces(value)
            before = b","
        else:
            plain[key] = value
            if len(plain) == _FEW:
                yield before + orjson.dumps(plain)[1:-1]
                plain, before = {}, b","
    if plain:
        yield before + orjson.dumps(plain)[1:-1] + b"}"
    else:
        yield b"}" if node else b"{}"


def _array_pieces(node: list[Any]) -> Iterator[bytes]:
    plain: list[Any] = []
    before = b"["
    for value in node:
        if value and isinstance(value, (dict, list)):
            if plain:
                yield before + orjson.dumps(plain)[1:-1]
                plain, before = [], b","
            yield before
            yield from _pieces(value)
            before = b","
        else:
            plain.append(value)
            if len(plain) == _FEW:
                yield before + orjson.dumps(plain)[1:-1]
                plain, before = [], b","
    if plain:
        yield before + orjson.dumps(plain)[1:-1] + b"]"
    else:
        yield b"]" if node else b"[]"


def copy(tree: T) -> T:
    """A copy that shares no dict or list with the tree."""
    if isinstance(tree, dict):
        return {key: copy(value) for key, value in tree.items()}  # type: ignore[return-value]
    if isinstance(tree, list):
        return [copy(value) for value in tree]  # type: ignore[return-value]
    return tree


def is_equal(one: Any, other: Any) -> bool:
    """What `==` says of two trees."""
    if isinstance(one, dict) and isinstance(other, dict):
        return len(one) == len(other) and all(key in other and is_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_equal, one, other))
    return bool(one == other)


def free(trees: list[Any]) -> None:
    """Frees what is in the list bit by bit, and empties it. What others hold, too, stays as it is."""
    while trees:
        node = trees.pop()
        if getrefcount(node) > _OURS:
            continue
        if isinstance(node, dict):
            while node:
                _keep_trees([node.popitem()[1]], trees)
        elif isinstance(node, list):
            while node:
                few = node[-_FEW:]
                del node[-_FEW:]
                _keep_trees(few, trees)


def _keep_trees(values: list[Any], trees: list[Any]) -> None:
    trees.extend([value for value in values if isinstance(value, (dict, list))])


def in_order(names: Collection[str]) -> Iterable[str]:
    """`sorted(names)`."""
    if len(names) <= _FEW or not IN_PIECES.get():
        return sorted(names)
    left = iter(names)
    return merge(*iter(lambda: sorted(islice(left, _FEW)), []))


def used_up(groups: dict[str, T]) -> Iterator[tuple[str, T]]:
    """The items of a dict, each of which is gone from it when the next one comes."""
    for key in tuple(groups):
        yield key, groups.pop(key)


# --- whichever way suits the context ---------------------------------------------------------------------------------


def loads(data: bytes) -> Any:
    """Raises ValueError, RecursionError."""
    return load(data) if IN_PIECES.get() else orjson.loads(data)


def dumps(tree: Any) -> bytes:
    """Raises TypeError."""
    return dump(tree) if IN_PIECES.get() else orjson.dumps(tree)


def same(one: Any, other: Any) -> bool:
    return is_equal(one, other) if IN_PIECES.get() else bool(one == other)
