"""Services: defaults, columns and field selectors; addresses and node ports are given out by the API server.

Source: kubernetes pkg/apis/core/v1/defaults.go, pkg/registry/core/service.
"""

from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources import object_warnings
from minikube_py.resources.core.service_rules import (
    is_externally_accessible,
    validate_load_balancer_status,
    validate_service,
    validate_service_update,
)
from minikube_py.resources.fields import FieldErrors, Path
from minikube_py.resources.kind import KindRules
from minikube_py.resources.printing import AGE, NAME, NONE, SELECTOR, UNKNOWN, age, format_labels, join, text

AFFINITY_SECONDS = 10800


def default(service: Object) -> None:
    spec = service.setdefault("spec", {})
    spec["type"] = spec.get("type") or "ClusterIP"
    spec["sessionAffinity"] = spec.get("sessionAffinity") or "None"
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        config = spec.get("sessionAffinityConfig") or {}
        if (config.get("clientIP") or {}).get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": AFFINITY_SECONDS}}
    for port in spec.get("ports") or ():
        port["protocol"] = port.get("protocol") or "TCP"
        if not port.get("targetPort"):
            port["targetPort"] = port.get("port") or 0
    if is_externally_accessible(spec) and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if spec["type"] in ("ClusterIP", "LoadBalancer", "NodePort"):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
        for ingress in ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
            if ingress.get("ip"):
                ingress.setdefault("ipMode", "VIP")


def prepare_create(service: Object) -> None:
    service["status"] = {"loadBalancer": {}}
    align_cluster_ips(service, None)
    drop_disused(service, None)


def prepare_update(new: Object, old: Object) -> None:
    _keep_assigned(new, old)
    align_cluster_ips(new, old)
    drop_disused(new, old)


def _keep_assigned(new: Object, old: Object) -> None:
    """A replacement that leaves out the addresses and node ports it was given keeps them."""
    fresh, stored = new["spec"], old.get("spec") or {}
    if "ExternalName" in (fresh.get("type"), stored.get("type")):
        return
    if not fresh.get("clusterIP") and not fresh.get("clusterIPs"):
        for key in ("clusterIP", "clusterIPs"):
            if stored.get(key):
                fresh[key] = stored[key] if key == "clusterIP" else list(stored[key])
    for key in ("ipFamilyPolicy", "ipFamilies"):
        if not fresh.get(key) and stored.get(key) and not _is_downgrade(fresh, stored):
            fresh[key] = stored[key] if key == "ipFamilyPolicy" else list(stored[key])
    if _uses_node_ports(fresh) and _uses_node_ports(stored):
        given = {(p.get("protocol"), p.get("port")): p.get("nodePort") for p in stored.get("ports") or ()}
        used = {p.get("nodePort") for p in fresh.get("ports") or ()}
        for port in fresh.get("ports") or ():
            before = given.get((port.get("protocol"), port.get("port")))
            if not port.get("nodePort") and before and before not in used:
                port["nodePort"] = before
    if fresh.get("type") == stored.get("type") == "LoadBalancer" and not fresh.get("healthCheckNodePort"):
        both_local = fresh.get("externalTrafficPolicy") == stored.get("externalTrafficPolicy") == "Local"
        if both_local and stored.get("healthCheckNodePort"):
            fresh["healthCheckNodePort"] = stored["healthCheckNodePort"]


def _is_downgrade(fresh: Object, stored: Object) -> bool:
    return fresh.get("ipFamilyPolicy") == "SingleStack" and stored.get("ipFamilyPolicy") != "SingleStack"


def _uses_node_ports(spec: Object) -> bool:
    return spec.get("type") in ("LoadBalancer", "NodePort")


def align_cluster_ips(service: Object, old: Object | None) -> None:
    """Clients that know only one of clusterIP and clusterIPs get the other one filled in or cleared."""
    spec = service["spec"]
    before = (old or {}).get("spec") or {}
    first, ips = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    if not first and ips and before.get("clusterIP") and before.get("clusterIPs") == ips:
        spec.pop("clusterIPs", None)
    elif first and not ips:
        spec["clusterIPs"] = [first]
    elif old is None and ips and not first:
        spec["clusterIP"] = ips[0]
    elif first and ips and first != ips[0] and ips == (before.get("clusterIPs") or []):
        spec["clusterIPs"] = [first]
    elif first and ips and first != ips[0] and first == before.get("clusterIP"):
        spec["clusterIP"] = ips[0]


def drop_disused(new: Object, old: Object | None) -> None:
    """When the type changes, what only the old type had goes unless it was changed on purpose."""
    if old is None:
        return
    fresh, stored = new["spec"], old.get("spec") or {}
    was, now = stored.get("type"), fresh.get("type")
    if was != "ExternalName" and now == "ExternalName":
        for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if fresh.get(key) == stored.get(key):
                fresh.pop(key, None)
    if was == "ExternalName" and now != "ExternalName" and fresh.get("externalName") == stored.get("externalName"):
        fresh.pop("externalName", None)
    if _uses_node_ports(stored) and not _uses_node_ports(fresh):
        kept = {(p.get("protocol"), p.get("nodePort")) for p in stored.get("ports") or ()}
        for port in fresh.get("ports") or ():
            if (port.get("protocol"), port.get("nodePort")) in kept:
                port.pop("nodePort", None)
    if was == "LoadBalancer" and now != "LoadBalancer":
        for key in ("healthCheckNodePort", "allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if fresh.get(key) == stored.get(key):
                fresh.pop(key, None)
    if is_externally_accessible(stored) and not is_externally_accessible(fresh):
        if fresh.get("externalTrafficPolicy") == stored.get("externalTrafficPolicy"):
            fresh.pop("externalTrafficPolicy", None)


def validate_status(new: Object, _old: Object, errors: FieldErrors) -> None:
    status = (new.get("status") or {}).get("loadBalancer") or {}
    validate_load_balancer_status(status, Path("status.loadBalancer"), errors)


def external_ip(service: Object) -> str:
    spec, given = service.get("spec") or {}, (service.get("spec") or {}).get("externalIPs") or []
    type_ = spec.get("type")
    if type_ in ("ClusterIP", "NodePort"):
        return join(given)
    if type_ == "LoadBalancer":
        ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        balanced = sorted({i.get("ip") or i.get("hostname") or "" for i in ingress} - {""})
        return ",".join([*balanced, *given]) or "<pending>"
    return str(spec.get("externalName", "")) if type_ == "ExternalName" else UNKNOWN


def _port(port: Object) -> str:
    number = str(port.get("port"))
    if port.get("nodePort"):
        number = f"{number}:{port['nodePort']}"
    return f"{number}/{port.get('protocol', '')}"


def row(service: Object) -> list[Any]:
    spec = service.get("spec") or {}
    ips = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return [
        meta.name(service),
        spec.get("type", ""),
        ips[0] or NONE,
        external_ip(service),
        join(_port(port) for port in spec.get("ports") or ()),
        age(service),
        format_labels(spec.get("selector")),
    ]


def fields(service: Object) -> dict[str, str]:
    spec = service.get("spec") or {}
    return {"spec.clusterIP": spec.get("clusterIP") or "", "spec.type": spec.get("type") or ""}


def _validate(service: Object, errors: FieldErrors) -> None:
    validate_service(service, errors)


RULES = KindRules(
    warnings=object_warnings.of_service,
    default=default,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=_validate,
    validate_update=validate_service_update,
    validate_status=validate_status,
    columns=(
        NAME,
        text("Type", "How the Service is exposed."),
        text("Cluster-IP", "The IP address of the service, usually assigned by the server."),
        text("External-IP", "Addresses for which nodes in the cluster will also accept traffic."),
        text("Port(s)", "The list of ports that are exposed by this service."),
        AGE,
        SELECTOR,
    ),
    row=row,
    fields=fields,
    name_check=meta.dns1123_label,
)
