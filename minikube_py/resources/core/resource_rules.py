"""Checks resource requests, limits and claims of containers and pods.

Source: kubernetes pkg/apis/core/validation (ValidateContainerResourceRequirements).
"""

from minikube_py.objects import meta, quantity
from minikube_py.objects.errors import Object
from minikube_py.resources.core.resource_names import (
    is_extended,
    is_hugepage,
    is_integer,
    is_overcommit_allowed,
    is_standard_container,
)
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.value_rules import validate_not_negative_quantity

POD_LEVEL = ("cpu", "memory")


def validate_resource_requirements(
    resources: Object | None, claim_names: set[str] | None, path: Path, errors: FieldErrors
) -> None:
    """Requests, limits and claims of a container."""
    if not resources:
        return
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    _validate_amounts(limits, path.child("limits"), errors)
    for name, amount in requests.items():
        _validate_amount(name, amount, path.child("requests"), errors)
        if name in limits:
            _validate_against_limit(name, amount, limits[name], path.child("requests"), errors)
        elif not is_overcommit_allowed(name):
            errors.required(path.child("limits"), "Limit must be set for non overcommitable resources")
    names = set(limits) | set(requests)
    if any(is_hugepage(name) for name in names) and not names & {"cpu", "memory"}:
        errors.forbidden(path, "HugePages require cpu or memory")
    _validate_claims(resources.get("claims") or (), claim_names or set(), path.child("claims"), errors)


def _validate_amounts(amounts: Object, path: Path, errors: FieldErrors) -> None:
    for name, amount in amounts.items():
        _validate_amount(name, amount, path, errors)


def _validate_amount(name: str, amount: str, path: Path, errors: FieldErrors) -> None:
    validate_container_resource_name(name, path, errors)
    validate_resource_quantity(name, amount, path.key(name), errors)
    if is_hugepage(name):
        _validate_hugepage(name, amount, path, errors)


def _validate_hugepage(name: str, amount: str, path: Path, errors: FieldErrors) -> None:
    try:
        size = quantity.value(name.removeprefix("hugepages-"))
    except ValueError:
        errors.invalid(path, name, "invalid huge page size")
        return
    if size <= 0 or quantity.value(amount) % size != 0:
        why = f"{amount} is not positive integer multiple of {size}"
        errors.invalid(path.key(name), amount, why)


def _validate_against_limit(name: str, amount: str, limit: str, path: Path, errors: FieldErrors) -> None:
    asked, allowed = quantity.parse(amount), quantity.parse(limit)
    if asked.nanos != allowed.nanos and not is_overcommit_allowed(name):
        errors.invalid(path, amount, f"must be equal to {name} limit of {limit}")
    elif asked.nanos > allowed.nanos:
        errors.invalid(path, amount, f"must be less than or equal to {name} limit of {limit}")


def _validate_claims(claims: list[Object] | tuple[()], known: set[str], path: Path, errors: FieldErrors) -> None:
    seen: set[tuple[str, str]] = set()
    for index, claim in enumerate(claims):
        at = path.index(index)
        name, request = claim.get("name", ""), claim.get("request", "")
        if not name:
            errors.required(at.child("name"))
            continue
        if (name, request) in seen:
            errors.duplicate(at, f"{name}/{request}" if request else name)
        seen.add((name, request))
        if request:
            errors.invalid_each(at.child("request"), request, meta.dns1123_label(request))
        if name not in known:
            errors.not_found(at.child("name"), name)


def validate_resource_name(name: str, path: Path, errors: FieldErrors) -> bool:
    """A resource name in general; says whether it is well formed."""
    problems = meta.qualified_name(name)
    errors.invalid_each(path, name, problems)
    return not problems


def validate_container_resource_name(name: str, path: Path, errors: FieldErrors) -> None:
    if not validate_resource_name(name, path, errors):
        return
    if "/" not in name:
        if not is_standard_container(name):
            errors.invalid(path, name, "must be a standard resource for containers")
    elif "kubernetes.io/" not in name and not is_extended(name):
        errors.invalid(path, name, "doesn't follow extended resource name standard")


def validate_resource_quantity(name: str, amount: str, path: Path, errors: FieldErrors) -> None:
    validate_not_negative_quantity(amount, path, errors)
    if is_integer(name) and quantity.milli(amount) % 1000 != 0:
        errors.invalid(path, amount, "must be an integer")


def validate_pod_resources(spec: Object, aggregate: dict[str, str], path: Path, errors: FieldErrors) -> None:
    """Requests and limits of the whole pod against those of its containers."""
    resources = spec.get("resources")
    if resources is None:
        return
    if resources.get("claims"):
        errors.forbidden(path.child("claims"), "claims cannot be set for Resources at pod-level")
    for key in ("limits", "requests"):
        for name in resources.get(key) or {}:
            if name not in POD_LEVEL and not is_hugepage(name):
                errors.not_supported(path.child(key).key(name), name, POD_LEVEL)
    validate_resource_requirements({**resources, "claims": []}, None, path, errors)
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for name, amount in aggregate.items():
        asked = requests.get(name, "0")
        if name in POD_LEVEL and (requests or limits) and quantity.parse(amount).nanos > quantity.parse(asked).nanos:
            why = f"must be greater than or equal to aggregate container requests of {amount}"
            errors.invalid(path.child("requests").key(name), asked, why)
    for index, container in enumerate(spec.get("containers") or ()):
        own = (container.get("resources") or {}).get("limits") or {}
        for name, amount in own.items():
            if name in limits and quantity.parse(amount).nanos > quantity.parse(limits[name]).nanos:
                at = path.child("containers").index(index).key(name).child("limits")
                errors.invalid(at, amount, f"must be less than or equal to pod limits of {limits[name]}")
