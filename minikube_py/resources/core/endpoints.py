"""Endpoints: defaults, checks and the short list of addresses in tables."""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.core.container_rules import PROTOCOLS
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, NONE, age, text
from minikube_py.resources.value_rules import (
    validate_canonical_ip,
    validate_dns1123_label,
    validate_dns1123_subdomain,
    validate_label_name,
    validate_non_special_ip,
    validate_port,
)

SHOWN = 3


def default(endpoints: Object) -> None:
    for subset in endpoints.get("subsets") or ():
        for port in subset.get("ports") or ():
            port["protocol"] = port.get("protocol") or "TCP"


def validate(endpoints: Object, errors: FieldErrors) -> None:
    for index, subset in enumerate(endpoints.get("subsets") or ()):
        at = Path("subsets").index(index)
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errors.required(at, "must specify `addresses` or `notReadyAddresses`")
        for key in ("addresses", "notReadyAddresses"):
            for i, address in enumerate(subset.get(key) or ()):
                _validate_address(address, at.child(key).index(i), errors)
        ports = subset.get("ports") or ()
        for i, port in enumerate(ports):
            _validate_port(port, len(ports) > 1, at.child("ports").index(i), errors)


def _validate_address(address: Object, path: Path, errors: FieldErrors) -> None:
    ip = address.get("ip", "")
    validate_canonical_ip(ip, path.child("ip"), errors)
    if address.get("hostname"):
        validate_dns1123_label(address["hostname"], path.child("hostname"), errors)
    if address.get("nodeName") is not None:
        validate_dns1123_subdomain(address["nodeName"], path.child("nodeName"), errors)
    validate_non_special_ip(ip, path.child("ip"), errors)


def _validate_port(port: Object, needs_name: bool, path: Path, errors: FieldErrors) -> None:
    if port.get("name"):
        validate_dns1123_label(port["name"], path.child("name"), errors)
    elif needs_name:
        errors.required(path.child("name"))
    validate_port(port.get("port") or 0, path.child("port"), errors)
    errors.enum(path.child("protocol"), port.get("protocol"), PROTOCOLS)
    if port.get("appProtocol") is not None:
        validate_label_name(port["appProtocol"], path.child("appProtocol"), errors)


def validate_update(new: Object, _old: Object, errors: FieldErrors) -> None:
    validate(new, errors)


def _shown(endpoints: Object) -> str:
    subsets = endpoints.get("subsets") or ()
    if not subsets:
        return NONE
    found: list[str] = []
    for subset in subsets:
        ips = [a.get("ip", "") for a in subset.get("addresses") or ()]
        if not subset.get("ports"):
            found += ips
        for port in subset.get("ports") or ():
            found += [f"[{ip}]:{port.get('port')}" if ":" in ip else f"{ip}:{port.get('port')}" for ip in ips]
    shown = ",".join(found[:SHOWN])
    return f"{shown} + {len(found) - SHOWN} more..." if len(found) > SHOWN else shown


def row(endpoints: Object) -> list[Any]:
    return [meta.name(endpoints), _shown(endpoints), age(endpoints)]


RULES = KindRules(
    deprecation="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    default=default,
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, text("Endpoints", "The set of all endpoints is the union of all subsets."), AGE),
    row=row,
)
