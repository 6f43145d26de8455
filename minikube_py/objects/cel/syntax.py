"""Parses CEL text into a tree; the one module that knows cel-expr-python, an optional extra loaded when first needed.

The parser hands out its tree as a protobuf message (cel/expr/syntax.proto of the CEL specification), which is decoded
here: fields by number. Macros arrive expanded, but for those of two variables, which are expanded here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from struct import unpack
from typing import Any, TypeAlias

from minikube_py.objects.cel.engine import is_available
from minikube_py.objects.cel.values import CelError, UInt

NOT_INSTALLED = "no CEL evaluator is installed for this platform: install mkube with the extra `cel`"


@dataclass(slots=True)
class Const:
    value: Any
    offset: int = 0


@dataclass(slots=True)
class Ident:
    name: str
    offset: int = 0


@dataclass(slots=True)
class Select:
    """operand.name, or has(operand.name)."""

    operand: "Node"
    name: str
    is_test: bool = False
    offset: int = 0


@dataclass(slots=True)
class Call:
    """function(args), or target.function(args). Operators have names such as `_+_`."""

    function: str
    target: "Node | None"
    args: list["Node"]
    offset: int = 0


@dataclass(slots=True)
class ListOf:
    """[a, ?b]: `optional` holds the indexes of the elements with a question mark."""

    elements: list["Node"]
    optional: frozenset[int] = frozenset()
    offset: int = 0


@dataclass(slots=True)
class Entry:
    """One field of a struct (key is its name) or of a map (key is an expression)."""

    key: "str | Node"
    value: "Node"
    is_optional: bool = False
    offset: int = 0


@dataclass(slots=True)
class StructOf:
    """Name{field: value}, or a map when the name is empty."""

    name: str
    entries: list[Entry]
    offset: int = 0


@dataclass(slots=True)
class Fold:
    """A comprehension: what macros such as all() and map() are made of. `second` is the variable of the value."""

    variable: str
    second: str
    over: "Node"
    accumulator: str
    start: "Node"
    condition: "Node"
    step: "Node"
    result: "Node"
    offset: int = 0


Node: TypeAlias = Const | Ident | Select | Call | ListOf | StructOf | Fold


@dataclass(frozen=True)
class Source:
    """A parsed text, and where its lines begin."""

    text: str
    root: Node = field(repr=False)

    def error(self, offset: int, message: str) -> str:
        """A message as the compiler shows it: place, line, and a pointer under the character."""
        offset = min(offset, len(self.text))
        start = self.text.rfind("\n", 0, offset) + 1
        end = self.text.find("\n", offset)
        line = self.text[start:] if end < 0 else self.text[start:end]
        row, column = self.text.count("\n", 0, offset) + 1, offset - start
        shown = line.replace("\t", " ")
        return f"ERROR: <input>:{row}:{column + 1}: {message}\n | {shown}\n | {'.' * column}^"


def parse(text: str) -> Source:
    """Raises CelError with the parser's text, or because no parser is installed."""
    if not is_available():
        raise CelError(NOT_INSTALLED)
    try:
        expression = _parser().compile(text, disable_check=True)
        message = _last(expression.serialize(), 2)
        positions = {}
        for entry in _every(_last(message, 3), 4):
            fields = dict(_fields(entry))
            positions[fields.get(1, 0)] = fields.get(2, 0)
        return Source(text, _node(_last(message, 2), positions))
    except RecursionError:
        raise CelError("expression is nested too deeply") from None
    except (RuntimeError, ValueError) as error:
        raise CelError(_clean(str(error))) from None


@cache
def _parser() -> Any:
    from cel_expr_python import cel  # noqa: PLC0415  heavy, and an optional extra
    from cel_expr_python.ext import ext_optional  # noqa: PLC0415

    return cel.NewEnv(extensions=[ext_optional.ExtOptional()])


def _clean(text: str) -> str:
    return text.removeprefix("INVALID_ARGUMENT: ").replace(" [INVALID_ARGUMENT]", "")


# --- the message -----------------------------------------------------------------------------------------------------


def _varint(data: bytes, at: int) -> tuple[int, int]:
    shift = value = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of each field: integers, doubles as their 8 bytes, everything else as bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        value: Any
        if wire == 0:
            value, at = _varint(data, at)
        else:
            size = 8
            if wire == 2:
                size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        yield tag >> 3, value


def _last(data: bytes, number: int) -> bytes:
    found = b""
    for name, value in _fields(data):
        if name == number:
            found = value
    return found


def _every(data: bytes, number: int) -> list[bytes]:
    return [value for name, value in _fields(data) if name == number]


def _node(data: bytes, positions: dict[int, int]) -> Node:
    ident, kind, body = 0, 0, b""
    for number, value in _fields(data):
        if number == 2:
            ident = value
        else:
            kind, body = number, value
    offset = positions.get(ident, 0)
    if kind == 3:
        return Const(_constant(body), offset)
    if kind == 4:
        return Ident(_last(body, 1).decode(), offset)
    if kind == 5:
        is_test = any(number == 3 and value for number, value in _fields(body))
        return Select(_node(_last(body, 1), positions), _last(body, 2).decode(), is_test, offset)
    if kind == 6:
        return _call(body, positions, offset)
    if kind == 7:
        elements = [_node(element, positions) for element in _every(body, 1)]
        return ListOf(elements, _indexes(body), offset)
    if kind == 8:
        entries = [_entry(entry, positions) for entry in _every(body, 2)]
        return StructOf(_last(body, 1).decode(), entries, offset)
    return _fold(body, positions, offset)


def _constant(body: bytes) -> Any:
    number, value = next(iter(_fields(body)))
    if number == 1:
        return None
    if number == 2:
        return bool(value)
    if number == 3:
        return value - 2**64 if value >= 2**63 else value
    if number == 4:
        return UInt(value)
    if number == 5:
        return unpack("<d", value)[0]
    return value.decode() if number == 6 else bytes(value)


def _indexes(body: bytes) -> frozenset[int]:
    found = []
    for number, value in _fields(body):
        if number == 2 and isinstance(value, int):
            found.append(value)
        elif number == 2:
            at = 0
            while at < len(value):
                index, at = _varint(value, at)
                found.append(index)
    return frozenset(found)


def _entry(data: bytes, positions: dict[int, int]) -> Entry:
    ident, is_optional = 0, False
    key: str | Node = ""
    value = b""
    for number, part in _fields(data):
        if number == 1:
            ident = part
        elif number == 2:
            key = part.decode()
        elif number == 3:
            key = _node(part, positions)
        elif number == 4:
            value = part
        elif number == 5:
            is_optional = bool(part)
    return Entry(key, _node(value, positions), is_optional, positions.get(ident, 0))


def _fold(body: bytes, positions: dict[int, int], offset: int) -> Fold:
    parts: dict[int, Any] = dict(_fields(body))
    nodes = [_node(parts[number], positions) for number in (2, 4, 5, 6, 7)]
    over, start, condition, step, result = nodes
    variable, second = parts.get(1, b"").decode(), parts.get(8, b"").decode()
    return Fold(variable, second, over, parts.get(3, b"").decode(), start, condition, step, result, offset)


# --- calls, and the macros of two variables --------------------------------------------------------------------------

ACCUMULATOR = "@result"
_TWO_VARIABLES = {
    "all": (3,), "exists": (3,), "existsOne": (3,), "exists_one": (3,), "transformList": (3, 4),
    "transformMap": (3, 4), "transformMapEntry": (3, 4),
}  # fmt: skip


def _call(body: bytes, positions: dict[int, int], offset: int) -> Node:
    target = _last(body, 1)
    call = Call(
        _last(body, 2).decode(),
        _node(target, positions) if target else None,
        [_node(arg, positions) for arg in _every(body, 3)],
        offset,
    )
    if call.target is None or len(call.args) not in _TWO_VARIABLES.get(call.function, ()):
        return call
    first, second = call.args[:2]
    if not isinstance(first, Ident) or not isinstance(second, Ident):
        return call
    return _expanded(call, first.name, second.name)


def _expanded(call: Call, first: str, second: str) -> Node:
    name, at = call.function, call.offset
    accumulated = Ident(ACCUMULATOR, at)
    always, over, body = Const(True, at), call.target, call.args[-1]
    assert over is not None

    def fold(start: Node, condition: Node, step: Node, result: Node = accumulated) -> Fold:
        return Fold(first, second, over, ACCUMULATOR, start, condition, step, result, at)

    if name == "all":
        going = Call("@not_strictly_false", None, [accumulated], at)
        return fold(Const(True, at), going, Call("_&&_", None, [accumulated, body], at))
    if name == "exists":
        going = Call("@not_strictly_false", None, [Call("!_", None, [accumulated], at)], at)
        return fold(Const(False, at), going, Call("_||_", None, [accumulated, body], at))
    if name in ("existsOne", "exists_one"):
        one = Const(1, at)
        step = Call("_?_:_", None, [body, Call("_+_", None, [accumulated, one], at), accumulated], at)
        return fold(Const(0, at), always, step, Call("_==_", None, [accumulated, one], at))
    if name == "transformList":
        start: Node = ListOf([], offset=at)
        grown: Node = Call("_+_", None, [accumulated, ListOf([body], offset=at)], at)
    elif name == "transformMap":
        start = StructOf("", [], at)
        grown = Call("cel.@mapInsert", None, [accumulated, Ident(first, at), body], at)
    else:
        start = StructOf("", [], at)
        grown = Call("cel.@mapInsert", None, [accumulated, body], at)
    if len(call.args) == 4:
        grown = Call("_?_:_", None, [call.args[2], grown, accumulated], at)
    return fold(start, always, grown)
