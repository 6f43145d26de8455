"""IPAddresses and ServiceCIDRs: checks, what may change, columns."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, NONE, age, join, text
from minikube_py.resources.value_rules import parse_ip, validate_canonical_cidr

SPEC = Path("spec")


def address_name(name: str) -> list[str]:
    """The name of an IPAddress is the address in canonical form."""
    address = parse_ip(name)
    if address is None:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return [] if str(address) == name else [f'must be in canonical form ("{address}")']


def validate_address(address: Object, errors: FieldErrors) -> None:
    ref, at = (address.get("spec") or {}).get("parentRef"), SPEC.child("parentRef")
    if ref is None:
        errors.required(at)
        return
    for key in ("resource", "name"):
        if not ref.get(key):
            errors.required(at.child(key))


def validate_address_update(new: Object, old: Object, errors: FieldErrors) -> None:
    fresh, stored = new.get("spec") or {}, old.get("spec") or {}
    errors.immutable(SPEC.child("parentRef"), fresh.get("parentRef"), stored.get("parentRef"))


def address_row(address: Object) -> list[Any]:
    ref = (address.get("spec") or {}).get("parentRef") or {}
    parts = [f"{ref['resource']}.{ref['group']}" if ref.get("group") else ref.get("resource", "")]
    parts += [ref[key] for key in ("namespace", "name") if ref.get(key)]
    return [meta.name(address), "/".join(parts) if ref else NONE, age(address)]


def validate_range(service_range: Object, errors: FieldErrors) -> None:
    cidrs, at = (service_range.get("spec") or {}).get("cidrs") or [], SPEC.child("cidrs")
    if not cidrs:
        errors.required(at, "at least one CIDR required")
    if len(cidrs) > 2:
        errors.invalid(at, cidrs, "may only hold up to 2 values")
    if len(cidrs) == 2 and (":" in cidrs[0]) == (":" in cidrs[1]):
        errors.invalid(
            at, cidrs, "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/96"
        )
    for index, cidr in enumerate(cidrs):
        validate_canonical_cidr(cidr, at.index(index), errors)


def validate_range_update(new: Object, old: Object, errors: FieldErrors) -> None:
    fresh, stored = ((o.get("spec") or {}).get("cidrs") or [] for o in (new, old))
    if fresh[: len(stored)] != stored or len(fresh) - len(stored) > 1:
        errors.immutable(SPEC.child("cidrs"), fresh, stored)
    validate_range(new, errors)


def range_row(service_range: Object) -> list[Any]:
    cidrs = (service_range.get("spec") or {}).get("cidrs") or ()
    return [meta.name(service_range), join(cidrs), age(service_range)]


IP_ADDRESS_RULES = KindRules(
    validate=validate_address,
    validate_update=validate_address_update,
    columns=(NAME, text("ParentRef", "The resource that an IPAddress is attached to."), AGE),
    row=address_row,
    name_check=address_name,
    has_generation=True,
)
SERVICE_CIDR_RULES = KindRules(
    validate=validate_range,
    validate_update=validate_range_update,
    columns=(NAME, text("CIDRs", "The ranges that addresses of Services are taken from."), AGE),
    row=range_row,
    has_generation=True,
)
