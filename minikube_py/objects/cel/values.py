"""The values of CEL expressions: what plain Python types can't say, equality and order across types, and the errors.

null, bool, int, double, string, bytes, list, map, timestamp and duration are None, bool, int, float, str, bytes, list,
dict, datetime and timedelta, so an API object is a value as it stands. Source: the CEL language definition.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

INT_MIN, INT_MAX, UINT_MAX = -(2**63), 2**63 - 1, 2**64 - 1
LONGEST_DURATION = timedelta(microseconds=INT_MAX // 1000)
"""As many nanoseconds as Go counts."""


class CelError(Exception):
    """An expression that can't be compiled, or that failed."""


class EvaluationError(CelError):
    """An error while evaluating: `false && <error>` is still false, so logical operators may absorb it."""


class CostExceeded(CelError):
    """The expression did more than it may; nothing absorbs this."""

    def __init__(self) -> None:
        super().__init__("operation cancelled: actual cost limit exceeded")


class UInt(int):
    """An unsigned integer."""

    __slots__ = ()


class CelType:
    """A type as a value, and what the checker works with. `params` are those of list, map, optional_type and type."""

    __slots__ = ("_hash", "name", "params")

    def __init__(self, name: str, params: tuple["CelType", ...] = ()) -> None:
        self.name = name
        self.params = params
        self._hash = hash((name, params))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CelType) and self.name == other.name and self.params == other.params

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.params))})" if self.params else self.name

    __repr__ = __str__


DYN = CelType("dyn")


def list_of(kind: CelType) -> CelType:
    return CelType("list", (kind,))


def optional_of(kind: CelType) -> CelType:
    return CelType("optional_type", (kind,))


class StructTypes(Protocol):
    """The message types an environment knows beside CEL's own."""

    def is_known(self, name: str) -> bool: ...

    def field(self, name: str, field: str) -> CelType | None:
        """None for a field that the type does not have."""
        ...


class NoStructs:
    def is_known(self, name: str) -> bool:
        return False

    def field(self, name: str, field: str) -> CelType | None:
        return None


class Frame:
    """One evaluation: its variables, what it has cost, and what it may cost."""

    __slots__ = ("cost", "limit", "variables")

    def __init__(self, variables: dict[str, Any], limit: int) -> None:
        self.variables = variables
        self.limit = limit
        self.cost = 0

    def charge(self, cost: int) -> None:
        self.cost += cost
        if self.cost > self.limit:
            raise CostExceeded


class Optional:
    """optional_type: a value or none."""

    __slots__ = ("has_value", "value")

    def __init__(self, has_value: bool = False, value: Any = None) -> None:
        self.has_value = has_value
        self.value = value

    @staticmethod
    def of(value: Any) -> "Optional":
        return Optional(True, value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Optional):
            return False
        return self.has_value == other.has_value and equals(self.value, other.value)

    __hash__ = None  # type: ignore[assignment]


NONE = Optional()


class Struct:
    """A value of a message type: `Object.spec{...}`, JSONPatch{...}. fields holds what was set."""

    __slots__ = ("fields", "type_name")

    def __init__(self, type_name: str, fields: dict[str, Any]) -> None:
        self.type_name = type_name
        self.fields = fields

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Struct) and self.type_name == other.type_name and equals(self.fields, other.fields)

    __hash__ = None  # type: ignore[assignment]


class Opaque:
    """What library types such as quantity and IP derive from; `cel_type` is the name expressions know them by."""

    cel_type = ""


class LazyMap(ABC):
    """A map whose values are computed when they are first asked for: `variables`."""

    @abstractmethod
    def select(self, key: str) -> Any:
        """Raises CelError."""

    @abstractmethod
    def names(self) -> frozenset[str]:
        """The keys."""


_TYPE_NAMES: dict[type, str] = {
    type(None): "null_type", bool: "bool", int: "int", UInt: "uint", float: "double", str: "string", bytes: "bytes",
    list: "list", dict: "map", datetime: "google.protobuf.Timestamp", timedelta: "google.protobuf.Duration",
    CelType: "type", Optional: "optional_type", LazyMap: "map",
}  # fmt: skip


def type_of(value: Any) -> CelType:
    if isinstance(value, Struct):
        return CelType(value.type_name)
    if isinstance(value, Opaque):
        return CelType(value.cel_type)
    return CelType(_TYPE_NAMES.get(type(value), "map"))


_NUMBERS = (int, UInt, float)
_ORDERED = frozenset((str, bytes, bool, datetime, timedelta))


def equals(left: Any, right: Any) -> bool:
    """CEL equality: numbers compare across their types, everything else only within its own."""
    one, other = type(left), type(right)
    if one is other:
        if one is list:
            return len(left) == len(right) and all(map(equals, left, right))
        if one is dict:
            return left.keys() == right.keys() and all(equals(value, right[key]) for key, value in left.items())
        return bool(left == right)
    if one in _NUMBERS and other in _NUMBERS:
        left, right = _comparable(left, right)
        return bool(left == right)
    return False


def _comparable(left: Any, right: Any) -> tuple[Any, Any]:
    """Two numbers as CEL compares them: a double with an integer as doubles, whatever that loses."""
    if type(left) is float or type(right) is float:
        return float(left), float(right)
    return left, right


def compare(left: Any, right: Any) -> int:
    """-1, 0 or 1. Raises EvaluationError for values without an order. NaN is neither, and gives 2."""
    one, other = type(left), type(right)
    if not ((one is other and one in _ORDERED) or (one in _NUMBERS and other in _NUMBERS)):
        raise EvaluationError("no such overload")
    if one is not other:
        left, right = _comparable(left, right)
    if left < right:
        return -1
    if left > right:
        return 1
    return 0 if left == right else 2


def is_in(value: Any, held: Any) -> bool:
    if isinstance(held, dict):
        return type(value) in (str, int, UInt, bool) and value in held
    if isinstance(held, list):
        if type(value) is str:
            return value in held
        return any(equals(value, item) for item in held)
    raise EvaluationError("no such overload")


def size_of(value: Any) -> int:
    """How long a value is, for costs; 1 for what has no length."""
    if isinstance(value, (str, bytes, list, dict)):
        return len(value)
    return len(value.fields) if isinstance(value, Struct) else 1


def to_json(value: Any) -> Any:
    """The JSON tree of a result. Raises EvaluationError for types that have none."""
    if value is None or isinstance(value, (bool, str, float)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Struct):
        return {key: to_json(child) for key, child in value.fields.items()}
    if isinstance(value, Mapping):
        return {str(key): to_json(child) for key, child in value.items()}
    if isinstance(value, list):
        return [to_json(child) for child in value]
    raise EvaluationError(f"unsupported conversion from {type_of(value)} to JSON")
