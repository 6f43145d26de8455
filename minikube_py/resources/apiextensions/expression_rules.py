"""Compiles the x-kubernetes-validations rules of a custom schema when its definition is written.

Source: apiextensions-apiserver pkg/apis/apiextensions/validation, the CEL pages of the Kubernetes documentation.
"""

from dataclasses import dataclass, field, replace

from minikube_py.objects.cel import engine
from minikube_py.resources.custom.rule_costs import most_elements, most_that_fit, rule_cost
from minikube_py.resources.custom.rules import Rule, compile_rules
from minikube_py.resources.custom.structural import Structural
from minikube_py.resources.fields import FieldErrors, Path

NO_EVALUATOR = "rules need a CEL evaluator, which is not installed: install mkube with the extra `cel`"
COST_LIMIT = 10_000_000
"""What one rule may cost for a whole object, as in Kubernetes."""
SCHEMA_COST_LIMIT = 100_000_000


@dataclass
class RuleCosts:
    """What all rules of one schema may cost together."""

    total: float = 0


@dataclass(frozen=True)
class Position:
    """Where in a schema a place is: how often its rules may run for one object (None: as often as it fits into one),
    and the place above below which no old value can be found for a new one.
    """

    costs: RuleCosts = field(default_factory=RuleCosts)
    runs: float | None = 1
    uncorrelated: Path | None = None


def validate_expressions(place: Structural, path: Path, errors: FieldErrors, position: Position | None = None) -> None:
    """The rules of a schema and of all below it."""
    if position is None:
        position = Position()
        validate_expressions(place, path, errors, position)
        if position.costs.total > SCHEMA_COST_LIMIT:
            text = _too_costly("x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema",
                               position.costs.total, SCHEMA_COST_LIMIT)  # fmt: skip
            errors.forbidden(path, text)
        return
    for index, rule in enumerate(compile_rules(place)):
        at = path.child("x-kubernetes-validations").index(index)
        _validate_rule(rule, at, errors, position.uncorrelated)
        _validate_cost(rule, place, at, errors, position)
    for key, child in sorted(place.properties.items()):
        validate_expressions(child, path.child("properties").key(key), errors, position)
    most = most_elements(place)
    below = replace(position, runs=position.runs * most if position.runs is not None and most is not None else None)
    if place.additional is not None:
        validate_expressions(place.additional, path.child("additionalProperties"), errors, below)
    if place.items is not None:
        if below.uncorrelated is None and place.list_type != "map":
            below = replace(below, uncorrelated=path)
        validate_expressions(place.items, path.child("items"), errors, below)


def _validate_cost(rule: Rule, place: Structural, path: Path, errors: FieldErrors, position: Position) -> None:
    for program, key, what in (
        (rule.program, "rule", "estimated rule cost"),
        (rule.message, "messageExpression", "estimated messageExpression cost"),
    ):
        if program is None:
            continue
        cost = rule_cost(program.tree, place) * (most_that_fit(place) if position.runs is None else position.runs)
        position.costs.total += cost
        if cost > COST_LIMIT:
            errors.forbidden(path.child(key), _too_costly(what, cost, COST_LIMIT))


def _validate_rule(rule: Rule, path: Path, errors: FieldErrors, uncorrelated: Path | None) -> None:
    if not engine.is_available():
        errors.forbidden(path.child("rule"), NO_EVALUATOR)
        return
    if rule.error:
        errors.invalid(path.child("rule"), dict(rule.raw), rule.error)
    if rule.message_error:
        errors.invalid(path.child("messageExpression"), dict(rule.raw), rule.message_error)
    if rule.uses_old_self and uncorrelated is not None:
        why = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
        errors.invalid(path.child("rule"), rule.text, why)
    if not rule.uses_old_self and not rule.error and rule.raw.get("optionalOldSelf") is not None:
        why = "may not be set if oldSelf is not used in rule"
        errors.invalid(path.child("optionalOldSelf"), rule.raw["optionalOldSelf"], why)


def _too_costly(what: str, cost: float, limit: int) -> str:
    factor = cost / limit
    shown = "more than 100x" if factor > 100 else f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    return (
        f"{what} exceeds budget by factor of {shown} (try simplifying the rule, or adding maxItems, maxProperties, "
        "and maxLength where arrays, maps, and strings are declared)"
    )
