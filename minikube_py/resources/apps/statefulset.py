"""StatefulSets: defaults, checks, what may change, columns."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.apps.workload_rules import (
    SPEC,
    validate_available,
    validate_collisions,
    validate_counts,
    validate_parts,
    validate_selector_and_template,
)
from minikube_py.resources.core import pod_warnings
from minikube_py.resources.core.pod_template import default_pod_template
from minikube_py.resources.fields import FieldErrors, Path, is_same
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, CONTAINERS, IMAGES, NAME, age, container_cells, template_spec, text
from minikube_py.resources.value_rules import validate_not_over_100_percent, validate_positive_int_or_percent

_MUTABLE = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip
_IMMUTABLE_TEXT = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy',"
    " 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def default(stateful_set: Object) -> None:
    spec = stateful_set.setdefault("spec", {})
    if not spec.get("podManagementPolicy"):
        spec["podManagementPolicy"] = "OrderedReady"
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
    if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
        strategy["rollingUpdate"].setdefault("partition", 0)
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    for key in ("whenDeleted", "whenScaled"):
        if not retention.get(key):
            retention[key] = "Retain"
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    for claim in spec.get("volumeClaimTemplates") or ():
        claim["apiVersion"] = "v1"
        claim["kind"] = "PersistentVolumeClaim"
        claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
        claim.setdefault("status", {}).setdefault("phase", "Pending")
    default_pod_template(spec.setdefault("template", {}))


def prepare_create(stateful_set: Object) -> None:
    stateful_set["status"] = {"replicas": 0, "availableReplicas": 0}


def validate(stateful_set: Object, errors: FieldErrors) -> None:
    spec = stateful_set.get("spec") or {}
    policy, at = spec.get("podManagementPolicy", ""), SPEC.child("podManagementPolicy")
    if not policy:
        errors.required(at)
    elif policy not in ("OrderedReady", "Parallel"):
        errors.invalid(at, policy, "must be 'OrderedReady' or 'Parallel'")
    _validate_strategy(spec.get("updateStrategy") or {}, SPEC.child("updateStrategy"), errors)
    retention, at = spec.get("persistentVolumeClaimRetentionPolicy"), SPEC.child("persistentVolumeClaimRetentionPolicy")
    for key in ("whenDeleted", "whenScaled"):
        if retention is not None:
            errors.optional_enum(at.child(key), retention.get(key, ""), ("Retain", "Delete"))
    validate_counts(spec, ("replicas", "minReadySeconds", "revisionHistoryLimit"), SPEC, errors)
    if spec.get("ordinals") is not None:
        errors.not_negative(SPEC.child("ordinals", "start"), spec["ordinals"].get("start"))
    validate_selector_and_template(spec, "statefulset", errors)
    if spec.get("serviceName"):
        name = spec["serviceName"]
        errors.invalid_each(SPEC.child("serviceName"), name, meta.dns1123_label(name))


def _validate_strategy(strategy: Object, path: Path, errors: FieldErrors) -> None:
    type_, rolling = strategy.get("type", ""), strategy.get("rollingUpdate")
    if not type_:
        errors.required(path)
    elif type_ == "OnDelete":
        if rolling is not None:
            why = "only allowed for updateStrategy 'RollingUpdate'"
            errors.invalid(path.child("rollingUpdate"), rolling, why)
    elif type_ != "RollingUpdate":
        errors.invalid(path, strategy, "must be 'RollingUpdate' or 'OnDelete'")
    elif rolling is not None:
        at = path.child("rollingUpdate")
        errors.not_negative(at.child("partition"), rolling.get("partition"))
        unavailable = rolling.get("maxUnavailable")
        if unavailable is not None:
            validate_positive_int_or_percent(unavailable, at.child("maxUnavailable"), errors)
            validate_not_over_100_percent(unavailable, at.child("maxUnavailable"), errors)
            if unavailable in (0, "0%"):
                errors.invalid(at.child("maxUnavailable"), unavailable, "cannot be 0")


def validate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    validate(new, errors)
    fresh, stored = ({k: v for k, v in (o.get("spec") or {}).items() if k not in _MUTABLE} for o in (new, old))
    if not is_same(fresh, stored):
        errors.forbidden(SPEC, _IMMUTABLE_TEXT)


def validate_status(new: Object, old: Object, errors: FieldErrors) -> None:
    status = new.get("status") or {}
    keys = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    validate_parts(status, "replicas", keys, errors)
    validate_available(status, errors)
    validate_collisions(status, old.get("status") or {}, errors)


def row(stateful_set: Object) -> list[Any]:
    spec, status = stateful_set.get("spec") or {}, stateful_set.get("status") or {}
    ready = f"{status.get('readyReplicas') or 0}/{spec.get('replicas') or 0}"
    return [meta.name(stateful_set), ready, age(stateful_set), *container_cells(template_spec(stateful_set))]


RULES = KindRules(
    warnings=pod_warnings.of_workload("spec", "template"),
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    validate_update=validate_update,
    validate_status=validate_status,
    columns=(NAME, text("Ready", "Number of the pod with ready state"), AGE, CONTAINERS, IMAGES),
    row=row,
    has_generation=True,
)
