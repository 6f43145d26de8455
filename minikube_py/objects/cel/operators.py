"""The operators of CEL over runtime values: arithmetic with Go's limits, comparisons, indexing by name."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from minikube_py.objects.cel.overloads import Overload, check_length, overload
from minikube_py.objects.cel.values import (
    INT_MAX,
    INT_MIN,
    LONGEST_DURATION,
    UINT_MAX,
    EvaluationError,
    UInt,
    compare,
    equals,
    is_in,
)


@dataclass(frozen=True)
class Operator:
    """size: how many elements the operation goes through, of the sizes of both sides."""

    call: Callable[..., Any]
    size: Callable[[int, int], int] = min


LONG = frozenset((str, bytes, list))
"""Types whose operations go through all they hold."""


def _no_overload() -> EvaluationError:
    return EvaluationError("no such overload")


def _bounded(kind: type, number: int) -> Any:
    if kind is UInt:
        if not 0 <= number <= UINT_MAX:
            raise EvaluationError("unsigned integer overflow")
        return UInt(number)
    if not INT_MIN <= number <= INT_MAX:
        raise EvaluationError("integer overflow")
    return number


def add(left: Any, right: Any) -> Any:
    one, other = type(left), type(right)
    if one is other:
        if one is int or one is UInt:
            return _bounded(one, int(left) + int(right))
        if one in LONG:
            check_length(len(left) + len(right))
            return left + right
        if one is float:
            return left + right
        if one is timedelta:
            return _duration(left + right)
    elif {one, other} == {datetime, timedelta}:
        return _moment(lambda: left + right)
    raise _no_overload()


def subtract(left: Any, right: Any) -> Any:
    one, other = type(left), type(right)
    if one is other:
        if one is int or one is UInt:
            return _bounded(one, int(left) - int(right))
        if one is float:
            return left - right
        if one in (timedelta, datetime):
            return _duration(left - right)
    elif one is datetime and other is timedelta:
        return _moment(lambda: left - right)
    raise _no_overload()


def _moment(compute: Callable[[], Any]) -> Any:
    try:
        return compute()
    except OverflowError:
        raise EvaluationError("timestamp overflow") from None


def _duration(length: timedelta) -> timedelta:
    if abs(length) > LONGEST_DURATION:
        raise EvaluationError("duration overflow")
    return length


def multiply(left: Any, right: Any) -> Any:
    kind = type(left)
    if kind is type(right):
        if kind is int or kind is UInt:
            return _bounded(kind, int(left) * int(right))
        if kind is float:
            return left * right
    raise _no_overload()


def divide(left: Any, right: Any) -> Any:
    kind = type(left)
    if kind is type(right):
        if kind is int or kind is UInt:
            if right == 0:
                raise EvaluationError("division by zero")
            quotient = abs(left) // abs(right)
            return _bounded(kind, -quotient if (left < 0) != (right < 0) else quotient)
        if kind is float:
            return left / right if right else _by_zero(left, right)
    raise _no_overload()


def _by_zero(left: float, right: float) -> float:
    if left == 0 or left != left:
        return float("nan")
    is_negative = (left < 0) != (str(right)[0] == "-")
    return float("-inf") if is_negative else float("inf")


def remainder(left: Any, right: Any) -> Any:
    kind = type(left)
    if kind is not type(right) or kind not in (int, UInt):
        raise _no_overload()
    if right == 0:
        raise EvaluationError("modulus by zero")
    rest = abs(left) % abs(right)
    return _bounded(kind, -rest if left < 0 else rest)


def negate(value: Any) -> Any:
    if type(value) is int:
        return _bounded(int, -value)
    if type(value) is float:
        return -value
    raise _no_overload()


def invert(value: Any) -> bool:
    if value is True or value is False:
        return not value
    raise _no_overload()


def differs(left: Any, right: Any) -> bool:
    return not equals(left, right)


def insert(held: Any, *entry: Any) -> dict[Any, Any]:
    """What transformMap and transformMapEntry add with each element; the map is the macro's own."""
    pairs = [entry] if len(entry) == 2 else list(entry[0].items())
    for key, value in pairs:
        if key in held:
            raise EvaluationError(f"insert failed: key {key} already exists")
        held[key] = value
    return held  # type: ignore[no-any-return]


def _sum(left: int, right: int) -> int:
    return left + right


OPERATORS: dict[str, Operator] = {
    "_==_": Operator(equals),
    "_!=_": Operator(differs),
    "_<_": Operator(lambda a, b: compare(a, b) == -1),
    "_<=_": Operator(lambda a, b: compare(a, b) in (-1, 0)),
    "_>_": Operator(lambda a, b: compare(a, b) == 1),
    "_>=_": Operator(lambda a, b: compare(a, b) in (0, 1)),
    "@in": Operator(is_in),
    "_+_": Operator(add, _sum),
    "_-_": Operator(subtract),
    "_*_": Operator(multiply),
    "_/_": Operator(divide),
    "_%_": Operator(remainder),
    "-_": Operator(negate),
    "!_": Operator(invert),
}

_ORDERED = ("bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration")
_NUMBERS = ("int", "uint", "double")


def _declared() -> list[Overload]:
    found = []

    def declare(text: str, name: str) -> None:
        found.append(overload(f"{name}({text}", OPERATORS[name].call))

    for name in ("_==_", "_!=_"):
        declare("A, A) -> bool", name)
    for name in ("_<_", "_<=_", "_>_", "_>=_"):
        for kind in _ORDERED:
            declare(f"{kind}, {kind}) -> bool", name)
        for kind in _NUMBERS:
            for other in _NUMBERS:
                if kind != other:
                    declare(f"{kind}, {other}) -> bool", name)
    declare("A, list(A)) -> bool", "@in")
    declare("A, map(A, B)) -> bool", "@in")
    for name in ("_+_", "_-_", "_*_", "_/_"):
        for kind in _NUMBERS:
            declare(f"{kind}, {kind}) -> {kind}", name)
    for kind in ("string", "bytes", "list(A)", "duration"):
        declare(f"{kind}, {kind}) -> {kind}", "_+_")
    declare("timestamp, duration) -> timestamp", "_+_")
    declare("duration, timestamp) -> timestamp", "_+_")
    declare("duration, duration) -> duration", "_-_")
    declare("timestamp, timestamp) -> duration", "_-_")
    declare("timestamp, duration) -> timestamp", "_-_")
    for kind in ("int", "uint"):
        declare(f"{kind}, {kind}) -> {kind}", "_%_")
    for kind in ("int", "double"):
        declare(f"{kind}) -> {kind}", "-_")
    declare("bool) -> bool", "!_")
    return found


DECLARED: tuple[Overload, ...] = (
    *_declared(),
    overload("_&&_(bool, bool) -> bool", lambda a, b: a and b),
    overload("_||_(bool, bool) -> bool", lambda a, b: a or b),
    overload("_?_:_(bool, A, A) -> A", lambda a, b, c: b if a else c),
    overload("@not_strictly_false(bool) -> bool", lambda a: a),
    overload("_[_](list(A), int) -> A", lambda held, key: held[key]),
    overload("_[_](map(A, B), A) -> B", lambda held, key: held[key]),
    overload("_[_](optional_type(list(A)), int) -> optional_type(A)", lambda held, key: held[key]),
    overload("_[_](optional_type(map(A, B)), A) -> optional_type(B)", lambda held, key: held[key]),
    overload("_[?_](list(A), int) -> optional_type(A)", lambda held, key: held[key]),
    overload("_[?_](map(A, B), A) -> optional_type(B)", lambda held, key: held[key]),
    overload("_[?_](optional_type(list(A)), int) -> optional_type(A)", lambda held, key: held[key]),
    overload("_[?_](optional_type(map(A, B)), A) -> optional_type(B)", lambda held, key: held[key]),
    overload("cel.@mapInsert(map(A, B), A, B) -> map(A, B)", insert),
    overload("cel.@mapInsert(map(A, B), map(A, B)) -> map(A, B)", insert),
)
"""The operators as the checker sees them."""
