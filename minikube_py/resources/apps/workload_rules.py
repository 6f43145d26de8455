"""Checks what the kinds of apps share: selectors that fit their template, replicas, rolling updates.

Source: kubernetes pkg/apis/apps/validation.
"""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.objects.selectors import LabelSelector
from minikube_py.resources.core.pod_template import validate_pod_template, validate_template_labels
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.value_rules import is_empty_selector, percent_value, validate_label_selector

SPEC, STATUS = Path("spec"), Path("status")


def validate_selector_and_template(spec: Object, what: str, errors: FieldErrors) -> None:
    """`spec.selector` and `spec.template` of a workload called `what` (deployment, daemonset, ...)."""
    selector, at = spec.get("selector"), SPEC.child("selector")
    before = len(errors.causes)
    if selector is None:
        errors.required(at)
    else:
        validate_label_selector(selector, at, errors)
        if is_empty_selector(selector):
            errors.invalid(at, selector, f"empty selector is invalid for {what}")
    template, where = spec.get("template"), SPEC.child("template")
    if template is None:
        errors.required(where)
        return
    if len(errors.causes) == before:
        labels = (template.get("metadata") or {}).get("labels") or {}
        selects = LabelSelector.from_dict(selector).matches(labels)
        validate_template_labels(template, selects, where, errors)
    validate_pod_template(_with_claimed_volumes(template, spec), where, errors)
    pod = template.get("spec") or {}
    policy = pod.get("restartPolicy", "")
    if policy != "Always":
        errors.not_supported(where.child("spec", "restartPolicy"), policy, ("Always",))
    if pod.get("activeDeadlineSeconds") is not None:
        shown = {"deployment": "ReplicaSet", "daemonset": "DaemonSet", "statefulset": "StatefulSet"}
        why = f"activeDeadlineSeconds in {shown.get(what, 'ReplicaSet')} is not Supported"
        errors.forbidden(where.child("spec", "activeDeadlineSeconds"), why)


def _with_claimed_volumes(template: Object, spec: Object) -> Object:
    """The template as its pods will be: the claims of a StatefulSet are volumes that containers can mount."""
    names = [meta.name(claim) for claim in spec.get("volumeClaimTemplates") or ()]
    if not names:
        return template
    pod = template.get("spec") or {}
    own = [volume for volume in pod.get("volumes") or () if volume.get("name") not in names]
    claimed = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in names]
    return {**template, "spec": {**pod, "volumes": [*own, *claimed]}}


def validate_counts(spec: Object, keys: tuple[str, ...], path: Path, errors: FieldErrors) -> None:
    for key in keys:
        errors.not_negative(path.child(key), spec.get(key))


def is_zero(value: Any) -> bool:
    """Whether a count or a percentage comes to nothing."""
    percent = percent_value(value)
    return percent == 0 if percent is not None else not value


def validate_parts(status: Object, whole: str, keys: tuple[str, ...], errors: FieldErrors) -> None:
    """Counts in a status are not negative, and none is greater than the whole."""
    total = status.get(whole) or 0
    validate_counts(status, (whole, *keys, "observedGeneration"), STATUS, errors)
    for key in keys:
        if (status.get(key) or 0) > total:
            errors.invalid(STATUS.child(key), status.get(key) or 0, f"cannot be greater than status.{whole}")


def validate_available(status: Object, errors: FieldErrors) -> None:
    available = status.get("availableReplicas") or 0
    if available > (status.get("readyReplicas") or 0):
        errors.invalid(STATUS.child("availableReplicas"), available, "cannot be greater than readyReplicas")


def validate_collisions(new: Object, old: Object, errors: FieldErrors) -> None:
    """The collision count only grows."""
    fresh, stored = new.get("collisionCount"), old.get("collisionCount")
    if fresh is not None:
        errors.not_negative(STATUS.child("collisionCount"), fresh)
    if stored is not None and (fresh is None or fresh < stored):
        errors.invalid(STATUS.child("collisionCount"), fresh, "cannot be decremented")
