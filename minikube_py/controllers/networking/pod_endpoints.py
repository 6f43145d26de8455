"""Says which pods stand behind a Service, under which addresses and ports; pure functions over objects.

Source: staging/src/k8s.io/endpointslice (util, topologycache aside) and pkg/controller/endpoint.
"""

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Any

from minikube_py.controllers.workloads.pods import is_finished, is_ready
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import is_deleting, labels, name, namespace, uid

ZONE_LABEL = "topology.kubernetes.io/zone"
HEADLESS_LABEL = "service.kubernetes.io/headless"


def is_headless(service: Object) -> bool:
    return bool(service["spec"].get("clusterIP") in ("None", "", None))


def has_pods(service: Object) -> bool:
    """Whether the endpoints of this Service are made from pods."""
    return bool(service["spec"].get("selector")) and service["spec"].get("type") != "ExternalName"


def selects(service: Object, pod: Object) -> bool:
    selector = service["spec"].get("selector") or {}
    return bool(selector) and selector.items() <= labels(pod).items()


def address_type(address: str) -> str:
    return f"IPv{ip_address(address).version}"


def address_types(service: Object) -> list[str]:
    """The families the Service wants slices for."""
    spec = service["spec"]
    if spec.get("ipFamilies"):
        return list(spec["ipFamilies"])
    cluster_ip = spec.get("clusterIP")
    if cluster_ip and cluster_ip != "None":
        return [address_type(cluster_ip)]
    return ["IPv4"]


def pod_addresses(pod: Object, family: str) -> list[str]:
    ips = [entry["ip"] for entry in (pod.get("status") or {}).get("podIPs") or () if entry.get("ip")]
    return [ip for ip in ips if address_type(ip) == family]


def is_candidate(pod: Object, *, with_terminating: bool) -> bool:
    """Whether a selected pod takes part at all."""
    if is_finished(pod) or not (pod.get("status") or {}).get("podIPs"):
        return False
    return with_terminating or not is_deleting(pod)


def container_port(pod: Object, service_port: Object) -> int | None:
    """The number that a Service port's target has in this pod, None when the pod has no port of that name."""
    target = service_port.get("targetPort") or service_port["port"]
    if isinstance(target, int):
        return target
    protocol = service_port.get("protocol", "TCP")
    for container in _serving_containers(pod):
        for port in container.get("ports") or ():
            if port.get("name") == target and port.get("protocol", "TCP") == protocol:
                return int(port["containerPort"])
    return None


def _serving_containers(pod: Object) -> Iterator[Object]:
    yield from pod["spec"].get("containers") or ()
    for container in pod["spec"].get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            yield container


def endpoint_ports(service: Object, pod: Object) -> list[Object]:
    """The ports of the Service that this pod serves, as EndpointSlice ports."""
    ports = []
    for service_port in service["spec"].get("ports") or ():
        number = container_port(pod, service_port)
        if number is None:
            continue
        port: Object = {
            "name": service_port.get("name", ""),
            "port": number,
            "protocol": service_port.get("protocol", "TCP"),
        }
        if service_port.get("appProtocol"):
            port["appProtocol"] = service_port["appProtocol"]
        ports.append(port)
    return ports


def pod_hostname(service: Object, pod: Object) -> str:
    """The pod's own DNS name under a headless Service, '' if it has none."""
    spec = pod["spec"]
    same = spec.get("subdomain") == name(service) and namespace(pod) == namespace(service)
    return str(spec.get("hostname", "")) if same else ""


def pod_reference(pod: Object) -> Object:
    return {"kind": "Pod", "namespace": namespace(pod), "name": name(pod), "uid": uid(pod)}


def slice_endpoint(service: Object, pod: Object, node: Object | None, family: str) -> Object:
    """The pod as an endpoint of an EndpointSlice."""
    serving, terminating = is_ready(pod), is_deleting(pod)
    ready = bool(service["spec"].get("publishNotReadyAddresses")) or (serving and not terminating)
    endpoint: Object = {
        "addresses": pod_addresses(pod, family),
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": pod_reference(pod),
    }
    if pod["spec"].get("nodeName"):
        endpoint["nodeName"] = pod["spec"]["nodeName"]
    zone = labels(node).get(ZONE_LABEL) if node is not None else None
    if zone:
        endpoint["zone"] = zone
    hostname = pod_hostname(service, pod)
    if hostname:
        endpoint["hostname"] = hostname
    hints = _hints(service["spec"].get("trafficDistribution"), endpoint)
    if hints:
        endpoint["hints"] = hints
    return endpoint


def _hints(distribution: str | None, endpoint: Object) -> Object:
    """For which zones and nodes a ready endpoint is meant by the trafficDistribution (KEP-4444, KEP-3015)."""
    hints: Object = {}
    if distribution not in ("PreferClose", "PreferSameZone", "PreferSameNode") or not endpoint["conditions"]["ready"]:
        return hints
    if endpoint.get("zone"):
        hints["forZones"] = [{"name": endpoint["zone"]}]
    if distribution == "PreferSameNode" and endpoint.get("nodeName"):
        hints["forNodes"] = [{"name": endpoint["nodeName"]}]
    return hints


def fingerprint(pod: Object) -> Any:
    """What of a pod its endpoints are made from; two pods with equal ones need no new look."""
    spec = pod["spec"]
    return (
        is_ready(pod), is_deleting(pod), is_finished(pod), (pod.get("status") or {}).get("podIPs"),
        spec.get("nodeName"), spec.get("hostname"), spec.get("subdomain"),
    )  # fmt: skip


def port_key(ports: Iterable[Object]) -> tuple[Any, ...]:
    """Equal for equal sets of ports."""
    return tuple(
        sorted(
            (p.get("name") or "", p.get("port") or 0, p.get("protocol", "TCP"), p.get("appProtocol") or "")
            for p in ports
        )
    )
