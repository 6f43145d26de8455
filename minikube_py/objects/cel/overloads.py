"""Declares functions for the checker and the evaluator at once: a signature text, the Python function, its cost.

A signature reads `string.substring(int, int) -> string`, `size(list(A)) -> int` or `sets.contains(list(A), list(A)) ->
bool`; what stands before the dot is a receiver when it is a type, else part of the function's name.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from math import ceil
from typing import Any, TypeAlias

from minikube_py.objects.cel.values import CelType, EvaluationError, LazyMap, Opaque, Optional, UInt, size_of

Cost: TypeAlias = Callable[[Sequence[Any], Any], int]
"""(arguments, result) -> cost, with the receiver as the first argument."""

_TOKEN = re.compile(r"[\w.]+|->|[(),]")
_PLAIN = frozenset((
    "bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "optional_type", "string", "timestamp",
    "duration", "type", "uint",
))  # fmt: skip
_PARAMETER = re.compile(r"[A-Z]")
_RUNTIME: dict[str, tuple[type, ...]] = {
    "bool": (bool,), "bytes": (bytes,), "double": (float,), "int": (int,), "list": (list,), "map": (dict, LazyMap),
    "null_type": (type(None),), "optional_type": (Optional,), "string": (str,), "timestamp": (datetime,),
    "duration": (timedelta,), "type": (CelType,), "uint": (UInt,),
}  # fmt: skip


def is_parameter(kind: CelType) -> bool:
    """Whether a type stands for any type: A, B."""
    return len(kind.name) == 1 and _PARAMETER.match(kind.name) is not None


@cache
def parse_type(text: str) -> CelType:
    tokens = _TOKEN.findall(text)
    kind, rest = _read_type(tokens)
    assert not rest, text
    return kind


def _read_type(tokens: list[str]) -> tuple[CelType, list[str]]:
    name, rest = tokens[0], tokens[1:]
    params: list[CelType] = []
    if rest[:1] == ["("]:
        while rest[0] != ")":
            param, rest = _read_type(rest[1:])
            params.append(param)
        rest = rest[1:]
    return CelType(name, tuple(params)), rest


@dataclass(frozen=True)
class Overload:
    """One signature of a function."""

    function: str
    parameters: tuple[CelType, ...]
    result: CelType
    is_member: bool
    call: Callable[..., Any] = field(repr=False)
    cost: Cost | None = field(default=None, repr=False)

    def accepts(self, kinds: Sequence[type]) -> bool:
        """Whether values of these Python types fit."""
        return len(kinds) == len(self.parameters) and all(map(_fits, kinds, self.parameters))


def _fits(kind: type, parameter: CelType) -> bool:
    if parameter.name == "dyn" or is_parameter(parameter):
        return True
    known = _RUNTIME.get(parameter.name)
    if known is not None:
        return kind in known or (parameter.name == "map" and issubclass(kind, LazyMap))
    return issubclass(kind, Opaque) and kind.cel_type == parameter.name


def overload(signature: str, call: Callable[..., Any], cost: Cost | None = None, *, opaque: str = "") -> Overload:
    """`opaque` names, with blanks between, the receivers that are types of a library."""
    head, _, result = signature.rpartition(" -> ")
    name, _, arguments = head.partition("(")
    # A receiver may have parameters itself: `list(A).join(string)`.
    match = re.match(r"((?:list|map|optional_type|type)\([^.]*\))\.(\w+)\(", head)
    receiver = ""
    if match:
        receiver, name = match.groups()
        arguments = head[match.end() :]
    elif "." in name:
        before, _, last = name.rpartition(".")
        if before in _PLAIN or before in opaque.split():
            receiver, name = before, last
    inner = arguments[:-1]
    listed = parse_type(f"x({inner})").params if inner else ()
    parameters = (parse_type(receiver), *listed) if receiver else listed
    return Overload(name, parameters, parse_type(result), bool(receiver), call, cost)


class Function:
    """All overloads of one name. Which one takes which Python types is found once and remembered."""

    def __init__(self, name: str, overloads: Iterable[Overload]) -> None:
        self.name = name
        self.overloads = tuple(overloads)
        self._found: dict[tuple[bool, tuple[type, ...]], Overload | None] = {}

    def find(self, is_member: bool, kinds: tuple[type, ...]) -> Overload:
        """Raises EvaluationError for types that no overload takes."""
        place = (is_member, kinds)
        if place not in self._found:
            fitting = (o for o in self.overloads if o.is_member == is_member and o.accepts(kinds))
            self._found[place] = next(fitting, None)
        chosen = self._found[place]
        if chosen is None:
            raise EvaluationError("no such overload")
        return chosen


def functions_of(overloads: Iterable[Overload]) -> dict[str, Function]:
    grouped: dict[str, list[Overload]] = {}
    for one in overloads:
        grouped.setdefault(one.function, []).append(one)
    return {name: Function(name, group) for name, group in grouped.items()}


# --- costs: Kubernetes' factors ---------------------------------------------------------------------------------------

TRAVERSAL = 0.1
PATTERN = 0.25


def traversal(args: Sequence[Any], _result: Any) -> int:
    """Going once through the first argument."""
    return max(1, ceil(size_of(args[0]) * TRAVERSAL))


def two_traversals(args: Sequence[Any], _result: Any) -> int:
    return max(1, ceil(size_of(args[0]) * 2 * TRAVERSAL))


def elements(args: Sequence[Any], _result: Any) -> int:
    """One for each element of a list, or going through a string."""
    first = args[0]
    if isinstance(first, list):
        return max(1, sum(1 + ceil(len(v) * TRAVERSAL) if isinstance(v, (str, bytes)) else 1 for v in first))
    return traversal(args, _result)


def matching(args: Sequence[Any], _result: Any) -> int:
    """A pattern, the second argument, over a text."""
    return max(1, ceil((1 + size_of(args[0])) * TRAVERSAL)) * max(1, ceil(size_of(args[1]) * PATTERN))


def product(args: Sequence[Any], _result: Any) -> int:
    """Comparing everything with everything."""
    return max(1, size_of(args[0])) * max(1, size_of(args[1]))


LARGEST_RESULT = 4 * 1024 * 1024
"""The longest text a function makes; cost alone would be counted too late."""


def check_length(length: int) -> None:
    if length > LARGEST_RESULT:
        raise EvaluationError("the result is too long")
