"""Turns a parsed expression into closures that evaluate it, and counts what evaluating costs.

An expression is compiled once; running it is calling closures over a Frame. Errors are exceptions; `&&`, `||` and the
macros made of them absorb errors as CEL wants it. Costs follow cel-go's runtime costs: one for a name, a field or a
call, more for what goes through texts and lists; a frame over its limit ends with CostExceeded, so no expression runs
for long. Source: the CEL language definition; cel-go interpreter/runtimecost.go.
"""

from collections.abc import Callable, Mapping
from math import ceil
from typing import Any, TypeAlias

from minikube_py.objects.cel import operators
from minikube_py.objects.cel.overloads import TRAVERSAL, Function
from minikube_py.objects.cel.syntax import Call, Const, Fold, Ident, ListOf, Node, Select, StructOf
from minikube_py.objects.cel.values import (
    NONE,
    CelError,
    EvaluationError,
    Frame,
    LazyMap,
    Optional,
    Struct,
    equals,
    is_in,
    size_of,
)

LIST_COST, MAP_COST, STRUCT_COST = 10, 30, 40


Run: TypeAlias = Callable[[Frame], Any]


class Compiler:
    """Makes closures of trees; `functions` are those the expression may call."""

    def __init__(self, functions: Mapping[str, Function]) -> None:
        self._functions = functions

    def compile(self, node: Node) -> Run:
        if isinstance(node, Const):
            value = node.value
            return lambda _frame: value
        if isinstance(node, Ident):
            return _ident(node.name)
        if isinstance(node, Select):
            return _select(self.compile(node.operand), node.name, node.is_test)
        if isinstance(node, Call):
            return self._call(node)
        if isinstance(node, ListOf):
            return self._list(node)
        if isinstance(node, StructOf):
            return self._struct(node) if node.name else self._map(node)
        return self._fold(node)

    def _call(self, node: Call) -> Run:
        name = node.function
        if name == "_&&_":
            return _and(*map(self.compile, node.args))
        if name == "_||_":
            return _or(*map(self.compile, node.args))
        if name == "_?_:_":
            return _choose(*map(self.compile, node.args))
        if name == "@not_strictly_false":
            return _not_strictly_false(self.compile(node.args[0]))
        if name in ("_?._", "_[?_]"):
            return _optional_select(*map(self.compile, node.args))
        if name == "_[_]":
            return _index(*map(self.compile, node.args))
        if name in ("or", "orValue") and node.target is not None:
            return _or_else(self.compile(node.target), self.compile(node.args[0]), name == "orValue")
        operator = operators.OPERATORS.get(name)
        if operator is not None:
            return _operation(operator, *map(self.compile, node.args))
        args = [self.compile(arg) for arg in node.args]
        if node.target is not None:
            args.insert(0, self.compile(node.target))
        function = self._functions.get(name)
        if function is None:
            raise CelError(f"undeclared reference to '{name}' (in container '')")
        return _function(function, node.target is not None, args)

    def _list(self, node: ListOf) -> Run:
        elements = [self.compile(element) for element in node.elements]
        optional = node.optional

        def run(frame: Frame) -> list[Any]:
            frame.cost += LIST_COST
            if not optional:
                return [element(frame) for element in elements]
            found = []
            for index, element in enumerate(elements):
                value = element(frame)
                if index in optional:
                    if not value.has_value:
                        continue
                    value = value.value
                found.append(value)
            return found

        return run

    def _map(self, node: StructOf) -> Run:
        entries = [
            (self.compile(e.key), self.compile(e.value), e.is_optional)  # type: ignore[arg-type]
            for e in node.entries
        ]

        def run(frame: Frame) -> dict[Any, Any]:
            frame.cost += MAP_COST
            made: dict[Any, Any] = {}
            for key, value, is_optional in entries:
                name, held = key(frame), value(frame)
                if is_optional:
                    if not held.has_value:
                        continue
                    held = held.value
                if name in made:
                    raise EvaluationError(f"Failed with repeated key: {name}")
                made[name] = held
            return made

        return run

    def _struct(self, node: StructOf) -> Run:
        name = node.name
        entries = [(str(e.key), self.compile(e.value), e.is_optional) for e in node.entries]

        def run(frame: Frame) -> Struct:
            frame.cost += STRUCT_COST
            fields = {}
            for key, value, is_optional in entries:
                held = value(frame)
                if is_optional:
                    if not held.has_value:
                        continue
                    held = held.value
                fields[key] = held
            return Struct(name, fields)

        return run

    def _fold(self, node: Fold) -> Run:
        over, start, condition = self.compile(node.over), self.compile(node.start), self.compile(node.condition)
        result = self.compile(node.result)
        appended = self._appended(node)
        loop = _Loop(node, over, start, condition)
        if appended is not None:
            return _growing(loop, result, *appended)
        return _folding(loop, self.compile(node.step), result)

    def _appended(self, node: Fold) -> tuple[Run | None, Run] | None:
        """(filter, element) of a step that only appends to the accumulated list: `map` and `filter`."""
        step, test = node.step, None
        if not (isinstance(node.start, ListOf) and not node.start.elements):
            return None
        if isinstance(step, Call) and step.function == "_?_:_":
            kept = step.args[2]
            if not (isinstance(kept, Ident) and kept.name == node.accumulator):
                return None
            test, step = self.compile(step.args[0]), step.args[1]
        if not (isinstance(step, Call) and step.function == "_+_"):
            return None
        left, right = step.args
        is_own = isinstance(left, Ident) and left.name == node.accumulator
        if not is_own or not isinstance(right, ListOf) or len(right.elements) != 1 or right.optional:
            return None
        return test, self.compile(right.elements[0])


class _Loop:
    """What every comprehension has."""

    __slots__ = ("accumulator", "condition", "is_logical", "over", "second", "start", "variable")

    def __init__(self, node: Fold, over: Run, start: Run, condition: Run) -> None:
        self.variable, self.second, self.accumulator = node.variable, node.second, node.accumulator
        self.over, self.start, self.condition = over, start, condition
        step = node.step
        # Only && and || can make something of an error that an earlier element left behind.
        self.is_logical = isinstance(step, Call) and step.function in ("_&&_", "_||_")

    def pairs(self, frame: Frame) -> Any:
        """(first variable, second variable) of each turn; the second is None where there is one variable only."""
        held = self.over(frame)
        if isinstance(held, list):
            return enumerate(held) if self.second else ((item, None) for item in held)
        if isinstance(held, dict):
            return held.items() if self.second else ((key, None) for key in held)
        if isinstance(held, LazyMap):
            return ((name, held.select(name) if self.second else None) for name in held.names())
        raise EvaluationError("no such overload")


_MISSING = object()


def _restore(variables: dict[str, Any], before: list[tuple[str, Any]]) -> None:
    for name, value in before:
        if value is _MISSING:
            variables.pop(name, None)
        else:
            variables[name] = value


def _folding(loop: _Loop, step: Run, result: Run) -> Run:
    names = [name for name in (loop.variable, loop.second, loop.accumulator) if name]

    def run(frame: Frame) -> Any:
        pairs = loop.pairs(frame)
        variables = frame.variables
        held = loop.start(frame)
        before = [(name, variables.get(name, _MISSING)) for name in names]
        try:
            variables[loop.accumulator] = held
            for first, second in pairs:
                frame.charge(1)
                if loop.condition(frame) is False:
                    break
                variables[loop.variable] = first
                if loop.second:
                    variables[loop.second] = second
                try:
                    variables[loop.accumulator] = step(frame)
                except EvaluationError as error:
                    if not loop.is_logical:
                        raise
                    variables[loop.accumulator] = error
            return result(frame)
        finally:
            _restore(variables, before)

    return run


def _growing(loop: _Loop, result: Run, test: Run | None, element: Run) -> Run:
    """map and filter: the list grows in place instead of being copied with each element."""
    names = [name for name in (loop.variable, loop.second, loop.accumulator) if name]

    def run(frame: Frame) -> Any:
        pairs = loop.pairs(frame)
        variables = frame.variables
        before = [(name, variables.get(name, _MISSING)) for name in names]
        found: list[Any] = []
        try:
            for first, second in pairs:
                frame.charge(1)
                variables[loop.variable] = first
                if loop.second:
                    variables[loop.second] = second
                if test is not None:
                    is_kept = test(frame)
                    if is_kept is not True:
                        if is_kept is not False:
                            raise EvaluationError("no such overload")
                        continue
                frame.cost += LIST_COST
                found.append(element(frame))
            variables[loop.accumulator] = found
            return result(frame)
        finally:
            _restore(variables, before)

    return run


# --- the closures ----------------------------------------------------------------------------------------------------


def _ident(name: str) -> Run:
    def run(frame: Frame) -> Any:
        frame.cost += 1
        try:
            value = frame.variables[name]
        except KeyError:
            raise EvaluationError(f"no such attribute(s): {name}") from None
        if isinstance(value, CelError):
            raise value
        return value

    return run


def _select(operand: Run, name: str, is_test: bool) -> Run:
    def test(frame: Frame) -> bool:
        return _has(operand(frame), name)

    def run(frame: Frame) -> Any:
        held = operand(frame)
        frame.cost += 1
        if type(held) is dict:
            try:
                return held[name]
            except KeyError:
                raise EvaluationError(f"no such key: {name}") from None
        return _field(held, name)

    return test if is_test else run


def _has(held: Any, name: str) -> bool:
    if isinstance(held, Optional):
        return held.has_value and _has(held.value, name)
    if isinstance(held, dict):
        return name in held
    if isinstance(held, Struct):
        return name in held.fields
    if isinstance(held, LazyMap):
        return name in held.names()
    raise EvaluationError("no such overload")


def _field(held: Any, name: str) -> Any:
    if isinstance(held, LazyMap):
        return held.select(name)
    if isinstance(held, Optional):
        return Optional.of(_field(held.value, name)) if held.has_value and _has(held.value, name) else NONE
    if isinstance(held, Struct):
        held = held.fields
    if isinstance(held, dict):
        if name in held:
            return held[name]
        raise EvaluationError(f"no such key: {name}")
    raise EvaluationError("no such overload")


def _at(held: Any, key: Any) -> Any:
    """held[key]."""
    if isinstance(held, list):
        if isinstance(key, float) and key.is_integer():
            key = int(key)
        if not isinstance(key, int) or isinstance(key, bool):
            raise EvaluationError("no such overload")
        if not 0 <= key < len(held):
            raise EvaluationError(f"index out of bounds: {key}")
        return held[key]
    if isinstance(held, (LazyMap, Struct)) and isinstance(key, str):
        return _field(held, key)
    if isinstance(held, dict) and isinstance(key, (str, int, bool)):
        if key in held:
            return held[key]
        raise EvaluationError(f"no such key: {key}")
    raise EvaluationError("no such overload")


def _index(operand: Run, index: Run) -> Run:
    def run(frame: Frame) -> Any:
        held, key = operand(frame), index(frame)
        frame.cost += 1
        if isinstance(held, Optional):
            return _optional_at(held, key)
        return _at(held, key)

    return run


def _optional_at(held: Any, key: Any) -> Optional:
    if isinstance(held, Optional):
        if not held.has_value:
            return NONE
        held = held.value
    is_there = 0 <= key < len(held) if isinstance(held, list) else _has(held, key)
    return Optional.of(_at(held, key)) if is_there else NONE


def _optional_select(operand: Run, key: Run) -> Run:
    def run(frame: Frame) -> Optional:
        held = operand(frame)
        frame.cost += 1
        return _optional_at(held, key(frame))

    return run


def _or_else(operand: Run, other: Run, is_value: bool) -> Run:
    """or() and orValue() look at the other side only when they need it."""

    def run(frame: Frame) -> Any:
        held = operand(frame)
        frame.cost += 1
        if not isinstance(held, Optional):
            raise EvaluationError("no such overload")
        if held.has_value:
            return held.value if is_value else held
        return other(frame)

    return run


def _and(left: Run, right: Run) -> Run:
    return _logical(left, right, False)


def _or(left: Run, right: Run) -> Run:
    return _logical(left, right, True)


def _logical(left: Run, right: Run, decisive: bool) -> Run:
    """&& is decided by false, || by true; an error on one side counts only when the other side does not decide."""

    def run(frame: Frame) -> Any:
        failure: EvaluationError | None = None
        try:
            found = left(frame)
            if found is decisive:
                return decisive
            if found is not (not decisive):
                failure = EvaluationError("no such overload")
        except EvaluationError as error:
            failure = error
        found = right(frame)
        if found is decisive:
            return decisive
        if failure is not None:
            raise failure
        if found is not (not decisive):
            raise EvaluationError("no such overload")
        return found

    return run


def _choose(test: Run, yes: Run, no: Run) -> Run:
    def run(frame: Frame) -> Any:
        found = test(frame)
        if found is True:
            return yes(frame)
        if found is False:
            return no(frame)
        raise EvaluationError("no such overload")

    return run


def _not_strictly_false(operand: Run) -> Run:
    def run(frame: Frame) -> bool:
        try:
            return operand(frame) is not False
        except EvaluationError:
            return True

    return run


def _operation(operator: operators.Operator, *args: Run) -> Run:
    call = operator.call
    if len(args) == 1:
        only = args[0]

        def unary(frame: Frame) -> Any:
            frame.cost += 1
            return call(only(frame))

        return unary
    left, right = args
    if call in (equals, operators.differs, is_in):

        def comparing(frame: Frame) -> bool:
            one, other = left(frame), right(frame)
            size = size_of(other) * 10 if call is is_in else min(size_of(one), size_of(other))
            frame.charge(max(1, ceil(size * TRAVERSAL)))
            return bool(call(one, other))

        return comparing

    def binary(frame: Frame) -> Any:
        one, other = left(frame), right(frame)
        if type(one) in operators.LONG:
            frame.charge(max(1, ceil(operator.size(size_of(one), size_of(other)) * TRAVERSAL)))
        else:
            frame.cost += 1
        return call(one, other)

    return binary


def _function(function: Function, is_member: bool, args: list[Run]) -> Run:
    def run(frame: Frame) -> Any:
        values = [arg(frame) for arg in args]
        chosen = function.find(is_member, tuple(map(type, values)))
        try:
            result = chosen.call(*values)
        except (OverflowError, RecursionError, TypeError, ValueError) as error:
            raise EvaluationError(str(error)) from None
        frame.charge(1 if chosen.cost is None else chosen.cost(values, result))
        return result

    return run
