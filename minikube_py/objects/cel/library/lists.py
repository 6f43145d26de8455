"""Kubernetes' list functions, CEL's sets, and optional values.

Source: apiserver pkg/cel/library/lists.go, cel-go ext/sets.go, cel-go cel/library.go (optional types).
"""

from collections.abc import Callable
from datetime import timedelta
from functools import reduce
from itertools import pairwise
from typing import Any

from minikube_py.objects.cel.overloads import Overload, elements, overload, product
from minikube_py.objects.cel.values import NONE, EvaluationError, Optional, compare, equals, is_in

_ORDERED = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")


def is_sorted(values: list[Any]) -> bool:
    return all(compare(a, b) <= 0 for a, b in pairwise(values))


def _best(values: list[Any], sign: int, name: str) -> Any:
    if not values:
        raise EvaluationError(f"{name} called on empty list")
    return reduce(lambda a, b: b if compare(b, a) == sign else a, values)


def _sum(zero: Any) -> Callable[[list[Any]], Any]:
    def total(values: list[Any]) -> Any:
        found = zero
        for value in values:
            if type(value) is not type(zero):
                raise EvaluationError("no such overload")
            found = type(zero)(found + value) if not isinstance(zero, timedelta) else found + value
        return found

    return total


def _dynamic_sum(values: list[Any]) -> Any:
    """What the elements are is known only now; an empty list sums up to 0."""
    if not values:
        return 0
    kind = type(values[0])
    if kind is bool or not isinstance(values[0], (int, float, timedelta)):
        raise EvaluationError("no such overload")
    return _sum(kind())(values)


def _index_of(values: list[Any], wanted: Any) -> int:
    return next((i for i, value in enumerate(values) if equals(value, wanted)), -1)


def _last_index_of(values: list[Any], wanted: Any) -> int:
    return next((i for i in range(len(values) - 1, -1, -1) if equals(values[i], wanted)), -1)


# --- sets ------------------------------------------------------------------------------------------------------------


def contains(held: list[Any], wanted: list[Any]) -> bool:
    return all(is_in(value, held) for value in wanted)


def equivalent(one: list[Any], other: list[Any]) -> bool:
    return contains(one, other) and contains(other, one)


def intersects(one: list[Any], other: list[Any]) -> bool:
    return any(is_in(value, other) for value in one)


# --- optional --------------------------------------------------------------------------------------------------------


def _is_zero(value: Any) -> bool:
    return value is None or value in (0, "", b"", False) or (isinstance(value, (list, dict)) and not value)


def _value(optional: Optional) -> Any:
    if not optional.has_value:
        raise EvaluationError("optional.none() dereference")
    return optional.value


def _or(optional: Optional, other: Optional) -> Optional:
    return optional if optional.has_value else other


OVERLOADS: tuple[Overload, ...] = (
    *(overload(f"list({kind}).isSorted() -> bool", is_sorted, elements) for kind in _ORDERED),
    *(overload(f"list({kind}).min() -> {kind}", lambda v: _best(v, -1, "min"), elements) for kind in _ORDERED),
    *(overload(f"list({kind}).max() -> {kind}", lambda v: _best(v, 1, "max"), elements) for kind in _ORDERED),
    *(overload(f"list({k}).sum() -> {k}", _dynamic_sum, elements) for k in ("int", "uint", "double", "duration")),
    overload("list(A).indexOf(A) -> int", _index_of, elements),
    overload("list(A).lastIndexOf(A) -> int", _last_index_of, elements),
    overload("sets.contains(list(A), list(A)) -> bool", contains, product),
    overload("sets.equivalent(list(A), list(A)) -> bool", equivalent, product),
    overload("sets.intersects(list(A), list(A)) -> bool", intersects, product),
    overload("optional.of(A) -> optional_type(A)", Optional.of),
    overload("optional.ofNonZeroValue(A) -> optional_type(A)", lambda v: NONE if _is_zero(v) else Optional.of(v)),
    overload("optional.none() -> optional_type(A)", lambda: NONE),
    overload("optional_type(A).hasValue() -> bool", lambda optional: optional.has_value),
    overload("optional_type(A).value() -> A", _value),
    overload("optional_type(A).or(optional_type(A)) -> optional_type(A)", _or),
    overload("optional_type(A).orValue(A) -> A", lambda held, other: held.value if held.has_value else other),
)
