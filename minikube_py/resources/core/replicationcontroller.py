"""ReplicationControllers: defaults, checks, columns and field selectors."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.core import pod_warnings
from minikube_py.resources.core.pod_template import (
    default_pod_template,
    validate_pod_template,
    validate_template_labels,
)
from minikube_py.resources.fields import FieldErrors, Path
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
)

SPEC, STATUS = Path("spec"), Path("status")
REPLICA_COLUMNS = (
    NAME,
    number("Desired", "The number of desired replicas."),
    number("Current", "The most recently observed number of replicas."),
    number("Ready", "The number of ready replicas."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
)


def default(controller: Object) -> None:
    spec = controller.setdefault("spec", {})
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if labels:
        if not spec.get("selector"):
            spec["selector"] = dict(labels)
        metadata = controller.setdefault("metadata", {})
        if not metadata.get("labels"):
            metadata["labels"] = dict(labels)
    spec.setdefault("replicas", 1)
    default_pod_template(spec.get("template"))


def prepare_create(controller: Object) -> None:
    controller["status"] = {"replicas": 0}


def validate(controller: Object, errors: FieldErrors) -> None:
    spec = controller.get("spec") or {}
    errors.not_negative(SPEC.child("minReadySeconds"), spec.get("minReadySeconds"))
    selector = spec.get("selector") or {}
    if not selector:
        errors.required(SPEC.child("selector"))
    errors.not_negative(SPEC.child("replicas"), spec.get("replicas"))
    template = spec.get("template")
    if template is None:
        errors.required(SPEC.child("template"))
        return
    at = SPEC.child("template")
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector:
        validate_template_labels(template, selector.items() <= labels.items(), at, errors)
    validate_pod_template(template, at, errors)
    validate_replicated_policy(template, spec.get("replicas"), at, errors)


def validate_replicated_policy(template: Object, replicas: int | None, path: Path, errors: FieldErrors) -> None:
    """Replicated pods restart always and have no deadline of their own."""
    spec = template.get("spec") or {}
    policy = spec.get("restartPolicy", "")
    if policy != "Always":
        errors.not_supported(path.child("spec", "restartPolicy"), policy, ("Always",))
    if spec.get("activeDeadlineSeconds") is not None:
        at = path.child("spec", "activeDeadlineSeconds")
        errors.forbidden(at, "activeDeadlineSeconds in ReplicaSet is not Supported")


def validate_update(new: Object, _old: Object, errors: FieldErrors) -> None:
    validate(new, errors)


def validate_replica_status(new: Object, _old: Object, errors: FieldErrors) -> None:
    """Counts in a status are not negative and no part is greater than the whole."""
    status = new.get("status") or {}
    total = status.get("replicas") or 0
    keys = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration")
    for key in keys:
        errors.not_negative(STATUS.child(key), status.get(key))
    for key in keys[1:4]:
        if (status.get(key) or 0) > total:
            errors.invalid(STATUS.child(key), status.get(key) or 0, "cannot be greater than status.replicas")
    if (status.get("availableReplicas") or 0) > (status.get("readyReplicas") or 0):
        at = STATUS.child("availableReplicas")
        errors.invalid(at, status.get("availableReplicas") or 0, "cannot be greater than readyReplicas")


def replica_cells(obj: Object) -> list[Any]:
    """Desired, current and ready."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return [spec.get("replicas") or 0, status.get("replicas") or 0, status.get("readyReplicas") or 0]


def row(obj: Object) -> list[Any]:
    selector = format_labels((obj.get("spec") or {}).get("selector"))
    return [meta.name(obj), *replica_cells(obj), age(obj), *container_cells(template_spec(obj)), selector]


def replica_fields(obj: Object) -> dict[str, str]:
    return {"status.replicas": str((obj.get("status") or {}).get("replicas") or 0)}


RULES = KindRules(
    warnings=pod_warnings.of_workload("spec", "template"),
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    validate_update=validate_update,
    validate_status=validate_replica_status,
    columns=REPLICA_COLUMNS,
    row=row,
    fields=replica_fields,
    has_generation=True,
)
