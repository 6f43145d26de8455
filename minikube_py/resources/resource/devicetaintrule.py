"""DeviceTaintRules: when a taint was added, and what one may say.

Source: kubernetes pkg/registry/resource/devicetaintrule, pkg/apis/resource/validation.
"""

from typing import Any

from minikube_py import clock
from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, age
from minikube_py.resources.value_rules import (
    validate_dns1123_label,
    validate_dns1123_subdomain,
    validate_label_name,
)

_EFFECTS = ("NoExecute", "NoSchedule", "None")


def _taint(rule: Object) -> Object:
    found: Object = (rule.get("spec") or {}).get("taint") or {}
    return found


def default(rule: Object) -> None:
    taint = _taint(rule)
    if taint and not taint.get("timeAdded"):
        taint["timeAdded"] = clock.rfc3339()


def prepare_update(new: Object, old: Object) -> None:
    """timeAdded says since when the taint has this effect, unless a client says otherwise."""
    fresh, stored = _taint(new), _taint(old)
    if fresh.get("effect") != stored.get("effect") and fresh.get("timeAdded") == stored.get("timeAdded"):
        fresh["timeAdded"] = clock.rfc3339()


def validate(rule: Object, errors: FieldErrors) -> None:
    spec, at = rule.get("spec") or {}, Path("spec")
    _validate_selector(spec.get("deviceSelector") or {}, at.child("deviceSelector"), errors)
    taint, where = spec.get("taint") or {}, at.child("taint")
    if not taint.get("key"):
        errors.required(where.child("key"))
    else:
        validate_label_name(taint["key"], where.child("key"), errors)
    if taint.get("value"):
        errors.invalid_each(where.child("value"), taint["value"], meta.label_value(taint["value"]))
    if not taint.get("effect"):
        errors.required(where.child("effect"))
    elif taint["effect"] not in _EFFECTS:
        errors.not_supported(where.child("effect"), taint["effect"], _EFFECTS)


def _validate_selector(selector: Object, at: Path, errors: FieldErrors) -> None:
    if selector.get("driver") is not None:
        validate_dns1123_subdomain(selector["driver"], at.child("driver"), errors)
    if selector.get("device") is not None:
        validate_dns1123_label(selector["device"], at.child("device"), errors)
    for part in (selector.get("pool") or "").split("/") if selector.get("pool") is not None else ():
        validate_dns1123_subdomain(part, at.child("pool"), errors)


def row(rule: Object) -> list[Any]:
    return [meta.name(rule), age(rule)]


RULES = KindRules(
    default=default,
    prepare_update=prepare_update,
    validate=validate,
    columns=(NAME, AGE),
    row=row,
    has_generation=True,
    allows_unconditional_update=False,
    status_changes_metadata=False,
)
