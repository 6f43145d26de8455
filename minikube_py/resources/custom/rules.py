"""Runs the x-kubernetes-validations rules (CEL) of a custom schema over objects.

The cost of running rules is counted.
Source: apiextensions-apiserver pkg/apiserver/schema/cel, the CEL pages of the Kubernetes documentation.
"""

import base64
import logging
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from minikube_py import clock
from minikube_py.objects.cel import source
from minikube_py.objects.cel.engine import PER_CALL_LIMIT, CelError, CostExceeded, Environment, Program
from minikube_py.objects.cel.values import NONE, Optional, optional_of
from minikube_py.resources.cel_types import SchemaTypes
from minikube_py.resources.custom.checks import MISSING, correlate
from minikube_py.resources.custom.field_paths import resolve_field_path
from minikube_py.resources.custom.structural import Structural
from minikube_py.resources.fields import FieldErrors, Path

_LOG = logging.getLogger(__name__)
BLOCKING = frozenset((
    "FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid",
))  # fmt: skip
"""Reasons after which rules are not run: they could not trust the object."""
BUDGET = 10_000_000
"""What all rules of an object may cost together, as in Kubernetes."""
_MAX_MESSAGE = 5 * 1024
PATIENCE: ContextVar[int] = ContextVar("patience", default=BUDGET)
"""What the rules of an object may cost before TooLong ends them, set by who can run them elsewhere then."""


class TooLong(Exception):
    """The rules take longer than there is patience for; nothing is wrong with them."""


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
    field_path: str = ""

    @property
    def shown(self) -> str:
        return (self.raw.get("message") or "").strip() or self.text.strip()


def compile_rules(place: Structural) -> list[Rule]:
    return [_compile(raw, place) for raw in place.rules]


def _compile(raw: Mapping[str, Any], place: Structural) -> Rule:
    text = raw.get("rule") or ""
    message = (raw.get("messageExpression") or "").strip()
    uses_old = source.names_variable(text, "oldSelf")
    is_optional = bool(raw.get("optionalOldSelf"))
    program, error = _try_compile(text, place, is_optional, "bool", "cel expression must evaluate to a bool")
    found, message_error = None, ""
    if message:
        wrong = "messageExpression must evaluate to a string"
        found, message_error = _try_compile(message, place, False, "string", wrong)
        if message_error.startswith("compilation"):
            message_error = f"messageExpression {message_error}"
    path = ""
    if raw.get("fieldPath"):
        try:
            path = resolve_field_path(raw["fieldPath"], place)[0].text
        except ValueError:
            path = ""
    return Rule(raw, text, program, found, error, message_error, uses_old, path)


def _try_compile(
    text: str, place: Structural, is_optional: bool, wanted: str, wrong: str
) -> tuple[Program | None, str]:
    types = SchemaTypes()
    scope = types.rule_scope(place.raw, "selfType", is_resource=bool(place.properties) and place.type == "object")
    before = optional_of(scope) if is_optional else scope
    try:
        program = Environment({"self": scope, "oldSelf": before}, structs=types).compile(text)
    except CelError as error:
        return None, f"compilation failed: {error}"
    return (program, "") if program.type.name in (wanted, "dyn") else (None, wrong)


@dataclass
class Budget:
    """What the rules of one object may still cost; negative: it is used up. `patience` is what they may cost where they
    are run now."""

    left: int = BUDGET
    patience: int = field(default_factory=lambda: PATIENCE.get())


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
        self._walk(new, old, errors, path or Path(), Budget())

    def _walk(self, new: Any, old: Any, errors: FieldErrors, path: Path, budget: Budget) -> None:
        if new is None or budget.left < 0:
            return
        before = None if old is MISSING else old
        if self.rules:
            _run(self, (new, before), path, errors, budget)
        if isinstance(new, dict):
            held = before if isinstance(before, dict) else {}
            for key, value in new.items():
                inner = (self.properties or {}).get(key)
                if inner is not None:
                    inner._walk(value, held.get(key), errors, path.child(key), budget)
                elif self.additional is not None and key not in self.place.properties:
                    self.additional._walk(value, held.get(key), errors, path.key(key), budget)
        elif isinstance(new, list) and self.items is not None:
            find = correlate(self.place, before)
            for index, item in enumerate(new):
                self.items._walk(item, find(item), errors, path.index(index), budget)


def _run(rules: RuleSet, states: tuple[Any, Any], path: Path, errors: FieldErrors, budget: Budget) -> None:
    place = rules.place
    new, old = states
    current, before = to_cel(new, place), to_cel(old, place)
    for rule in rules.rules:
        is_optional = bool(rule.raw.get("optionalOldSelf"))
        if rule.uses_old_self and old is None and not is_optional:
            continue
        held = (NONE if old is None else Optional.of(before)) if is_optional else before
        variables = {"self": current, "oldSelf": held}
        if rule.program is None:
            errors.invalid(path, place.type, f"rule compile error: {rule.error}")
            continue
        try:
            limit = min(PER_CALL_LIMIT, budget.left)
            found, cost = rule.program.measure(variables, min(limit, budget.patience))
            budget.left -= cost
            budget.patience -= cost
            is_satisfied = found is True
        except CostExceeded:
            if budget.patience < limit:
                raise TooLong from None
            why = f"call cost exceeds limit for rule: {rule.shown}"
            if budget.left < PER_CALL_LIMIT:
                why = "validation failed due to running out of cost budget"
            errors.invalid(path, place.type, f"'{why}': no further validation rules will be run due to {why}")
            budget.left = -1
            return
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
            from minikube_py.objects.cel.library.standard import to_duration  # noqa: PLC0415  heavy, for few schemas

            return to_duration(value)
    except (CelError, ValueError):
        return value
    return value
