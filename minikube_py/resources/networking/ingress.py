"""Ingresses: checks of hosts, paths and backends, columns.

Source: kubernetes pkg/apis/networking/validation.
"""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources import object_warnings
from minikube_py.resources.core.service_rules import validate_ingress_host
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, NONE, age, text
from minikube_py.resources.value_rules import (
    parse_ip,
    validate_canonical_ip,
    validate_dns1123_label,
    validate_dns1123_subdomain,
    validate_port,
)

SPEC = Path("spec")
CLASS_ANNOTATION = "kubernetes.io/ingress.class"
PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_PARTS, _BAD_ENDS = ("//", "/./", "/../", "%2f", "%2F"), ("/..", "/.")
SHOWN = 3


def prepare_create(ingress: Object) -> None:
    ingress["status"] = {"loadBalancer": {}}


def validate(ingress: Object, errors: FieldErrors) -> None:
    annotations = meta.annotations(ingress)
    if CLASS_ANNOTATION in annotations and (ingress.get("spec") or {}).get("ingressClassName") is not None:
        at = Path("metadata.annotations").child(CLASS_ANNOTATION)
        errors.invalid(at, annotations[CLASS_ANNOTATION], "can not be set when the class field is also set")
    _validate_spec(ingress, errors)


def validate_update(new: Object, _old: Object, errors: FieldErrors) -> None:
    _validate_spec(new, errors)


def _validate_spec(ingress: Object, errors: FieldErrors) -> None:
    spec = ingress.get("spec") or {}
    rules, backend = spec.get("rules") or [], spec.get("defaultBackend")
    if not rules and backend is None:
        errors.invalid(SPEC, rules, "either `defaultBackend` or `rules` must be specified")
    if backend is not None:
        _validate_backend(backend, SPEC.child("defaultBackend"), errors)
    for index, rule in enumerate(rules):
        _validate_rule(rule, SPEC.child("rules").index(index), errors)
    for index, tls in enumerate(spec.get("tls") or ()):
        at = SPEC.child("tls").index(index)
        for i, host in enumerate(tls.get("hosts") or ()):
            _validate_host_name(host, at.child("hosts").index(i), errors)
        if tls.get("secretName"):
            validate_dns1123_subdomain(tls["secretName"], at.child("secretName"), errors)
    if spec.get("ingressClassName") is not None:
        validate_dns1123_subdomain(spec["ingressClassName"], SPEC.child("ingressClassName"), errors)


def _validate_host_name(host: str, path: Path, errors: FieldErrors) -> None:
    if "*" in host:
        errors.invalid_each(path, host, meta.wildcard_dns1123_subdomain(host))
    else:
        errors.invalid_each(path, host, meta.dns1123_subdomain(host))


def _validate_rule(rule: Object, path: Path, errors: FieldErrors) -> None:
    host = rule.get("host", "")
    if host:
        if parse_ip(host) is not None:
            errors.invalid(path.child("host"), host, "must be a DNS name, not an IP address")
        _validate_host_name(host, path.child("host"), errors)
    http = rule.get("http")
    if http is None:
        return
    at = path.child("http", "paths")
    if not http.get("paths"):
        errors.required(at)
    for index, entry in enumerate(http.get("paths") or ()):
        where = at.index(index)
        _validate_path(entry, where, errors)
        _validate_backend(entry.get("backend") or {}, where.child("backend"), errors)


def _validate_path(entry: Object, path: Path, errors: FieldErrors) -> None:
    type_, target, at = entry.get("pathType"), entry.get("path", ""), path.child("path")
    if type_ is None:
        errors.required(path.child("pathType"), "pathType must be specified")
    elif type_ in ("Exact", "Prefix"):
        if not target.startswith("/"):
            errors.invalid(at, target, "must be an absolute path")
        for part in _BAD_PARTS:
            if part in target:
                errors.invalid(at, target, f"must not contain '{part}'")
        for end in _BAD_ENDS:
            if target.endswith(end):
                errors.invalid(at, target, f"cannot end with '{end}'")
    elif type_ == "ImplementationSpecific":
        if target and not target.startswith("/"):
            errors.invalid(at, target, "must be an absolute path")
    else:
        errors.not_supported(path.child("pathType"), type_, PATH_TYPES)


def _validate_backend(backend: Object, path: Path, errors: FieldErrors) -> None:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        errors.invalid(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        for key in ("kind", "name"):
            if not resource.get(key):
                errors.required(path.child("resource", key))
    elif service is None:
        errors.invalid(path, "", "resource or service backend is required")
    else:
        name, at = service.get("name", ""), path.child("service", "name")
        if not name:
            errors.required(at)
        else:
            validate_dns1123_label(name, at, errors)
        _validate_backend_port(service.get("port") or {}, path.child("service", "port"), errors)


def _validate_backend_port(port: Object, path: Path, errors: FieldErrors) -> None:
    name, number = port.get("name", ""), port.get("number") or 0
    if name and number:
        errors.invalid(path, "", "cannot set both port name & port number")
    elif name:
        errors.invalid_each(path.child("name"), name, meta.port_name(name))
    elif number:
        validate_port(number, path.child("number"), errors)
    else:
        errors.required(path, "port name or number is required")


def validate_status(new: Object, _old: Object, errors: FieldErrors) -> None:
    path = Path("status.loadBalancer.ingress")
    for index, ingress in enumerate(((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()):
        at = path.index(index)
        if ingress.get("ip"):
            validate_canonical_ip(ingress["ip"], at.child("ip"), errors)
        validate_ingress_host(ingress.get("hostname", ""), at.child("hostname"), errors)


def _hosts(rules: list[Object]) -> str:
    hosts = [rule["host"] for rule in rules if rule.get("host")]
    if not hosts:
        return "*"
    shown = ",".join(hosts[:SHOWN])
    return f"{shown} + {len(rules) - SHOWN} more..." if len(hosts) > SHOWN else shown


def row(ingress: Object) -> list[Any]:
    spec = ingress.get("spec") or {}
    found = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    addresses = sorted({i.get("ip") or i.get("hostname") or "" for i in found} - {""})
    return [
        meta.name(ingress),
        spec.get("ingressClassName") or meta.annotations(ingress).get(CLASS_ANNOTATION) or NONE,
        _hosts(spec.get("rules") or []),
        ",".join(addresses),
        "80, 443" if spec.get("tls") else "80",
        age(ingress),
    ]


RULES = KindRules(
    warnings=object_warnings.of_ingress,
    prepare_create=prepare_create,
    validate=validate,
    validate_update=validate_update,
    validate_status=validate_status,
    columns=(
        NAME,
        text("Class", "The name of the IngressClass resource that should be used for this ingress."),
        text("Hosts", "Hosts that incoming requests are matched against before the ingress rule"),
        text("Address", "Address is a list containing ingress points for the load-balancer"),
        text("Ports", "Ports of TLS configurations that open"),
        AGE,
    ),
    row=row,
    has_generation=True,
)
