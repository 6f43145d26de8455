"""Deployments: defaults, checks, columns."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.objects.selectors import format_label_selector
from minikube_py.resources.apps.workload_rules import (
    SPEC,
    is_zero,
    validate_available,
    validate_collisions,
    validate_counts,
    validate_parts,
    validate_selector_and_template,
)
from minikube_py.resources.core import pod_warnings
from minikube_py.resources.core.pod_template import default_pod_template
from minikube_py.resources.fields import FieldErrors
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import (
    AGE,
    CONTAINERS,
    IMAGES,
    NAME,
    SELECTOR,
    age,
    container_cells,
    number,
    template_spec,
    text,
)
from minikube_py.resources.value_rules import validate_not_over_100_percent, validate_positive_int_or_percent

STRATEGIES = ("Recreate", "RollingUpdate")


def default(deployment: Object) -> None:
    spec = deployment.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    strategy = spec.setdefault("strategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    default_pod_template(spec.setdefault("template", {}))


def prepare_create(deployment: Object) -> None:
    deployment["status"] = {}


def validate(deployment: Object, errors: FieldErrors) -> None:
    spec = deployment.get("spec") or {}
    errors.not_negative(SPEC.child("replicas"), spec.get("replicas"))
    validate_selector_and_template(spec, "deployment", errors)
    _validate_strategy(spec.get("strategy") or {}, errors)
    validate_counts(spec, ("minReadySeconds", "revisionHistoryLimit"), SPEC, errors)
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None:
        errors.not_negative(SPEC.child("progressDeadlineSeconds"), deadline)
        if deadline <= (spec.get("minReadySeconds") or 0):
            errors.invalid(SPEC.child("progressDeadlineSeconds"), deadline, "must be greater than minReadySeconds")


def _validate_strategy(strategy: Object, errors: FieldErrors) -> None:
    type_, rolling = strategy.get("type", ""), strategy.get("rollingUpdate")
    at = SPEC.child("strategy", "rollingUpdate")
    if type_ == "Recreate":
        if rolling is not None:
            errors.forbidden(at, "may not be specified when strategy `type` is 'Recreate'")
    elif type_ != "RollingUpdate":
        errors.not_supported(SPEC.child("strategy", "type"), type_, STRATEGIES)
    elif rolling is None:
        errors.required(at, "this should be defaulted and never be nil")
    else:
        unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
        validate_positive_int_or_percent(unavailable, at.child("maxUnavailable"), errors)
        validate_positive_int_or_percent(surge, at.child("maxSurge"), errors)
        if is_zero(unavailable) and is_zero(surge):
            errors.invalid(at.child("maxUnavailable"), unavailable, "may not be 0 when `maxSurge` is 0")
        validate_not_over_100_percent(unavailable, at.child("maxUnavailable"), errors)


def validate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    validate(new, errors)
    fresh, stored = new.get("spec") or {}, old.get("spec") or {}
    errors.immutable(SPEC.child("selector"), fresh.get("selector"), stored.get("selector"))


def validate_status(new: Object, old: Object, errors: FieldErrors) -> None:
    status = new.get("status") or {}
    validate_parts(status, "replicas", ("updatedReplicas", "readyReplicas", "availableReplicas"), errors)
    validate_available(status, errors)
    validate_collisions(status, old.get("status") or {}, errors)


def row(deployment: Object) -> list[Any]:
    spec, status = deployment.get("spec") or {}, deployment.get("status") or {}
    return [
        meta.name(deployment),
        f"{status.get('readyReplicas') or 0}/{spec.get('replicas') or 0}",
        status.get("updatedReplicas") or 0,
        status.get("availableReplicas") or 0,
        age(deployment),
        *container_cells(template_spec(deployment)),
        format_label_selector(spec.get("selector")),
    ]


RULES = KindRules(
    warnings=pod_warnings.of_workload("spec", "template"),
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    validate_update=validate_update,
    validate_status=validate_status,
    columns=(
        NAME,
        text("Ready", "Number of the pod with ready state"),
        number("Up-to-date", "Total number of non-terminated pods that have the desired template spec."),
        number("Available", "Total number of available pods targeted by this deployment."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
    row=row,
    has_generation=True,
    status_keeps=("labels",),
    generation_metadata=("annotations",),  # they are copied to the replica sets
)
