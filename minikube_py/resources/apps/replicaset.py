"""ReplicaSets: defaults, checks, columns and field selectors."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.objects.selectors import format_label_selector
from minikube_py.resources.apps.workload_rules import (
    SPEC,
    validate_available,
    validate_counts,
    validate_parts,
    validate_selector_and_template,
)
from minikube_py.resources.core import pod_warnings
from minikube_py.resources.core.pod_template import default_pod_template
from minikube_py.resources.core.replicationcontroller import REPLICA_COLUMNS, replica_cells, replica_fields
from minikube_py.resources.fields import FieldErrors
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import age, container_cells, template_spec


def default(replica_set: Object) -> None:
    spec = replica_set.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    default_pod_template(spec.setdefault("template", {}))


def prepare_create(replica_set: Object) -> None:
    replica_set["status"] = {"replicas": 0}


def validate(replica_set: Object, errors: FieldErrors) -> None:
    spec = replica_set.get("spec") or {}
    validate_counts(spec, ("replicas", "minReadySeconds"), SPEC, errors)
    validate_selector_and_template(spec, "deployment", errors)


def validate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    validate(new, errors)
    fresh, stored = new.get("spec") or {}, old.get("spec") or {}
    errors.immutable(SPEC.child("selector"), fresh.get("selector"), stored.get("selector"))


def validate_status(new: Object, _old: Object, errors: FieldErrors) -> None:
    status = new.get("status") or {}
    validate_parts(status, "replicas", ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"), errors)
    validate_available(status, errors)


def row(obj: Object) -> list[Any]:
    selector = format_label_selector((obj.get("spec") or {}).get("selector"))
    return [meta.name(obj), *replica_cells(obj), age(obj), *container_cells(template_spec(obj)), selector]


RULES = KindRules(
    warnings=pod_warnings.of_workload("spec", "template"),
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    validate_update=validate_update,
    validate_status=validate_status,
    columns=REPLICA_COLUMNS,
    row=row,
    fields=replica_fields,
    has_generation=True,
)
