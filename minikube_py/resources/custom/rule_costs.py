"""Estimates what a rule of a custom schema may cost at most, from the sizes that the schema allows.

Source: cel-go checker/cost.go (what each operation costs), apiserver pkg/cel/library/cost.go and
pkg/apiserver/schema/cel of apiextensions-apiserver (sizes of what the schema leaves open, how often a rule runs).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from minikube_py.objects.cel.source import escape
from minikube_py.objects.cel.syntax import Call, Const, Fold, Ident, ListOf, Node, Select, StructOf
from minikube_py.resources.custom.structural import Structural

_REQUEST_BYTES = 3 * 1024 * 1024
_CHARACTER, _PATTERN = 0.1, 0.25
_LIST, _MAP, _STRUCT = 10, 30, 40
_FORMAT_LENGTHS = {"duration": 32, "date": 10, "date-time": 24}
_COMPARISONS = frozenset(("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"))
_OF_TARGET = frozenset((
    "lowerAscii", "upperAscii", "substring", "trim", "split", "replace", "reverse", "indexOf", "lastIndexOf", "string",
    "bytes", "url", "isURL", "ip", "isIP", "cidr", "isCIDR", "quantity", "isQuantity", "semver", "isSemver", "isSorted",
    "sum", "min", "max", "join", "distinct", "sort", "flatten", "slice",
))  # fmt: skip
"""Functions that look at all of what they are given, once."""


@dataclass(frozen=True)
class Shape:
    """What is known of a value: how long it may be, and the schema of what is in it (None: unknown)."""

    size: float = 1
    schema: Mapping[str, Any] | None = None
    element: "Shape | None" = None


_SMALL = Shape()


def rule_cost(tree: Node, place: Structural) -> float:
    """The most that one run of the rule at this place costs."""
    shape = shape_of(place.raw)
    return _Estimate({"self": shape, "oldSelf": shape}).of(tree)[0]


def most_elements(place: Structural) -> float | None:
    """How many elements a list or map may have; None where the schema leaves that open."""
    limit = place.raw.get("maxItems" if place.type == "array" else "maxProperties")
    return None if limit is None else float(limit)


def most_that_fit(place: Structural) -> float:
    """How many values of the place fit into one request."""
    return _REQUEST_BYTES / _least_bytes(place.raw)


def shape_of(schema: Mapping[str, Any] | None) -> Shape:
    """A value of the schema. Lengths that it leaves open are what fits into one request."""
    if not schema:
        return Shape(_REQUEST_BYTES)
    kind = schema.get("type")
    if kind == "array":
        items = schema.get("items")
        open_size = (_REQUEST_BYTES - 2) / (_least_bytes(items) + 1)
        return Shape(_bounded(schema.get("maxItems"), open_size), schema, None)
    if kind == "object":
        additional = schema.get("additionalProperties")
        open_size = (_REQUEST_BYTES - 2) / (_least_bytes(additional if isinstance(additional, Mapping) else None) + 6)
        return Shape(_bounded(schema.get("maxProperties"), open_size) if additional else 1, schema)
    if kind == "string":
        return Shape(_string_length(schema), schema)
    return Shape(_REQUEST_BYTES if kind is None else 1, schema)


def _bounded(limit: Any, otherwise: float) -> float:
    return otherwise if limit is None else float(limit)


def _string_length(schema: Mapping[str, Any]) -> float:
    if schema.get("enum"):
        return max(len(str(value)) for value in schema["enum"])
    if schema.get("maxLength") is not None:
        return float(schema["maxLength"])
    return _FORMAT_LENGTHS.get(schema.get("format", ""), _REQUEST_BYTES - 2)


def _least_bytes(schema: Mapping[str, Any] | None) -> float:
    """The least that a value takes in JSON."""
    kind = (schema or {}).get("type")
    if schema is None or kind in ("integer", "number") or schema.get("x-kubernetes-int-or-string"):
        return 1
    if kind == "boolean":
        return 4
    if kind != "object":
        return 2
    properties = schema.get("properties") or {}
    required = schema.get("required") or ()
    return 2 + sum(len(name) + 4 + _least_bytes(properties.get(name)) for name in required if name in properties)


class _Estimate:
    """Walks a checked tree; `variables` are the shapes of the names in scope."""

    def __init__(self, variables: Mapping[str, Shape]) -> None:
        self._variables = dict(variables)

    def of(self, node: Node) -> tuple[float, Shape]:
        """(cost, what the value is like)."""
        match node:
            case Const():
                return 0, Shape(len(node.value)) if isinstance(node.value, str | bytes) else _SMALL
            case Ident():
                return 1, self._variables.get(node.name, _SMALL)
            case Select():
                cost, operand = self.of(node.operand)
                return (cost, _SMALL) if node.is_test else (cost + 1, _field(operand, node.name))
            case Call():
                return self._call(node)
            case ListOf():
                parts = [self.of(element) for element in node.elements]
                first = parts[0][1] if parts else _SMALL
                return _LIST + sum(cost for cost, _ in parts), Shape(len(parts), None, first)
            case StructOf():
                cost = sum(self.of(entry.value)[0] for entry in node.entries)
                cost += sum(self.of(entry.key)[0] for entry in node.entries if not isinstance(entry.key, str))
                return cost + (_STRUCT if node.name else _MAP), Shape(len(node.entries))
            case Fold():
                return self._fold(node)

    def _fold(self, node: Fold) -> tuple[float, Shape]:
        cost, over = self.of(node.over)
        element = _element(over)
        outer = dict(self._variables)
        is_map = over.schema is not None and over.schema.get("type") == "object"
        self._variables[node.variable] = _SMALL if is_map or node.second else element
        if node.second:
            self._variables[node.second] = element
        start, begun = self.of(node.start)
        self._variables[node.accumulator] = replace(begun, size=min(begun.size, 1))
        turn = self.of(node.condition)[0] + self.of(node.step)[0]
        self._variables[node.accumulator] = Shape(over.size)
        end, result = self.of(node.result)
        self._variables = outer
        return cost + start + over.size * turn + end, result

    def _call(self, node: Call) -> tuple[float, Shape]:
        parts = [self.of(child) for child in ((node.target,) if node.target is not None else ())]
        parts += [self.of(child) for child in node.args]
        costs, shapes = [cost for cost, _ in parts], [shape for _, shape in parts]
        name = node.function
        if name == "_?_:_":
            return costs[0] + max(costs[1:]), max(shapes[1:], key=lambda shape: shape.size)
        if name in ("_&&_", "_||_"):
            return sum(costs), _SMALL
        if name in ("_[_]", "_[?_]"):
            return sum(costs) + 1, _indexed(shapes[0], node.args[-1])
        return sum(costs) + _own_cost(name, shapes), _result(name, shapes)


def _own_cost(name: str, shapes: list[Shape]) -> float:
    """What a function costs beside its arguments."""
    first = shapes[0].size if shapes else 1
    second = shapes[1].size if len(shapes) > 1 else 1
    if name in _COMPARISONS:
        return max(1, min(first, second) * _CHARACTER)
    if name == "@in":
        is_map = (shapes[1].schema or {}).get("type") == "object"
        return 1 if is_map else max(1, second)
    if name == "_+_":
        return max(1, (first + second) * _CHARACTER)
    if name in ("startsWith", "endsWith"):
        return max(1, second * _CHARACTER)
    if name == "contains":
        return max(1, first * _CHARACTER * second * _CHARACTER)
    if name in ("matches", "find", "findAll"):
        return max(1, (first + 1) * _CHARACTER * second * _PATTERN)
    if name in _OF_TARGET:
        return max(1, first * _CHARACTER)
    if name.startswith("sets."):
        return max(1, first * second)
    return 1


def _result(name: str, shapes: list[Shape]) -> Shape:
    if not shapes:
        return _SMALL
    if name == "_+_":
        return Shape(sum(shape.size for shape in shapes), None, shapes[0].element)
    if name in ("split", "findAll", "sort", "distinct", "flatten", "slice"):
        return Shape(shapes[0].size, None, _element(shapes[0]) if name in ("sort", "distinct", "slice") else shapes[0])
    if name in ("lowerAscii", "upperAscii", "substring", "trim", "replace", "reverse", "string", "bytes", "find"):
        return Shape(shapes[0].size)
    if name in ("min", "max", "orValue", "value", "or", "first", "last"):
        return _element(shapes[0]) if name in ("min", "max", "first", "last") else shapes[0]
    return _SMALL


def _element(shape: Shape) -> Shape:
    """An element of a list, or a value of a map."""
    if shape.element is not None:
        return shape.element
    schema = shape.schema or {}
    additional = schema.get("additionalProperties")
    if schema.get("type") == "array":
        return shape_of(schema.get("items"))
    return shape_of(additional) if isinstance(additional, Mapping) else _SMALL


def _field(operand: Shape, name: str) -> Shape:
    properties = (operand.schema or {}).get("properties") or {}
    for key, schema in properties.items():
        if name in (key, escape(key)):
            return shape_of(schema)
    return _element(operand)


def _indexed(operand: Shape, key: Node) -> Shape:
    return _field(operand, key.value) if isinstance(key, Const) and isinstance(key.value, str) else _element(operand)
