"""Checks the types of a parsed expression, and resolves what its names mean: variables, types, functions.

The texts of its errors are cel-go's. Source: the CEL language definition; cel-go checker/checker.go.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from minikube_py.objects.cel import syntax
from minikube_py.objects.cel.library.standard import matches, to_duration, to_time
from minikube_py.objects.cel.overloads import Function, is_parameter
from minikube_py.objects.cel.syntax import Call, Const, Fold, Ident, ListOf, Node, Select, Source, StructOf
from minikube_py.objects.cel.values import (
    DYN,
    CelError,
    CelType,
    EvaluationError,
    StructTypes,
    UInt,
    list_of,
    optional_of,
)

ERROR = CelType("*error*")
BOOL, INT, STRING, NULL = CelType("bool"), CelType("int"), CelType("string"), CelType("null_type")
_TYPE_NAMES = frozenset((
    "bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint", "optional_type",
    "google.protobuf.Timestamp", "google.protobuf.Duration", "net.IP", "net.CIDR", "kubernetes.Quantity",
    "kubernetes.URL", "kubernetes.Semver", "kubernetes.NamedFormat", "kubernetes.Image",
))  # fmt: skip
_NULLABLE = frozenset(("timestamp", "duration", "optional_type"))
_CONSTANTS: dict[type, CelType] = {
    type(None): NULL, bool: BOOL, int: INT, UInt: CelType("uint"), float: CelType("double"), str: STRING,
    bytes: CelType("bytes"),
}  # fmt: skip
_LITERALS = {"duration": to_duration, "timestamp": to_time}


def _shown(kind: CelType) -> str:
    return "null" if kind == NULL else str(kind)


class Checker:
    """Checks one source. Names that mean something else than they look like are changed in the tree."""

    def __init__(
        self,
        source: Source,
        variables: Mapping[str, CelType],
        functions: Mapping[str, Function],
        structs: StructTypes,
    ) -> None:
        self._source = source
        self._variables = variables
        self._functions = functions
        self._structs = structs
        self._locals: dict[str, CelType] = {}
        self._bound: dict[str, CelType] = {}
        self._fresh = 0
        self._errors: list[tuple[int, str]] = []

    def check(self) -> tuple[Node, CelType]:
        """The resolved tree and its type. Raises CelError with every error found."""
        root, kind = self._check(self._source.root)
        if self._errors:
            unique = dict.fromkeys(sorted(self._errors, key=lambda error: error[0]))
            raise CelError("\n".join(self._source.error(*error) for error in unique))
        return root, self._settled(kind)

    # --- trees

    def _check(self, node: Node) -> tuple[Node, CelType]:
        if isinstance(node, Const):
            return node, _CONSTANTS[type(node.value)]
        if isinstance(node, Ident):
            return self._ident(node)
        if isinstance(node, Select):
            return self._select(node)
        if isinstance(node, Call):
            return self._call(node)
        if isinstance(node, ListOf):
            return node, self._list(node)
        if isinstance(node, StructOf):
            return node, (self._struct(node) if node.name else self._map(node))
        return node, self._fold(node)

    def _fail(self, offset: int, message: str) -> CelType:
        self._errors.append((offset, message))
        return ERROR

    def _ident(self, node: Ident) -> tuple[Node, CelType]:
        name = node.name.removeprefix(".")
        found = self._locals.get(name) or self._variables.get(name)
        if found is not None:
            return Ident(name, node.offset), found
        if name in _TYPE_NAMES or self._structs.is_known(name):
            return Const(CelType(name), node.offset), CelType("type", (CelType(name),))
        return node, self._fail(node.offset, f"undeclared reference to '{name}' (in container '')")

    def _qualified(self, node: Node) -> str:
        """`a.b.c` of a chain of names that does not begin with a local variable; else ''."""
        if isinstance(node, Ident):
            return "" if node.name in self._locals else node.name
        if isinstance(node, Select) and not node.is_test:
            before = self._qualified(node.operand)
            return f"{before}.{node.name}" if before else ""
        return ""

    def _select(self, node: Select) -> tuple[Node, CelType]:
        name = self._qualified(node)
        if name in self._variables:
            return Ident(name, node.offset), self._variables[name]
        if name in _TYPE_NAMES:
            return Const(CelType(name), node.offset), CelType("type", (CelType(name),))
        node.operand, operand = self._check(node.operand)
        kind = self._field(operand, node.name, node.offset, is_optional=False)
        return node, BOOL if node.is_test else kind

    def _field(self, operand: CelType, name: str, offset: int, *, is_optional: bool) -> CelType:
        operand = self._settled(operand, keep=True)
        if operand.name == "optional_type":
            inner = self._field(operand.params[0], name, offset, is_optional=False)
            return inner if inner == ERROR else optional_of(inner)
        if operand.name == "map":
            found = operand.params[1]
        elif operand in (DYN, ERROR) or is_variable(operand):
            found = DYN
        elif self._structs.is_known(operand.name):
            field = self._structs.field(operand.name, name)
            if field is None:
                return self._fail(offset, f"undefined field '{name}'")
            found = field
        else:
            return self._fail(offset, f"type '{_shown(operand)}' does not support field selection")
        return optional_of(found) if is_optional else found

    def _call(self, node: Call) -> tuple[Node, CelType]:
        if node.function == "_?._":
            node.args[0], operand = self._check(node.args[0])
            name = node.args[1].value if isinstance(node.args[1], Const) else ""
            return node, self._field(operand, name, node.offset, is_optional=True)
        if node.target is not None:
            before = self._qualified(node.target)
            if before and f"{before}.{node.function}" in self._functions:
                node.function, node.target = f"{before}.{node.function}", None
        kinds = []
        if node.target is not None:
            node.target, kind = self._check(node.target)
            kinds.append(kind)
        for index, arg in enumerate(node.args):
            if node.function == "format" and isinstance(arg, ListOf):
                kind = self._mixed(arg)
            else:
                node.args[index], kind = self._check(arg)
            kinds.append(kind)
        self._check_literals(node)
        return node, self._resolve(node, kinds)

    def _resolve(self, node: Call, kinds: list[CelType]) -> CelType:
        function = self._functions.get(node.function)
        if function is None:
            return self._fail(node.offset, f"undeclared reference to '{node.function}' (in container '')")
        is_member, found = node.target is not None, None
        for overload in function.overloads:
            if overload.is_member != is_member or len(overload.parameters) != len(kinds):
                continue
            self._fresh += 1
            renamed = [self._renamed(parameter) for parameter in overload.parameters]
            before = dict(self._bound)
            if not all(map(self._assigns, kinds, renamed)):
                self._bound = before
                continue
            result = self._settled(self._renamed(overload.result), keep=True)
            if found is None:
                found = result
            elif found != DYN and result != found:
                found = DYN
        if found is not None:
            return found
        if ERROR in kinds:
            return ERROR
        shown = [_shown(self._settled(kind)) for kind in kinds]
        applied = f"{shown[0]}.({', '.join(shown[1:])})" if is_member else f"({', '.join(shown)})"
        return self._fail(node.offset, f"found no matching overload for '{node.function}' applied to '{applied}'")

    def _check_literals(self, node: Call) -> None:
        """Times and patterns that stand in the text are parsed now."""
        last = node.args[-1] if node.args else None
        if not isinstance(last, Const) or not isinstance(last.value, str):
            return
        try:
            if node.function in _LITERALS and node.target is None:
                _LITERALS[node.function](last.value)
            elif node.function == "matches":
                matches("", last.value)
        except EvaluationError:
            self._fail(last.offset, f"invalid {node.function} argument")

    def _joined(self, kinds: list[tuple[int, CelType]]) -> CelType:
        """The one type that all elements of a literal have: Kubernetes does not allow mixtures."""
        joined: CelType | None = None
        for offset, kind in kinds:
            if joined is None or joined == ERROR:
                joined = kind
            elif not self._assigns(kind, joined):
                expected, found = _shown(self._settled(joined)), _shown(self._settled(kind))
                self._fail(offset, f"expected type '{expected}' but found '{found}'")
            elif self._settled(kind, keep=True) == DYN:
                joined = DYN
        if joined is None:
            self._fresh += 1
            return CelType(f"#{self._fresh}")
        return joined

    def _unwrapped(self, kind: CelType, offset: int, is_optional: bool) -> CelType:
        kind = self._settled(kind, keep=True)
        if not is_optional or kind in (DYN, ERROR):
            return kind
        if kind.name != "optional_type":
            return self._fail(offset, f"expected type 'optional_type({_shown(kind)})' but found '{_shown(kind)}'")
        return kind.params[0]

    def _list(self, node: ListOf) -> CelType:
        kinds = []
        for index, element in enumerate(node.elements):
            node.elements[index], kind = self._check(element)
            kinds.append((element.offset, self._unwrapped(kind, element.offset, index in node.optional)))
        return list_of(self._joined(kinds))

    def _mixed(self, node: ListOf) -> CelType:
        """The arguments of format(), the one place where a list may hold different types."""
        for index, element in enumerate(node.elements):
            node.elements[index], _ = self._check(element)
        return list_of(DYN)

    def _map(self, node: StructOf) -> CelType:
        keys, values = [], []
        for entry in node.entries:
            assert not isinstance(entry.key, str)
            at = entry.key.offset
            entry.key, kind = self._check(entry.key)
            keys.append((at, kind))
            at = entry.value.offset
            entry.value, kind = self._check(entry.value)
            values.append((at, self._unwrapped(kind, at, entry.is_optional)))
        return CelType("map", (self._joined(keys), self._joined(values)))

    def _struct(self, node: StructOf) -> CelType:
        name = node.name.removeprefix(".")
        node.name = name
        if not self._structs.is_known(name):
            return self._fail(node.offset, f"undeclared reference to '{name}' (in container '')")
        for entry in node.entries:
            at = entry.value.offset
            entry.value, kind = self._check(entry.value)
            kind = self._unwrapped(kind, at, entry.is_optional)
            expected = self._structs.field(name, str(entry.key))
            if expected is None:
                self._fail(entry.offset, f"undefined field '{entry.key}'")
            elif not self._assigns(kind, expected):
                wanted, given = _shown(expected), _shown(self._settled(kind))
                self._fail(
                    entry.offset, f"expected type of field '{entry.key}' is '{wanted}' but provided type is '{given}'"
                )
        return CelType(name)

    def _fold(self, node: Fold) -> CelType:
        node.over, over = self._check(node.over)
        first, second = self._turns(self._settled(over, keep=True), bool(node.second), node.over.offset)
        node.start, accumulated = self._check(node.start)
        turn = {node.variable: first, node.second: second} if node.second else {node.variable: first}
        with self._having({node.accumulator: accumulated}):
            with self._having(turn):
                node.condition, condition = self._check(node.condition)
                self._expect(condition, BOOL, node.condition.offset)
                node.step, step = self._check(node.step)
                self._expect(step, accumulated, node.step.offset)
            node.result, kind = self._check(node.result)
        return kind

    def _turns(self, over: CelType, is_double: bool, offset: int) -> tuple[CelType, CelType]:
        if over.name == "optional_type":
            over = over.params[0]
        if over.name == "list":
            return (INT, over.params[0]) if is_double else (over.params[0], DYN)
        if over.name == "map":
            return over.params[0], over.params[1]
        if over not in (DYN, ERROR) and not is_variable(over):
            why = f"expression of type '{_shown(over)}' cannot be range of a comprehension"
            self._fail(offset, f"{why} (must be list, map, or dynamic)")
        return DYN, DYN

    def _expect(self, kind: CelType, wanted: CelType, offset: int) -> None:
        if not self._assigns(kind, wanted):
            expected, found = _shown(self._settled(wanted)), _shown(self._settled(kind))
            self._fail(offset, f"expected type '{expected}' but found '{found}'")

    @contextmanager
    def _having(self, names: Mapping[str, CelType]) -> Iterator[None]:
        before = self._locals
        self._locals = {**before, **names}
        try:
            yield
        finally:
            self._locals = before

    # --- types: a variable is written #1, or #1A for A of the first call

    def _renamed(self, kind: CelType) -> CelType:
        if is_parameter(kind):
            return CelType(f"#{self._fresh}{kind.name}")
        return CelType(kind.name, tuple(map(self._renamed, kind.params))) if kind.params else kind

    def _settled(self, kind: CelType, *, keep: bool = False) -> CelType:
        """The type with what is known of its variables; those left are dyn, unless `keep`."""
        while is_variable(kind) and kind.name in self._bound:
            kind = self._bound[kind.name]
        if is_variable(kind):
            return kind if keep else DYN
        if not kind.params:
            return kind
        return CelType(kind.name, tuple(self._settled(param, keep=keep) for param in kind.params))

    def _assigns(self, kind: CelType, wanted: CelType) -> bool:
        """Whether a value of the first type fits the second; variables are bound so that it does."""
        kind, wanted = self._settled(kind, keep=True), self._settled(wanted, keep=True)
        if kind == wanted or kind in (DYN, ERROR) or wanted in (DYN, ERROR):
            return self._bind_dyn(kind, wanted)
        if is_variable(wanted):
            return self._bind(wanted, kind)
        if is_variable(kind):
            return self._bind(kind, wanted)
        if kind == NULL or wanted == NULL:
            other = wanted if kind == NULL else kind
            return other.name in _NULLABLE or "." in other.name or self._structs.is_known(other.name)
        if kind.name == "type" and wanted.name == "type":
            return True
        same = kind.name == wanted.name and len(kind.params) == len(wanted.params)
        return same and all(map(self._assigns, kind.params, wanted.params))

    def _bind_dyn(self, kind: CelType, wanted: CelType) -> bool:
        if is_variable(wanted) and kind != wanted:
            self._bound[wanted.name] = kind
        elif is_variable(kind) and kind != wanted:
            self._bound[kind.name] = wanted
        return True

    def _bind(self, variable: CelType, kind: CelType) -> bool:
        if _occurs(variable, kind):
            return False
        self._bound[variable.name] = kind
        return True


def is_variable(kind: CelType) -> bool:
    return kind.name.startswith("#")


def _occurs(variable: CelType, kind: CelType) -> bool:
    return kind == variable or any(_occurs(variable, param) for param in kind.params)


def check(
    text: str, variables: Mapping[str, CelType], functions: Mapping[str, Function], structs: StructTypes
) -> tuple[Node, CelType]:
    """The tree and type of a text. Raises CelError with the errors as cel-go shows them."""
    try:
        return Checker(syntax.parse(text), variables, functions, structs).check()
    except RecursionError:
        raise CelError("expression is nested too deeply") from None
