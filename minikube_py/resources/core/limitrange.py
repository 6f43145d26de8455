"""LimitRanges: defaults that follow from minimum and maximum, checks of how the amounts relate, columns."""

from typing import Any

from minikube_py.objects import meta, quantity
from minikube_py.objects.errors import Object
from minikube_py.resources.core.resource_names import is_overcommit_allowed, is_standard_limit_range
from minikube_py.resources.core.resource_rules import validate_resource_name
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import NAME, text

LIMITS = Path("spec.limits")
_KEYS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


def default(limit_range: Object) -> None:
    for item in limit_range.setdefault("spec", {}).get("limits") or ():
        if item.get("type") != "Container":
            continue
        limit = dict(item.get("default") or {})
        for name, amount in (item.get("max") or {}).items():
            limit.setdefault(name, amount)
        request = dict(item.get("defaultRequest") or {})
        for name, amount in {**(item.get("min") or {}), **limit}.items():
            request.setdefault(name, amount)
        if limit:
            item["default"] = limit
        if request:
            item["defaultRequest"] = request


def validate(limit_range: Object, errors: FieldErrors) -> None:
    types: set[str] = set()
    for index, item in enumerate((limit_range.get("spec") or {}).get("limits") or ()):
        at = LIMITS.index(index)
        type_ = item.get("type", "")
        errors.invalid_each(at.child("type"), type_, meta.qualified_name(type_))
        if type_ in types:
            errors.duplicate(at.child("type"), type_)
        types.add(type_)
        for key in _KEYS:
            for name in item.get(key) or ():
                _validate_name(name, type_, at.child(key).key(name), errors)
        if type_ == "Pod":
            for key in ("default", "defaultRequest"):
                if item.get(key):
                    errors.forbidden(at.child(key), "may not be specified when `type` is 'Pod'")
        if type_ == "PersistentVolumeClaim" and not (
            {"storage"} & {*(item.get("min") or ()), *(item.get("max") or ())}
        ):
            errors.required(
                at.child("limits"), "either minimum or maximum storage value is required, but neither was provided"
            )
        for name in {n: None for key in _KEYS for n in item.get(key) or ()}:
            _validate_relations(item, name, at, errors)


def _validate_name(name: str, type_: str, path: Path, errors: FieldErrors) -> None:
    validate_resource_name(name, path, errors)
    if type_ in ("Container", "Pod") and "/" not in name and not is_standard_limit_range(name):
        errors.invalid(path, name, "must be a standard limit type or fully qualified")


def _validate_relations(item: Object, name: str, path: Path, errors: FieldErrors) -> None:
    amounts = {key: (item.get(key) or {}).get(name) for key in _KEYS}
    nanos = {key: quantity.parse(amount).nanos for key, amount in amounts.items() if amount is not None}

    def compare(low: str, high: str, at: str, low_text: str, high_text: str) -> None:
        if low in nanos and high in nanos and nanos[low] > nanos[high]:
            why = f"{low_text} value {amounts[low]} is greater than {high_text} value {amounts[high]}"
            errors.invalid(path.child(at).key(name), amounts[at], why)

    compare("min", "max", "min", "min", "max")
    compare("min", "defaultRequest", "defaultRequest", "min", "default request")
    compare("defaultRequest", "max", "defaultRequest", "default request", "max")
    compare("defaultRequest", "default", "defaultRequest", "default request", "default limit")
    compare("min", "default", "default", "min", "default")
    compare("default", "max", "default", "default", "max")
    ratio, one = nanos.get("maxLimitRequestRatio"), 10**9
    at = path.child("maxLimitRequestRatio").key(name)
    if ratio is not None and ratio < one:
        errors.invalid(at, amounts["maxLimitRequestRatio"], f"ratio {amounts['maxLimitRequestRatio']} is less than 1")
    if ratio is not None and nanos.get("min") and nanos.get("max"):
        allowed = nanos["max"] / nanos["min"]
        if ratio / one > allowed:
            why = f"ratio {amounts['maxLimitRequestRatio']} is greater than max/min = {allowed:f}"
            errors.invalid(at, amounts["maxLimitRequestRatio"], why)
    if item.get("type") == "Container" and not is_overcommit_allowed(name):
        if nanos.get("default") != nanos.get("defaultRequest"):
            why = f"default value {amounts['default'] or '0'} must equal to defaultRequest value"
            errors.invalid(
                path.child("defaultRequest").key(name),
                amounts["defaultRequest"] or "0",
                f"{why} {amounts['defaultRequest'] or '0'} in {name}",
            )


def validate_update(new: Object, _old: Object, errors: FieldErrors) -> None:
    validate(new, errors)


def row(limit_range: Object) -> list[Any]:
    return [meta.name(limit_range), meta.metadata(limit_range).get("creationTimestamp") or ""]


RULES = KindRules(
    default=default,
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, text("Created At", "The server time when this object was created.")),
    row=row,
)
