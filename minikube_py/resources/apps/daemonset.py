"""DaemonSets: defaults, checks, columns."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.objects.selectors import format_label_selector
from minikube_py.resources.apps.workload_rules import (
    SPEC,
    STATUS,
    is_zero,
    validate_collisions,
    validate_counts,
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
    format_labels,
    number,
    template_spec,
    text,
)
from minikube_py.resources.value_rules import validate_not_over_100_percent, validate_positive_int_or_percent

COUNTS = (
    "desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable",
)  # fmt: skip


def default(daemon_set: Object) -> None:
    spec = daemon_set.setdefault("spec", {})
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", 10)
    default_pod_template(spec.setdefault("template", {}))


def prepare_create(daemon_set: Object) -> None:
    daemon_set["status"] = {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    }


def validate(daemon_set: Object, errors: FieldErrors) -> None:
    spec = daemon_set.get("spec") or {}
    validate_selector_and_template(spec, "daemonset", errors)
    validate_counts(spec, ("minReadySeconds", "revisionHistoryLimit"), SPEC, errors)
    strategy, at = spec.get("updateStrategy") or {}, SPEC.child("updateStrategy")
    if strategy.get("type") == "OnDelete":
        return
    if strategy.get("type") != "RollingUpdate":
        errors.not_supported(at, strategy.get("type", ""), ("RollingUpdate", "OnDelete"))
    elif strategy.get("rollingUpdate") is None:
        errors.required(at.child("rollingUpdate"))
    else:
        rolling, at = strategy["rollingUpdate"], at.child("rollingUpdate")
        unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
        for key in ("maxUnavailable", "maxSurge"):
            validate_positive_int_or_percent(rolling.get(key), at.child(key), errors)
            validate_not_over_100_percent(rolling.get(key), at.child(key), errors)
        if is_zero(unavailable) and is_zero(surge):
            errors.required(at.child("maxUnavailable"), "cannot be 0 when maxSurge is 0")
        if not is_zero(unavailable) and not is_zero(surge):
            errors.invalid(at.child("maxSurge"), surge, "may not be set when maxUnavailable is non-zero")


def validate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    validate(new, errors)
    fresh, stored = new.get("spec") or {}, old.get("spec") or {}
    errors.immutable(SPEC.child("selector"), fresh.get("selector"), stored.get("selector"))


def validate_status(new: Object, old: Object, errors: FieldErrors) -> None:
    status = new.get("status") or {}
    validate_counts(status, (*COUNTS, "numberMisscheduled", "numberUnavailable", "observedGeneration"), STATUS, errors)
    validate_collisions(status, old.get("status") or {}, errors)


def row(daemon_set: Object) -> list[Any]:
    spec, status = daemon_set.get("spec") or {}, daemon_set.get("status") or {}
    pod = template_spec(daemon_set)
    return [
        meta.name(daemon_set),
        *(status.get(key) or 0 for key in COUNTS),
        format_labels(pod.get("nodeSelector")),
        age(daemon_set),
        *container_cells(pod),
        format_label_selector(spec.get("selector")),
    ]


RULES = KindRules(
    warnings=lambda obj: pod_warnings.of_template(obj, "spec", "template"),
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    validate_update=validate_update,
    validate_status=validate_status,
    columns=(
        NAME,
        number("Desired", "The total number of nodes that should be running the daemon pod."),
        number("Current", "The number of nodes that are running at least 1 daemon pod and are supposed to."),
        number("Ready", "The number of nodes that should be running the daemon pod and have it ready."),
        number("Up-to-date", "The total number of nodes that are running updated daemon pod."),
        number("Available", "The number of nodes that should be running the daemon pod and have it available."),
        text("Node Selector", "The nodes that the pods may run on."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
    row=row,
    has_generation=True,
)
