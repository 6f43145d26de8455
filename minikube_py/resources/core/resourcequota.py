"""ResourceQuotas: names, scopes and amounts; columns."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.core.resource_names import (
    STANDARD_QUOTA,
    is_extended,
    is_native,
    is_quota_hugepage,
)
from minikube_py.resources.core.resource_rules import validate_resource_name, validate_resource_quantity
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, age, text
from minikube_py.resources.value_rules import IMMUTABLE

SPEC = Path("spec")
SCOPES = (
    "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating",
    "VolumeAttributesClass",
)  # fmt: skip
_POD_RESOURCES = frozenset(
    (
        "pods", "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage",
        "limits.cpu", "limits.memory", "limits.ephemeral-storage",
    )
)  # fmt: skip
_CONFLICTS = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_EXISTS_ONLY = ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "CrossNamespacePodAffinity")


def validate(quota: Object, errors: FieldErrors) -> None:
    spec, status = quota.get("spec") or {}, quota.get("status") or {}
    _validate_amounts(spec.get("hard"), SPEC.child("hard"), errors)
    _validate_scopes(spec, errors)
    _validate_selector(spec, errors)
    _validate_amounts(status.get("hard"), Path("status.hard"), errors)
    _validate_amounts(status.get("used"), Path("status.used"), errors)


def _validate_amounts(amounts: Object | None, path: Path, errors: FieldErrors) -> None:
    for name, amount in (amounts or {}).items():
        at = path.key(name)
        if validate_resource_name(name, at, errors) and "/" not in name:
            if name not in STANDARD_QUOTA and not is_quota_hugepage(name):
                errors.invalid(at, name, "must be a standard resource for quota")
        validate_resource_quantity(name, amount, at, errors)


def _validate_scopes(spec: Object, errors: FieldErrors) -> None:
    scopes, at = spec.get("scopes") or [], SPEC.child("scopes")
    for scope in scopes:
        if scope not in SCOPES:
            errors.invalid(at, scopes, "unsupported scope")
        for name in spec.get("hard") or ():
            if not _fits_scope(scope, name):
                errors.invalid(at, scopes, "unsupported scope applied to resource")
    for pair in _CONFLICTS:
        if set(pair) <= set(scopes):
            errors.invalid(at, scopes, "conflicting scopes")


def _fits_scope(scope: str, name: str) -> bool:
    if scope == "BestEffort":
        return name == "pods"
    if scope == "VolumeAttributesClass":
        return name in ("persistentvolumeclaims", "requests.storage") or "storageclass" in name
    if scope in SCOPES:
        return name in _POD_RESOURCES or is_quota_hugepage(name) or not is_native(name) or is_extended(name)
    return True


def _validate_selector(spec: Object, errors: FieldErrors) -> None:
    requirements = (spec.get("scopeSelector") or {}).get("matchExpressions") or []
    at = SPEC.child("scopeSelector", "matchExpressions")
    names = []
    for requirement in requirements:
        scope, operator = requirement.get("scopeName", ""), requirement.get("operator", "")
        values = requirement.get("values") or []
        names.append(scope)
        if scope not in SCOPES:
            errors.invalid(at.child("scopeName"), scope, "unsupported scope")
        for name in spec.get("hard") or ():
            if not _fits_scope(scope, name):
                errors.invalid(at, spec["scopeSelector"], "unsupported scope applied to resource")
        if scope in _EXISTS_ONLY and operator != "Exists":
            why = (
                "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating,"
            )
            why += " ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or"
            errors.invalid(at.child("operator"), operator, f"{why} ResourceQuotaScopeCrossNamespacePodAffinity")
        if operator in ("In", "NotIn"):
            if not values:
                errors.required(
                    at.child("values"),
                    "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
                )
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                errors.invalid(
                    at.child("values"),
                    values,
                    "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
                )
        else:
            errors.invalid(at.child("operator"), operator, "not a valid selector operator")
    for pair in _CONFLICTS:
        if set(pair) <= set(names):
            errors.invalid(at, spec.get("scopes"), "conflicting scopes")


def validate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    validate(new, errors)
    fresh, stored = ((o.get("spec") or {}).get("scopes") or [] for o in (new, old))
    if set(fresh) != set(stored):
        errors.invalid(SPEC.child("scopes"), fresh, IMMUTABLE)


def validate_status(new: Object, _old: Object, errors: FieldErrors) -> None:
    status = new.get("status") or {}
    _validate_amounts(status.get("hard"), Path("status.hard"), errors)
    _validate_amounts(status.get("used"), Path("status.used"), errors)


def row(quota: Object) -> list[Any]:
    status = quota.get("status") or {}
    used = status.get("used") or {}
    shown = {name: f"{name}: {used.get(name, '0')}/{hard}" for name, hard in sorted((status.get("hard") or {}).items())}
    limits = ", ".join(cell for name, cell in shown.items() if name.startswith("limits."))
    requests = ", ".join(cell for name, cell in shown.items() if not name.startswith("limits."))
    return [meta.name(quota), requests, limits, age(quota)]


RULES = KindRules(
    validate=validate,
    validate_update=validate_update,
    validate_status=validate_status,
    columns=(
        NAME,
        text("Request", "Request represents a minimum amount of cpu/memory that a container may consume."),
        text("Limit", "Limits control the maximum amount of cpu/memory that a container may use."),
        AGE,
    ),
    row=row,
)
