"""Compiles the x-kubernetes-validations rules of a custom schema when its definition is written.

Source: apiextensions-apiserver pkg/apis/apiextensions/validation, the CEL pages of the Kubernetes documentation.
"""

from minikube_py.objects.cel import engine
from minikube_py.resources.custom.rules import Rule, compile_rules
from minikube_py.resources.custom.structural import Structural
from minikube_py.resources.fields import FieldErrors, Path

NO_EVALUATOR = "rules need a CEL evaluator, which is not installed: install mkube with the extra `cel`"
COST_LIMIT = 10_000_000


def validate_expressions(place: Structural, path: Path, errors: FieldErrors, uncorrelated: Path | None = None) -> None:
    """uncorrelated is the place above below which no old value can be found for a new one."""
    for index, rule in enumerate(compile_rules(place)):
        _validate_rule(rule, path.child("x-kubernetes-validations").index(index), errors, uncorrelated)
    for key, child in sorted(place.properties.items()):
        validate_expressions(child, path.child("properties").key(key), errors, uncorrelated)
    if place.additional is not None:
        validate_expressions(place.additional, path.child("additionalProperties"), errors, uncorrelated)
    if place.items is not None:
        below = uncorrelated if uncorrelated is not None or place.list_type == "map" else path
        validate_expressions(place.items, path.child("items"), errors, below)


def _validate_rule(rule: Rule, path: Path, errors: FieldErrors, uncorrelated: Path | None) -> None:
    if not engine.is_available():
        errors.forbidden(path.child("rule"), NO_EVALUATOR)
        return
    if rule.estimated_cost > COST_LIMIT:
        errors.forbidden(path.child("rule"), _too_costly("estimated rule cost", rule.estimated_cost))
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


def _too_costly(what: str, cost: float) -> str:
    factor = cost / COST_LIMIT
    shown = "more than 100x" if factor > 100 else f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    return (
        f"{what} exceeds budget by factor of {shown} (try simplifying the rule, or adding maxItems, maxProperties, "
        "and maxLength where arrays, maps, and strings are declared)"
    )
