"""Selects objects by labels and by fields, and nodes by the terms of a node affinity.

Sources: apimachinery pkg/labels/selector.go and pkg/fields/selector.go (grammar and error texts),
component-helpers scheduling/corev1/nodeaffinity. Selectors are immutable and cheap to match: parse once, keep them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.objects.go_text import plain, quote

Labels: TypeAlias = Mapping[str, str]

_NO_LABELS: Labels = {}
_OPERATORS = ("in", "notin", "=", "==", "!=", "gt", "lt")
_DICT_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
_NODE_OPERATORS = {**_DICT_OPERATORS, "Gt": "gt", "Lt": "lt"}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. `operator` is one of in, notin, =, ==, !=, exists, !, gt, lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()
    _set: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_set", frozenset(self.values))

    def matches(self, labels: Labels) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "in" | "=" | "==":
                return value is not None and value in self._set
            case "notin" | "!=":
                return value is None or value not in self._set
            case "exists":
                return value is not None
            case "!":
                return value is None
            case _:
                return self._compares(value)

    def _compares(self, value: str | None) -> bool:
        number, limit = _int64(value), _int64(self.values[0] if len(self.values) == 1 else None)
        if number is None or limit is None:
            return False
        return number > limit if self.operator == "gt" else number < limit

    def __str__(self) -> str:
        values = ",".join(sorted(self.values))
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return "!" + self.key
            case "in" | "notin":
                return f"{self.key} {self.operator} ({values})"
            case _:
                return self.key + {"gt": ">", "lt": "<"}.get(self.operator, self.operator) + values


def _int64(text: str | None) -> int | None:
    if text is None or not re.fullmatch(r"[+-]?[0-9]{1,30}", text):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


def _requirement(key: str, operator: str, values: Sequence[str]) -> Requirement:
    """A checked requirement; ValueError with every complaint that Kubernetes would make."""
    errors: list[str] = []
    if complaints := meta.qualified_name(key):
        errors.append(f"key: Invalid value: {quote(key)}: {'; '.join(complaints)}")
    shown = "[" + ",".join(quote(v) for v in values) + "]" if values else "null"
    if operator in ("in", "notin"):
        if not values:
            errors.append(f"values: Invalid value: {shown}: for 'in', 'notin' operators, values set can't be empty")
    elif operator in ("=", "==", "!="):
        if len(values) != 1:
            errors.append(f"values: Invalid value: {shown}: exact-match compatibility requires one single value")
    elif operator in ("exists", "!"):
        if values:
            errors.append(f"values: Invalid value: {shown}: values set must be empty for exists and does not exist")
    else:
        errors += _comparison_errors(values, shown)
    for index, value in enumerate(values):
        if complaints := meta.label_value(value):
            errors.append(f"values[{index}][{key}]: Invalid value: {quote(value)}: {'; '.join(complaints)}")
    if errors:
        texts = list(dict.fromkeys(errors))
        raise ValueError(texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]")
    return Requirement(key, operator, tuple(values))


def _comparison_errors(values: Sequence[str], shown: str) -> Iterable[str]:
    if len(values) != 1:
        yield f"values: Invalid value: {shown}: for 'Gt', 'Lt' operators, exactly one value is required"
    for index, value in enumerate(values):
        if _int64(value) is None:
            why = "for 'Gt', 'Lt' operators, the value must be an integer"
            yield f"values[{index}]: Invalid value: {quote(value)}: {why}"


class LabelSelector:
    """Conditions on labels that must all hold. Without conditions it matches everything."""

    __slots__ = ("_equal", "_hash", "_rest", "matches_nothing", "requirements")

    def __init__(self, requirements: Iterable[Requirement] = (), *, matches_nothing: bool = False) -> None:
        self.requirements = tuple(sorted(requirements, key=lambda r: r.key))
        self.matches_nothing = matches_nothing
        exact = [r for r in self.requirements if r.operator in ("=", "==")]
        self._equal = tuple((r.key, r.values[0]) for r in exact)
        self._rest = tuple(r for r in self.requirements if r.operator not in ("=", "=="))
        self._hash = hash((self.requirements, matches_nothing))

    @classmethod
    def parse(cls, text: str) -> "LabelSelector":
        """The string form: `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`. ValueError with Kubernetes' text."""
        return cls(_Parser(text).parse())

    @classmethod
    def from_dict(cls, selector: Mapping[str, Any] | None) -> "LabelSelector":
        """A metav1.LabelSelector. None matches nothing, an empty one everything."""
        if selector is None:
            return NOTHING
        requirements = [_requirement(k, "=", (v,)) for k, v in sorted((selector.get("matchLabels") or {}).items())]
        for expression in selector.get("matchExpressions") or ():
            operator = _DICT_OPERATORS.get(expression.get("operator") or "")
            if operator is None:
                raise ValueError(f"{quote(expression.get('operator') or '')} is not a valid label selector operator")
            requirements.append(_requirement(expression.get("key") or "", operator, expression.get("values") or ()))
        return cls(requirements)

    @classmethod
    def from_labels(cls, labels: Labels | None) -> "LabelSelector":
        """All of these labels, unchecked: the selector of a Service or ReplicationController."""
        return cls(Requirement(k, "=", (v,)) for k, v in (labels or {}).items())

    @property
    def is_empty(self) -> bool:
        return not self.requirements and not self.matches_nothing

    def matches(self, labels: Labels | None) -> bool:
        if self.matches_nothing:
            return False
        found = labels or _NO_LABELS
        for key, value in self._equal:
            if found.get(key) != value:
                return False
        return all(requirement.matches(found) for requirement in self._rest)

    @property
    def equal_labels(self) -> tuple[tuple[str, str], ...]:
        """The labels that it requires by `=`, with their values."""
        return self._equal

    def exact(self, key: str) -> str | None:
        """The one value that the selector requires of this label, or None."""
        for requirement in self.requirements:
            if requirement.key == key:
                is_exact = requirement.operator in ("=", "==", "in") and len(requirement.values) == 1
                return requirement.values[0] if is_exact else None
        return None

    def __str__(self) -> str:
        return ",".join(str(r) for r in self.requirements)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, LabelSelector)
            and self.requirements == other.requirements
            and self.matches_nothing == other.matches_nothing
        )

    def __hash__(self) -> int:
        return self._hash


EVERYTHING = LabelSelector()
NOTHING = LabelSelector(matches_nothing=True)


def format_label_selector(selector: Mapping[str, Any] | None) -> str:
    """A metav1.LabelSelector as tables show it: its string form, `<none>` when empty, `<error>` when invalid."""
    try:
        return str(LabelSelector.from_dict(selector)) or "<none>"
    except ValueError:
        return "<error>"


# --- the grammar of label selectors ----------------------------------------------------------------------------------

_SPACES = " \t\r\n"
_SYMBOLS = "=!(),><"
_TOKENS = {")", ",", "!", "==", "=", ">", "<", "!=", "("}
_END = ("end", "")


class _Parser:
    """Recursive descent over (kind, literal) tokens; kind is `id`, `end`, `error` or the literal itself."""

    def __init__(self, text: str) -> None:
        # A NUL ends the text, as it does in Kubernetes' lexer.
        self._tokens = _tokens(text.partition("\0")[0])
        self._position = 0

    def _peek(self, *, values: bool = True) -> tuple[str, str]:
        kind, literal = self._tokens[self._position]
        return ("id", literal) if values and kind in ("in", "notin") else (kind, literal)

    def _take(self, *, values: bool = True) -> tuple[str, str]:
        token = self._peek(values=values)
        if token != _END:
            self._position += 1
        return token

    def parse(self) -> list[Requirement]:
        found: list[Requirement] = []
        while True:
            kind, literal = self._peek()
            if kind == "end":
                return found
            if kind not in ("id", "!"):
                raise ValueError(f"found '{literal}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self._requirement())
            except ValueError as error:
                raise ValueError(f"unable to parse requirement: {error}") from None
            kind, literal = self._take()
            if kind == "end":
                return found
            if kind != ",":
                raise ValueError(f"found '{literal}', expected: ',' or 'end of string'")
            kind, literal = self._peek()
            if kind not in ("id", "!"):
                raise ValueError(f"found '{literal}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        kind, literal = self._take()
        is_negated = kind == "!"
        if is_negated:
            kind, literal = self._take()
        if kind != "id":
            raise ValueError(f"found '{literal}', expected: identifier")
        if complaints := meta.qualified_name(literal):
            raise ValueError(f"<nil>: Invalid value: {quote(literal)}: {'; '.join(complaints)}")
        if is_negated:
            return _requirement(literal, "!", ())
        if self._peek()[0] in ("end", ","):
            return _requirement(literal, "exists", ())
        operator = self._operator()
        values = self._list() if operator in ("in", "notin") else self._exact_value()
        return _requirement(literal, operator, sorted(values))

    def _operator(self) -> str:
        kind, literal = self._take(values=False)
        if kind in ("in", "notin", "=", "==", "!="):
            return kind
        if kind in (">", "<"):
            return "gt" if kind == ">" else "lt"
        raise ValueError(f"found '{literal}', expected: {', '.join(_OPERATORS)}")

    def _exact_value(self) -> set[str]:
        if self._peek()[0] in ("end", ","):
            return {""}
        kind, literal = self._take()
        if kind != "id":
            raise ValueError(f"found '{literal}', expected: identifier")
        return {literal}

    def _list(self) -> set[str]:
        kind, literal = self._take()
        if kind != "(":
            raise ValueError(f"found '{literal}' expected: '('")
        kind, literal = self._peek()
        if kind == ")":
            self._take()
            return {""}
        if kind not in ("id", ","):
            raise ValueError(f"found '{literal}', expected: ',', ')' or identifier")
        found = self._identifiers()
        if self._take()[0] != ")":
            raise ValueError(f"found '{literal}', expected: ')'")
        return found

    def _identifiers(self) -> set[str]:
        found: set[str] = set()
        while True:
            kind, literal = self._take()
            if kind == "id":
                found.add(literal)
                following, text = self._peek()
                if following == ")":
                    return found
                if following != ",":
                    raise ValueError(f"found '{text}', expected: ',' or ')'")
            elif kind == ",":
                following = self._peek()[0]
                if not found or following in (")", ","):
                    found.add("")
                if following == ")":
                    return found
            else:
                raise ValueError(f"found '{literal}', expected: ',', or identifier")


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    position, end = 0, len(text)
    while position < end:
        if text[position] in _SPACES:
            position += 1
            continue
        start = position
        if text[position] in _SYMBOLS:
            while position < end and text[position] in _SYMBOLS and text[start : position + 1] in _TOKENS:
                position += 1
            literal = text[start:position]
            found.append((literal, literal))
        else:
            while position < end and text[position] not in _SPACES and text[position] not in _SYMBOLS:
                position += 1
            literal = text[start:position]
            found.append((literal if literal in ("in", "notin") else "id", literal))
    found.append(_END)
    return found


# --- field selectors -------------------------------------------------------------------------------------------------

_FIELD_OPERATOR = re.compile("!=|==|=")


class FieldSelector:
    """Conditions `field=value` and `field!=value` that must all hold; a field that is missing has the value ""."""

    __slots__ = ("terms",)

    def __init__(self, terms: Iterable[tuple[str, bool, str]] = ()) -> None:
        self.terms = tuple(terms)
        """(field, whether it must be equal, value)"""

    @classmethod
    def parse(cls, text: str) -> "FieldSelector":
        """The string form, with `\\` before a comma, equals sign or backslash in a value. ValueError otherwise."""
        terms: list[tuple[str, bool, str]] = []
        for part in sorted(_split_terms(text)):
            if not part:
                continue
            operator = _FIELD_OPERATOR.search(part)
            if operator is None:
                raise ValueError(f"invalid selector: '{text}'; can't understand '{part}'")
            field, value = part[: operator.start()], _unescape(part[operator.end() :])
            if field or value:
                terms.append((field, operator[0] != "!=", value))
        return cls(terms)

    @property
    def is_empty(self) -> bool:
        return not self.terms

    def keys(self) -> set[str]:
        """The fields it looks at."""
        return {field for field, _, _ in self.terms}

    def exact(self, key: str) -> str | None:
        """The value that the selector requires of this field, or None."""
        return next((value for field, is_equal, value in self.terms if is_equal and field == key), None)

    def matches(self, fields: Mapping[str, str]) -> bool:
        return all((fields.get(field, "") == value) is is_equal for field, is_equal, value in self.terms)

    def __str__(self) -> str:
        return ",".join(f"{field}{'=' if is_equal else '!='}{_escape(v)}" for field, is_equal, v in self.terms)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSelector) and self.terms == other.terms

    def __hash__(self) -> int:
        return hash(self.terms)


ANY_FIELDS = FieldSelector()


def _split_terms(text: str) -> list[str]:
    terms, start, in_escape = [], 0, False
    for position, char in enumerate(text):
        if in_escape:
            in_escape = False
        elif char == "\\":
            in_escape = True
        elif char == ",":
            terms.append(text[start:position])
            start = position + 1
    return [*terms, text[start:]]


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def _unescape(value: str) -> str:
    out: list[str] = []
    chars = iter(value)
    for char in chars:
        if char == "\\":
            following = next(chars, "")
            if following not in ("\\", ",", "="):
                raise ValueError(f"invalid field selector: invalid escape sequence: \\{following}")
            out.append(following)
        elif char in ",=":
            raise ValueError(f"invalid field selector: unescaped character in value: {ord(char)}")
        else:
            out.append(char)
    return "".join(out)


# --- node selectors --------------------------------------------------------------------------------------------------


class NodeSelectorTerm:
    """A core/v1 NodeSelectorTerm. An empty term, and one that can't be understood, match no node."""

    __slots__ = ("_fields", "_labels", "error", "is_empty", "node_names")

    def __init__(self, term: Mapping[str, Any]) -> None:
        expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
        self.is_empty = not expressions and not fields
        self.error = ""
        self._labels: tuple[Requirement, ...] = ()
        self._fields: FieldSelector | None = None
        self.node_names = _names(fields)
        try:
            self._labels = tuple(_node_requirement(e) for e in expressions)
            self._fields = FieldSelector(_node_field(f) for f in fields) if fields else None
        except ValueError as error:
            self.error = str(error)

    def matches(self, labels: Labels | None, fields: Mapping[str, str]) -> bool:
        """Whether a node with these labels, and these fields (`metadata.name`), is meant."""
        if self.is_empty or self.error:
            return False
        if not all(r.matches(labels or _NO_LABELS) for r in self._labels):
            return False
        return self._fields is None or self._fields.matches(fields)


def _names(fields: Iterable[Mapping[str, Any]]) -> frozenset[str] | None:
    """The node names that all of the fields allow; None when they name none."""
    found: frozenset[str] | None = None
    for one in fields:
        if one.get("key") == "metadata.name" and one.get("operator") == "In":
            names = frozenset(one.get("values") or ())
            found = names if found is None else found & names
    return found


def _node_requirement(expression: Mapping[str, Any]) -> Requirement:
    operator = _NODE_OPERATORS.get(expression.get("operator") or "")
    if operator is None:
        raise ValueError(f"{quote(expression.get('operator') or '')} is not a valid node selector operator")
    return _requirement(expression.get("key") or "", operator, expression.get("values") or ())


def _node_field(expression: Mapping[str, Any]) -> tuple[str, bool, str]:
    operator, values = expression.get("operator") or "", expression.get("values") or []
    if operator not in ("In", "NotIn"):
        raise ValueError(f"{quote(operator)} is not a valid node field selector operator")
    if len(values) != 1:
        raise ValueError(
            f"unexpected number of value ({len(values)}) for node field selector operator {plain(operator)}"
        )
    return expression.get("key") or "", operator == "In", values[0]


class NodeSelector:
    """A core/v1 NodeSelector: a node is meant when any one of the terms matches it. Without terms none is."""

    __slots__ = ("terms",)

    def __init__(self, selector: Object | None) -> None:
        self.terms = tuple(NodeSelectorTerm(t) for t in (selector or {}).get("nodeSelectorTerms") or ())

    @property
    def node_names(self) -> frozenset[str] | None:
        """The only nodes that can match, by name; None when a term is not about names."""
        found: frozenset[str] = frozenset()
        for term in self.terms:
            if term.node_names is None:
                return None
            found |= term.node_names
        return found if self.terms else None

    def matches(self, labels: Labels | None, fields: Mapping[str, str]) -> bool:
        return any(term.matches(labels, fields) for term in self.terms)
