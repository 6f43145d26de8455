"""PodDisruptionBudgets: checks and columns."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, age, number, text
from minikube_py.resources.value_rules import (
    validate_conditions,
    validate_label_selector,
    validate_not_over_100_percent,
    validate_positive_int_or_percent,
)

SPEC, STATUS = Path("spec"), Path("status")
_COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


def prepare_create(budget: Object) -> None:
    budget["status"] = dict.fromkeys(_COUNTS, 0)


def validate(budget: Object, errors: FieldErrors) -> None:
    spec = budget.get("spec") or {}
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        errors.invalid(SPEC, spec, "minAvailable and maxUnavailable cannot be both set")
    for key in ("minAvailable", "maxUnavailable"):
        if spec.get(key) is not None:
            validate_positive_int_or_percent(spec[key], SPEC.child(key), errors)
            validate_not_over_100_percent(spec[key], SPEC.child(key), errors)
    validate_label_selector(spec.get("selector"), SPEC.child("selector"), errors)
    policy = spec.get("unhealthyPodEvictionPolicy")
    errors.optional_enum(SPEC.child("unhealthyPodEvictionPolicy"), policy, ("AlwaysAllow", "IfHealthyBudget"))


def validate_update(new: Object, _old: Object, errors: FieldErrors) -> None:
    validate(new, errors)


def validate_status(new: Object, _old: Object, errors: FieldErrors) -> None:
    status = new.get("status") or {}
    validate_conditions(status.get("conditions"), STATUS.child("conditions"), errors)
    for key in _COUNTS:
        errors.not_negative(STATUS.child(key), status.get(key))


def row(budget: Object) -> list[Any]:
    spec, status = budget.get("spec") or {}, budget.get("status") or {}
    bounds = ("N/A" if spec.get(key) is None else str(spec[key]) for key in ("minAvailable", "maxUnavailable"))
    return [meta.name(budget), *bounds, status.get("disruptionsAllowed") or 0, age(budget)]


RULES = KindRules(
    prepare_create=prepare_create,
    validate=validate,
    validate_update=validate_update,
    validate_status=validate_status,
    columns=(
        NAME,
        text("Min Available", "The minimum number of pods that must be available."),
        text("Max Unavailable", "The maximum number of pods that may be unavailable."),
        number("Allowed Disruptions", "Calculated number of pods that may be disrupted at this time."),
        AGE,
    ),
    row=row,
    has_generation=True,
    allows_unconditional_update=False,
)
