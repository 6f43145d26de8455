"""EndpointSlices: defaults, checks, columns.

Source: kubernetes pkg/apis/discovery/validation, pkg/apis/discovery/v1/defaults.go.
"""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.core.container_rules import PROTOCOLS
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, UNSET, age, text
from minikube_py.resources.value_rules import (
    parse_ip,
    validate_canonical_ip,
    validate_dns1123_label,
    validate_dns1123_subdomain,
    validate_label_name,
    validate_labels,
    validate_non_special_ip,
    validate_port,
)

ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
MAX_ENDPOINTS, MAX_ADDRESSES, MAX_PORTS, MAX_TOPOLOGY, MAX_HINTS = 1000, 100, 20000, 16, 8
SHOWN = 3


def default(slice_: Object) -> None:
    for port in slice_.get("ports") or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def validate(slice_: Object, errors: FieldErrors) -> None:
    type_ = slice_.get("addressType", "")
    errors.enum(Path("addressType"), type_, ADDRESS_TYPES)
    endpoints, path = slice_.get("endpoints") or [], Path("endpoints")
    if len(endpoints) > MAX_ENDPOINTS:
        errors.too_many(path, len(endpoints), MAX_ENDPOINTS)
    for index, endpoint in enumerate(endpoints):
        _validate_endpoint(endpoint, type_, path.index(index), errors)
    _validate_ports(slice_.get("ports") or [], errors)


def _validate_endpoint(endpoint: Object, type_: str, path: Path, errors: FieldErrors) -> None:
    addresses, at = endpoint.get("addresses") or [], path.child("addresses")
    if not addresses:
        errors.required(at, "must contain at least 1 address")
    elif len(addresses) > MAX_ADDRESSES:
        errors.too_many(at, len(addresses), MAX_ADDRESSES)
    for index, address in enumerate(addresses):
        where = at.index(index)
        if type_ == "FQDN":
            validate_dns1123_subdomain(address, where, errors)
            continue
        validate_canonical_ip(address, where, errors)
        parsed = parse_ip(address)
        if parsed is not None:
            if f"IPv{parsed.version}" != type_ and type_ in ADDRESS_TYPES:
                errors.invalid(where, address, f"must be an {type_} address")
            validate_non_special_ip(address, where, errors)
    topology = endpoint.get("deprecatedTopology") or {}
    if len(topology) > MAX_TOPOLOGY:
        errors.too_many(path.child("deprecatedTopology"), len(topology), MAX_TOPOLOGY)
    validate_labels(topology, path.child("deprecatedTopology"), errors)
    if endpoint.get("nodeName") is not None:
        validate_dns1123_subdomain(endpoint["nodeName"], path.child("nodeName"), errors)
    if endpoint.get("hostname") is not None:
        validate_dns1123_label(endpoint["hostname"], path.child("hostname"), errors)
    for key in ("forZones", "forNodes"):
        _validate_hints((endpoint.get("hints") or {}).get(key) or [], path.child("hints", key), errors)


def _validate_hints(hints: list[Object], path: Path, errors: FieldErrors) -> None:
    if len(hints) > MAX_HINTS:
        errors.too_many(path, len(hints), MAX_HINTS)
        return
    seen: set[str] = set()
    for index, hint in enumerate(hints):
        name = hint.get("name", "")
        if name in seen:
            errors.duplicate(path.index(index).child("name"), name)
        seen.add(name)
        errors.invalid_each(path.index(index).child("name"), name, meta.label_value(name))


def _validate_ports(ports: list[Object], errors: FieldErrors) -> None:
    path = Path("ports")
    if len(ports) > MAX_PORTS:
        errors.too_many(path, len(ports), MAX_PORTS)
        return
    names: set[str] = set()
    for index, port in enumerate(ports):
        at = path.index(index)
        name = port.get("name") or ""
        if name:
            validate_dns1123_label(name, at.child("name"), errors)
        if name in names:
            errors.duplicate(at.child("name"), name)
        names.add(name)
        errors.enum(at.child("protocol"), port.get("protocol"), PROTOCOLS)
        if port.get("port") is not None:
            validate_port(port["port"], at.child("port"), errors)
        if port.get("appProtocol") is not None:
            validate_label_name(port["appProtocol"], at.child("appProtocol"), errors)


def validate_update(new: Object, old: Object, errors: FieldErrors) -> None:
    validate(new, errors)
    errors.immutable(Path("addressType"), new.get("addressType"), old.get("addressType"))


def _shorten(values: list[str]) -> str:
    if not values:
        return UNSET
    shown = ",".join(values[:SHOWN])
    return f"{shown} + {len(values) - SHOWN} more..." if len(values) > SHOWN else shown


def row(slice_: Object) -> list[Any]:
    ports = ["*" if port.get("port") is None else str(port["port"]) for port in slice_.get("ports") or ()]
    addresses = [a for endpoint in slice_.get("endpoints") or () for a in endpoint.get("addresses") or ()]
    return [meta.name(slice_), slice_.get("addressType", ""), _shorten(ports), _shorten(addresses), age(slice_)]


RULES = KindRules(
    default=default,
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME,
        text("AddressType", "The type of address carried by this EndpointSlice."),
        text("Ports", "The list of network ports exposed by each endpoint in this slice."),
        text("Endpoints", "A list of unique endpoints in this slice."),
        AGE,
    ),
    row=row,
    has_generation=True,
    generation_metadata=("labels",),
)
