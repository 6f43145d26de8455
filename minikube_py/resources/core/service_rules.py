"""Checks Services: ports, addresses and IP families, traffic policies, and what an update may change.

Source: kubernetes pkg/apis/core/validation (ValidateService, ValidateServiceUpdate).
"""

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.core.container_rules import PROTOCOLS
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.value_rules import (
    parse_ip,
    validate_canonical_cidr,
    validate_canonical_ip,
    validate_dns1123_label,
    validate_dns1123_subdomain,
    validate_label_name,
    validate_labels,
    validate_non_special_ip,
    validate_port,
    validate_port_number_or_name,
)

SPEC = Path("spec")
TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
FAMILIES = ("IPv4", "IPv6")
FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
TRAFFIC_POLICIES = ("Cluster", "Local")
DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
_ONLY_LB = "may only be used when `type` is 'LoadBalancer'"
MAX_AFFINITY_SECONDS = 86400


def is_headless(service: Object) -> bool:
    spec = service.get("spec") or {}
    return bool((spec.get("clusterIPs") or [spec.get("clusterIP")])[0] == "None")


def is_externally_accessible(spec: Object) -> bool:
    """Whether traffic can come from outside the cluster."""
    if spec.get("type") in ("LoadBalancer", "NodePort"):
        return True
    return spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs"))


def needs_health_check(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def validate_service(service: Object, errors: FieldErrors) -> None:
    spec = service.get("spec") or {}
    type_, ports = spec.get("type", ""), spec.get("ports") or []
    headless = is_headless(service)
    if not ports and not headless and type_ != "ExternalName":
        errors.required(SPEC.child("ports"))
    if headless and type_ in ("LoadBalancer", "NodePort"):
        at = SPEC.child("clusterIPs").index(0)
        errors.invalid(at, "None", f"may not be set to 'None' for {type_} services")
    if type_ == "ExternalName":
        _validate_external_name(spec, errors)
    _validate_ports(spec, ports, errors)
    validate_labels(spec.get("selector"), SPEC.child("selector"), errors)
    _validate_affinity(spec, errors)
    validate_cluster_ips(service, errors)
    for index, ip in enumerate(spec.get("externalIPs") or ()):
        at = SPEC.child("externalIPs").index(index)
        before = len(errors.causes)
        validate_canonical_ip(ip, at, errors)
        if len(errors.causes) == before:
            validate_non_special_ip(ip, at, errors)
    errors.enum(SPEC.child("type"), type_, TYPES)
    _validate_load_balancer(spec, errors)
    _validate_traffic(spec, errors)


def _validate_external_name(spec: Object, errors: FieldErrors) -> None:
    for key in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(key):
            errors.forbidden(SPEC.child(key), "may not be set for ExternalName services")
    name = (spec.get("externalName") or "").removesuffix(".")
    if name:
        validate_dns1123_subdomain(name, SPEC.child("externalName"), errors)
    else:
        errors.required(SPEC.child("externalName"))


def _validate_ports(spec: Object, ports: list[Object], errors: FieldErrors) -> None:
    names: set[str] = set()
    numbers: set[tuple[str, int]] = set()
    node_ports: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        at = SPEC.child("ports").index(index)
        _validate_port(port, len(ports) > 1, names, at, errors)
        protocol, node_port = port.get("protocol", ""), port.get("nodePort") or 0
        if node_port and spec.get("type") == "ClusterIP":
            errors.forbidden(at.child("nodePort"), "may not be used when `type` is 'ClusterIP'")
        if node_port and (protocol, node_port) in node_ports:
            errors.duplicate(at.child("nodePort"), node_port)
        node_ports.add((protocol, node_port))
        key = (protocol, port.get("port") or 0)
        if key in numbers:
            errors.duplicate(at, {"protocol": protocol, "port": key[1]})
        numbers.add(key)


def _validate_port(port: Object, needs_name: bool, names: set[str], path: Path, errors: FieldErrors) -> None:
    name = port.get("name", "")
    if name:
        validate_dns1123_label(name, path.child("name"), errors)
        if name in names:
            errors.duplicate(path.child("name"), name)
        names.add(name)
    elif needs_name:
        errors.required(path.child("name"))
    validate_port(port.get("port") or 0, path.child("port"), errors)
    errors.enum(path.child("protocol"), port.get("protocol"), PROTOCOLS)
    validate_port_number_or_name(port.get("targetPort"), path.child("targetPort"), errors)
    if port.get("appProtocol") is not None:
        validate_label_name(port["appProtocol"], path.child("appProtocol"), errors)


def _validate_affinity(spec: Object, errors: FieldErrors) -> None:
    affinity, at = spec.get("sessionAffinity", ""), SPEC.child("sessionAffinityConfig")
    errors.enum(SPEC.child("sessionAffinity"), affinity, ("ClientIP", "None"))
    config = spec.get("sessionAffinityConfig")
    if affinity == "None" and config is not None:
        errors.forbidden(at, "must not be set when session affinity is None")
    if affinity != "ClientIP":
        return
    why = "when session affinity type is ClientIP"
    if config is None:
        errors.required(at, why)
    elif config.get("clientIP") is None:
        errors.required(at.child("clientIP"), why)
    elif config["clientIP"].get("timeoutSeconds") is None:
        errors.required(at.child("clientIP", "timeoutSeconds"), why)
    elif not 0 < config["clientIP"]["timeoutSeconds"] <= MAX_AFFINITY_SECONDS:
        value = config["clientIP"]["timeoutSeconds"]
        why = f"must be greater than 0 and less than {MAX_AFFINITY_SECONDS}"
        errors.invalid(at.child("clientIP", "timeoutSeconds"), value, why)


def validate_cluster_ips(service: Object, errors: FieldErrors) -> None:
    """clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy together; also of use to who allocates addresses."""
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return
    at = SPEC.child("clusterIPs")
    first, ips = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    if first and not ips:
        errors.required(at)
    elif first and ips[0] != first:
        errors.invalid(at, ips, "first value must match `clusterIP`")
    elif not first and ips:
        errors.invalid(at, ips, "must be empty when `clusterIP` is not specified")
    families = spec.get("ipFamilies") or []
    for index, family in enumerate(families):
        where = SPEC.child("ipFamilies").index(index)
        errors.optional_enum(where, family, FAMILIES)
        if family in families[:index]:
            errors.duplicate(where, family)
    errors.optional_enum(SPEC.child("ipFamilyPolicy"), spec.get("ipFamilyPolicy"), FAMILY_POLICIES)
    before = len(errors.causes)
    for index, ip in enumerate(ips):
        if index == 0 and ip == "None":
            if len(ips) > 1:
                errors.invalid(at, ips, "'None' must be the first and only value")
            continue
        validate_canonical_ip(ip, at.index(index), errors)
    if len(ips) > 2:
        errors.invalid(at, ips, "may only hold up to 2 values")
    if len(errors.causes) == before:
        _validate_families(ips, families, at, errors)


def _validate_families(ips: list[str], families: list[str], path: Path, errors: FieldErrors) -> None:
    if len(ips) > 1 and (":" in ips[0]) == (":" in ips[1]):
        errors.invalid(path, ips, "may specify no more than one IP for each IP family")
    if ips and ips[0] == "None":
        return
    for index, (ip, family) in enumerate(zip(ips, families, strict=False)):
        if family in FAMILIES and (":" in ip) != (family == "IPv6"):
            why = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            errors.invalid(path.index(index), ip, why)


def _validate_load_balancer(spec: Object, errors: FieldErrors) -> None:
    is_lb = spec.get("type") == "LoadBalancer"
    ranges = spec.get("loadBalancerSourceRanges") or []
    if ranges:
        at = SPEC.child("LoadBalancerSourceRanges")
        if not is_lb:
            errors.forbidden(at, _ONLY_LB)
        for index, cidr in enumerate(ranges):
            validate_canonical_cidr(cidr.strip(), at.index(index), errors)
    if spec.get("allocateLoadBalancerNodePorts") is not None and not is_lb:
        errors.forbidden(SPEC.child("allocateLoadBalancerNodePorts"), _ONLY_LB)
    if is_lb and spec.get("allocateLoadBalancerNodePorts") is None:
        errors.required(Path("allocateLoadBalancerNodePorts"))
    class_ = spec.get("loadBalancerClass")
    if class_ is not None:
        if not is_lb:
            errors.forbidden(SPEC.child("loadBalancerClass"), "may only be used when type is 'LoadBalancer'")
        errors.invalid_each(SPEC.child("loadBalancerClass"), class_, meta.qualified_name(class_))


def _validate_traffic(spec: Object, errors: FieldErrors) -> None:
    external = spec.get("externalTrafficPolicy") or ""
    at = SPEC.child("externalTrafficPolicy")
    if is_externally_accessible(spec):
        errors.enum(at, external, TRAFFIC_POLICIES)
    elif external:
        errors.invalid(at, external, "may only be set for externally-accessible services")
    check, at = spec.get("healthCheckNodePort") or 0, SPEC.child("healthCheckNodePort")
    if not needs_health_check(spec):
        if check:
            why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            errors.invalid(at, check, why)
    elif check:
        validate_port(check, at, errors)
    internal = spec.get("internalTrafficPolicy")
    if internal is None and spec.get("type") in ("ClusterIP", "LoadBalancer", "NodePort"):
        errors.required(SPEC.child("internalTrafficPolicy"))
    errors.optional_enum(SPEC.child("internalTrafficPolicy"), internal, TRAFFIC_POLICIES)
    errors.optional_enum(SPEC.child("trafficDistribution"), spec.get("trafficDistribution"), DISTRIBUTIONS)


def validate_service_update(new: Object, old: Object, errors: FieldErrors) -> None:
    fresh, stored = new.get("spec") or {}, old.get("spec") or {}
    if "ExternalName" not in (fresh.get("type"), stored.get("type")):
        if not (is_headless(new) and is_headless(old)):
            _validate_changed(fresh, stored, "clusterIPs", "clusterIP", errors)
        if not is_headless(new) and not is_headless(old):
            _validate_changed(fresh, stored, "ipFamilies", "ipFamily", errors)
    _validate_class_update(fresh, stored, errors)
    if needs_health_check(fresh) and needs_health_check(stored):
        before = stored.get("healthCheckNodePort") or 0
        if before and (fresh.get("healthCheckNodePort") or 0) != before:
            errors.forbidden(SPEC.child("healthCheckNodePort"), "field is immutable")
    validate_service(new, errors)


def _validate_changed(fresh: Object, stored: Object, key: str, shown: str, errors: FieldErrors) -> None:
    """Of addresses and families the first one stays; the second may come and go."""
    new, old = fresh.get(key) or [], stored.get(key) or []
    path = SPEC.child(key)
    if len(new) == len(old):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            if before != after:
                errors.invalid(path.index(index if key == "clusterIPs" else 0), new, "may not change once set")
        return
    if len(old) > len(new):
        if not new:
            errors.invalid(path.index(0), new, f"primary {shown} can not be unset")
        elif len(new) == 1 and fresh.get("ipFamilyPolicy") != "SingleStack":
            why = f"must be set to 'SingleStack' when releasing the secondary {shown}"
            errors.invalid(SPEC.child("ipFamilyPolicy"), fresh.get("ipFamilyPolicy"), why)
    if old and new and new[0] != old[0]:
        errors.invalid(path.index(0), new, "may not change once set")


def _validate_class_update(fresh: Object, stored: Object, errors: FieldErrors) -> None:
    if stored.get("type") != "LoadBalancer" or fresh.get("type") != "LoadBalancer":
        return
    if stored.get("loadBalancerClass") != fresh.get("loadBalancerClass"):
        at = SPEC.child("loadBalancerClass")
        errors.invalid(at, fresh.get("loadBalancerClass"), "may not change once set")


def validate_load_balancer_status(status: Object, path: Path, errors: FieldErrors) -> None:
    """The addresses a load balancer reports, of Services."""
    for index, ingress in enumerate(status.get("ingress") or ()):
        at = path.child("ingress").index(index)
        ip, mode = ingress.get("ip", ""), ingress.get("ipMode")
        if ip:
            validate_canonical_ip(ip, at.child("ip"), errors)
            if mode is None:
                errors.required(at.child("ipMode"), "must be specified when `ip` is set")
            else:
                errors.optional_enum(at.child("ipMode"), mode, ("Proxy", "VIP"))
        elif mode is not None:
            errors.forbidden(at.child("ipMode"), "may not be specified when `ip` is not set")
        validate_ingress_host(ingress.get("hostname", ""), at.child("hostname"), errors)


def validate_ingress_host(host: str, path: Path, errors: FieldErrors) -> None:
    if host:
        errors.invalid_each(path, host, meta.dns1123_subdomain(host))
        if parse_ip(host) is not None:
            errors.invalid(path, host, "must be a DNS name, not an IP address")
