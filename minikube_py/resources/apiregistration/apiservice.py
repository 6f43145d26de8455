"""APIServices: checks, what may change, columns.

Source: kube-aggregator pkg/apis/apiregistration/validation.
"""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.conditions import get_condition
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, age, text
from minikube_py.resources.value_rules import validate_port

SPEC = Path("spec")


def default(service: Object) -> None:
    reference = service.setdefault("spec", {}).get("service")
    if reference is not None:
        reference.setdefault("port", 443)


def validate(service: Object, errors: FieldErrors) -> None:
    spec = service.get("spec") or {}
    group, version = spec.get("group", ""), spec.get("version", "")
    expected = f"{version}.{group}"
    if meta.name(service) != expected:
        errors.invalid(
            Path("metadata.name"), meta.name(service), f'must be `spec.version+"."+spec.group`: "{expected}"'
        )
    if not group:
        if version != "v1":
            errors.required(SPEC.child("group"), "only v1 may have an empty group and it better be legacy kube")
    else:
        errors.invalid_each(SPEC.child("group"), group, meta.dns1123_subdomain(group))
    errors.invalid_each(SPEC.child("version"), version, meta.dns1035_label(version))
    for key, limit in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value = spec.get(key) or 0
        if not 0 < value <= limit:
            why = "must be positive and less than 20000" if limit == 20000 else "must be positive and less than 1000"
            errors.invalid(SPEC.child(key), value, why)
    _validate_target(spec, errors)


def _validate_target(spec: Object, errors: FieldErrors) -> None:
    reference, bundle, insecure = spec.get("service"), spec.get("caBundle"), spec.get("insecureSkipTLSVerify")
    if reference is None:
        if bundle:
            errors.invalid(
                SPEC.child("caBundle"), f"{len(bundle) // 4 * 3} bytes", "local APIServices may not have a caBundle"
            )
        if insecure:
            why = "local APIServices may not have insecureSkipTLSVerify"
            errors.invalid(SPEC.child("insecureSkipTLSVerify"), True, why)
        return
    for key in ("namespace", "name"):
        if not reference.get(key):
            errors.required(SPEC.child("service", key))
    validate_port(reference.get("port") or 0, SPEC.child("service", "port"), errors)
    if insecure and bundle:
        errors.invalid(SPEC.child("insecureSkipTLSVerify"), True, "may not be true if caBundle is present")


def validate_update(new: Object, _old: Object, errors: FieldErrors) -> None:
    validate(new, errors)


def row(service: Object) -> list[Any]:
    reference = (service.get("spec") or {}).get("service")
    shown = "Local" if reference is None else f"{reference.get('namespace', '')}/{reference.get('name', '')}"
    condition = get_condition((service.get("status") or {}).get("conditions"), "Available")
    available = "Unknown"
    if condition is not None:
        available = str(condition.get("status"))
        if available != "True":
            available = f"{available} ({condition.get('reason', '')})"
    return [meta.name(service), shown, available, age(service)]


RULES = KindRules(
    default=default,
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME,
        text("Service", "The reference to the service that hosts this API endpoint."),
        text("Available", "Whether this service is available."),
        AGE,
    ),
    row=row,
    name_check=meta.path_segment_name,
    allows_unconditional_update=False,
    status_changes_metadata=False,
)
