"""Runs the x-kubernetes-validations rules (CEL) of a custom schema over objects.

Costs are bounds, not Kubernetes' counts: how often the innermost loop of a rule could run over the largest list that
the schema allows (when the definition is written) or that the object has (when a rule is run).
Source: apiextensions-apiserver pkg/apiserver/schema/cel, the CEL pages of the Kubernetes documentation.
"""

import base64
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from minikube_py import clock
from minikube_py.objects.cel import engine, source
from minikube_py.objects.cel.engine import CelError, Program
from minikube_py.resources.custom.checks import MISSING, correlate
from minikube_py.resources.custom.field_paths import resolve_field_path
from minikube_py.resources.custom.structural import META_FIELDS, Structural
from minikube_py.resources.fields import FieldErrors, Path

_LOG = logging.getLogger(__name__)
BLOCKING = frozenset((
    "FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid",
))  # fmt: skip
"""Reasons after which rules are not run: they could not trust the object."""
PER_CALL_LIMIT = 1_000_000
_UNBOUNDED = 1_000_000
_MAX_MESSAGE = 5 * 1024
_VARIABLES = ("oldSelf", "self")


@dataclass(frozen=True)
class Rule:
    """One compiled rule. `error` says why it could not be compiled."""

    raw: Mapping[str, Any]
    text: str
    program: Program | None = None
    message: Program | None = None
    error: str = ""
    message_error: str = ""
    uses_old_self: bool = False
    depth: int = 0
    estimated_cost: float = 0
    field_path: str = ""

    @property
    def shown(self) -> str:
        return (self.raw.get("message") or "").strip() or self.text.strip()


def compile_rules(place: Structural) -> list[Rule]:
    return [_compile(raw, place) for raw in place.rules]


def _compile(raw: Mapping[str, Any], place: Structural) -> Rule:
    text = raw.get("rule") or ""
    message = (raw.get("messageExpression") or "").strip()
    uses_old, depth = source.names_variable(text, "oldSelf"), source.loop_depth(text)
    is_optional = bool(raw.get("optionalOldSelf"))
    program, error = _try_compile(text, place, is_optional, "BOOL", "cel expression must evaluate to a bool")
    found, message_error = None, ""
    if message:
        wrong = "messageExpression must evaluate to a string"
        found, message_error = _try_compile(message, place, False, "STRING", wrong)
        if message_error.startswith("compilation"):
            message_error = f"messageExpression {message_error}"
    path = ""
    if raw.get("fieldPath"):
        try:
            path = resolve_field_path(raw["fieldPath"], place)[0].text
        except ValueError:
            path = ""
    return Rule(
        raw, text, program, found, error, message_error, uses_old, depth,
        float(largest_list(place)) ** depth * 2 if depth else 1, path,
    )  # fmt: skip


def _try_compile(
    text: str, place: Structural, is_optional: bool, wanted: str, wrong: str
) -> tuple[Program | None, str]:
    try:
        program = engine.compile_expression(text, _VARIABLES)
        for variable in _VARIABLES:
            if variable == "self" or not is_optional:
                _check_fields(text, variable, place)
        if is_optional:
            # The evaluator can't be handed an optional, so the expression makes its own of a list of none or one.
            bound = f"cel.bind(oldSelf, size(oldSelf) > 0 ? optional.of(oldSelf[0]) : optional.none(), ({text}))"
            program = engine.compile_expression(bound, _VARIABLES)
    except CelError as error:
        return None, f"compilation failed: {error}"
    return (program, "") if program.type_name in (wanted, "DYN") else (None, wrong)


def _check_fields(text: str, variable: str, place: Structural) -> None:
    """Fields that the schema does not declare can't be used. Raises CelError."""
    for chain in source.selections(text, variable):
        here: Structural | None = place
        for name in chain:
            if here is None or not here.properties or here.type != "object":
                break
            escaped: dict[str, Structural | None] = {
                source.escape(key): child for key, child in here.properties.items()
            }
            escaped = {**dict.fromkeys(META_FIELDS, None), **escaped}
            if name not in escaped:
                column = text.find(f".{name}") + 1
                pointer = "." * (column - 1) + "^"
                raise CelError(f"ERROR: <input>:1:{column}: undefined field '{name}'\n | {text}\n | {pointer}")
            here = escaped[name]


def largest_list(place: Structural) -> int:
    """The length of the longest list or map that the schema allows at or below a place."""
    below = [*place.properties.values(), *filter(None, (place.items, place.additional))]
    longest = max((largest_list(child) for child in below), default=1)
    if place.type == "array":
        longest = max(longest, place.raw.get("maxItems") or _UNBOUNDED)
    elif place.allows_additional or place.preserve:
        longest = max(longest, place.raw.get("maxProperties") or _UNBOUNDED)
    return longest


@dataclass(frozen=True)
class RuleSet:
    """The rules of a place and of all below it. False when there are none."""

    place: Structural
    rules: tuple[Rule, ...] = ()
    properties: Mapping[str, "RuleSet"] | None = None
    items: "RuleSet | None" = None
    additional: "RuleSet | None" = None

    def __bool__(self) -> bool:
        return bool(self.rules or self.properties or self.items or self.additional)

    @staticmethod
    def of(place: Structural) -> "RuleSet":
        inner = {key: RuleSet.of(child) for key, child in place.properties.items()}
        items = RuleSet.of(place.items) if place.items is not None else None
        additional = RuleSet.of(place.additional) if place.additional is not None else None
        return RuleSet(
            place, tuple(compile_rules(place)), {key: child for key, child in inner.items() if child},
            items if items else None, additional if additional else None,
        )  # fmt: skip

    def validate(self, new: Any, old: Any, errors: FieldErrors, path: Path | None = None) -> None:
        """old is None, or MISSING, where there is nothing to compare with."""
        if new is None:
            return
        path = path or Path()
        before = None if old is MISSING else old
        if self.rules:
            _run(self, new, before, path, errors)
        if isinstance(new, dict):
            held = before if isinstance(before, dict) else {}
            for key, value in new.items():
                inner = (self.properties or {}).get(key)
                if inner is not None:
                    inner.validate(value, held.get(key), errors, path.child(key))
                elif self.additional is not None and key not in self.place.properties:
                    self.additional.validate(value, held.get(key), errors, path.key(key))
        elif isinstance(new, list) and self.items is not None:
            find = correlate(self.place, before)
            for index, item in enumerate(new):
                self.items.validate(item, find(item), errors, path.index(index))


def _run(rules: RuleSet, new: Any, old: Any, path: Path, errors: FieldErrors) -> None:
    place = rules.place
    current, before = to_cel(new, place), to_cel(old, place)
    size = _size(new)
    for rule in rules.rules:
        is_optional = bool(rule.raw.get("optionalOldSelf"))
        if rule.uses_old_self and old is None and not is_optional:
            continue
        held = ([] if old is None else [before]) if is_optional else before
        variables = {"self": current, "oldSelf": held}
        if rule.depth and size**rule.depth > PER_CALL_LIMIT:
            why = f"call cost exceeds limit for rule: {rule.shown}"
            errors.invalid(path, place.type, f"'{why}': no further validation rules will be run due to {why}")
            return
        if rule.program is None:
            errors.invalid(path, place.type, f"rule compile error: {rule.error}")
            continue
        try:
            is_satisfied = rule.program.evaluate(variables) is True
        except CelError as error:
            errors.invalid(path, place.type, f"{error} evaluating rule: {rule.shown}")
            continue
        if not is_satisfied and not (not rule.uses_old_self and old is not None and old == new):
            _complain(rule, new, place, path, variables, errors)


def _complain(
    rule: Rule, value: Any, place: Structural, path: Path, variables: Mapping[str, Any], errors: FieldErrors
) -> None:
    here = Path(f"{path.text}{'.' if path.text else ''}{rule.field_path}") if rule.field_path else path
    detail = _message(rule, variables)
    reason = rule.raw.get("reason") or "FieldValueInvalid"
    is_tree = place.type in ("object", "array")
    if reason == "FieldValueForbidden":
        errors.forbidden(here, detail)
    elif reason == "FieldValueRequired":
        errors.required(here, detail)
    elif reason == "FieldValueDuplicate":
        if is_tree:
            errors.add(reason, here, "Duplicate value")
        else:
            errors.duplicate(here, value)
    elif is_tree:
        errors.add(reason, here, f"Invalid value: {detail}")
    else:
        errors.invalid(here, value, detail)


def _message(rule: Rule, variables: Mapping[str, Any]) -> str:
    if rule.message is not None:
        try:
            text = rule.message.evaluate(variables)
        except CelError as error:
            _LOG.debug("messageExpression failed: %s", error)
        else:
            text = text.strip() if isinstance(text, str) else ""
            if text and "\n" not in text and len(text) <= _MAX_MESSAGE:
                return str(text)
    return (rule.raw.get("message") or "").strip() or f"failed rule: {rule.text.strip()}"


def _size(value: Any) -> int:
    """The length of the longest list or map in a value."""
    if isinstance(value, dict):
        return max(len(value), max((_size(child) for child in value.values()), default=0))
    if isinstance(value, list):
        return max(len(value), max((_size(child) for child in value), default=0))
    return 1


def to_cel(value: Any, place: Structural | None) -> Any:
    """A value as rules see it: escaped field names, times and bytes by format, of metadata only the names."""
    if isinstance(value, dict):
        seen = {}
        for key, child in value.items():
            found = place.properties.get(key) if place is not None else None
            if found is None and place is not None and place.additional is not None:
                seen[key] = to_cel(child, place.additional)
            elif key == "metadata" and isinstance(child, dict) and place is not None and place.properties:
                seen[key] = {name: child[name] for name in ("name", "generateName") if name in child}
            else:
                seen[(source.escape(key) or key) if found is not None else key] = to_cel(child, found)
        return seen
    if isinstance(value, list):
        return [to_cel(item, place.items if place is not None else None) for item in value]
    if isinstance(value, str) and place is not None and place.type == "string" and place.raw.get("format"):
        return _formatted(value, place.raw["format"])
    return float(value) if place is not None and place.type == "number" and type(value) is int else value


def _formatted(value: str, name: str) -> Any:
    try:
        if name == "date-time":
            return clock.parse(value)
        if name == "date":
            return clock.parse(f"{value}T00:00:00Z")
        if name == "byte":
            return base64.b64decode(value)
        if name == "duration":
            return _duration(value)
    except ValueError:
        return value
    return value


def _duration(text: str) -> timedelta:
    found: timedelta = engine.compile_expression("duration(self)", ("self",)).evaluate({"self": text})
    return found
