"""Works out, from Services, EndpointSlices and this node's pods, what the node's data path should do. Pure.

Source: the Services reference (virtual IPs, traffic policies, session affinity) and KEP-1669 (terminating endpoints).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from minikube_py.objects.errors import Object
from minikube_py.proxy.backends.protocol import Endpoint, HostPort, RuleSet, ServicePort
from minikube_py.proxy.health_checks import HealthCheck

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
_DEFAULT_AFFINITY_SECONDS = 10_800
_TERMINAL_PHASES = ("Succeeded", "Failed")


@dataclass(frozen=True)
class NodeView:
    """The node that the rules are for. Ranges in CIDR form."""

    name: str
    cluster_cidr: str
    pod_cidr: str
    addresses: tuple[str, ...] = ()
    dns_ip: str = ""
    """The cluster DNS address, which every node answers by itself; '' leaves it to the Service's endpoints."""
    dns_endpoint: Endpoint | None = None
    """Where this node's DNS server listens."""
    zone: str = ""
    """The node's own, for endpoints that are meant for some zones only."""
    health_address: str = ""
    """Where this node answers on health check node ports; '' for nowhere."""


@dataclass(frozen=True)
class _Candidate:
    endpoint: Endpoint
    is_ready: bool
    is_serving: bool
    is_terminating: bool
    zones: frozenset[str] = frozenset()
    nodes: frozenset[str] = frozenset()
    """Whom the endpoint is meant for; nobody in particular when both are empty."""


def build_rules(
    services: Iterable[Object], slices: Iterable[Object], pods: Iterable[Object], node: NodeView
) -> RuleSet:
    """`pods` are those of this node, `slices` all of the cluster. The answer does not depend on their order."""
    by_service: dict[tuple[str, str], list[Object]] = {}
    for piece in slices:
        metadata = piece["metadata"]
        owner = (metadata.get("labels") or {}).get(SERVICE_NAME_LABEL, "")
        if owner and piece.get("addressType") == "IPv4":
            by_service.setdefault((metadata["namespace"], owner), []).append(piece)
    found = _dns_ports(node)
    for service in services:
        if is_proxied(service) and not (found and node.dns_ip in _cluster_ips(service["spec"])):
            key = (service["metadata"]["namespace"], service["metadata"]["name"])
            found.extend(_service_ports(service, by_service.get(key, []), node))
    return RuleSet(
        services=tuple(sorted(found, key=lambda one: (one.namespace, one.name, one.port_name, one.protocol, one.port))),
        host_ports=tuple(sorted(host_ports(pods), key=lambda one: (one.host_ip, one.protocol, one.host_port))),
        node_addresses=node.addresses,
        cluster_cidr=node.cluster_cidr,
        pod_cidr=node.pod_cidr,
    )


def _dns_ports(node: NodeView) -> list[ServicePort]:
    if not node.dns_ip or node.dns_endpoint is None:
        return []
    return [
        ServicePort("kube-system", "kube-dns", name, protocol, 53, (node.dns_ip,), endpoints=(node.dns_endpoint,))
        for name, protocol in (("dns", "udp"), ("dns-tcp", "tcp"))
    ]


def is_proxied(service: Object) -> bool:
    """Whether the Service has a virtual address: not headless, not ExternalName, not another proxy's."""
    spec = service.get("spec") or {}
    if PROXY_NAME_LABEL in (service["metadata"].get("labels") or {}):
        return False
    return spec.get("type") != "ExternalName" and bool(_cluster_ips(spec))


def _cluster_ips(spec: Object) -> tuple[str, ...]:
    listed = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return tuple(ip for ip in listed if isinstance(ip, str) and ip not in ("", "None") and ":" not in ip)


def _service_ports(service: Object, slices: list[Object], node: NodeView) -> list[ServicePort]:
    spec = service["spec"]
    kind = spec.get("type", "ClusterIP")
    is_external = kind in ("NodePort", "LoadBalancer")
    affinity = _affinity_seconds(spec)
    ports: list[ServicePort] = []
    for port in spec.get("ports") or ():
        candidates = _candidates(slices, port, node.name)
        ports.append(
            ServicePort(
                namespace=service["metadata"]["namespace"],
                name=service["metadata"]["name"],
                port_name=port.get("name", ""),
                protocol=port.get("protocol", "TCP").lower(),
                port=port["port"],
                cluster_ips=_cluster_ips(spec),
                external_ips=tuple(ip for ip in spec.get("externalIPs") or () if ":" not in ip),
                load_balancer_ips=_load_balancer_ips(service) if kind == "LoadBalancer" else (),
                node_port=port.get("nodePort", 0) if is_external else 0,
                endpoints=usable(nearest(candidates, node)),
                affinity_seconds=affinity,
                external_local_only=is_external and spec.get("externalTrafficPolicy") == "Local",
                internal_local_only=spec.get("internalTrafficPolicy") == "Local",
                local_endpoints=usable([one for one in candidates if one.endpoint.is_local]),
                local_ready=_ready_here(candidates) if spec.get("healthCheckNodePort") else (),
                source_ranges=_source_ranges(spec) if kind == "LoadBalancer" else (),
            )
        )
    health_port = spec.get("healthCheckNodePort") or 0
    if health_port and kind == "LoadBalancer" and node.health_address:
        ports.append(_health_port(service, health_port, node.health_address))
    return ports


def _health_port(service: Object, port: int, address: str) -> ServicePort:
    """The health check's port on every address of the node, as a node port that leads to the node itself."""
    return ServicePort(
        namespace=service["metadata"]["namespace"],
        name=service["metadata"]["name"],
        port_name="health-check",
        protocol="tcp",
        port=port,
        node_port=port,
        endpoints=(Endpoint(address, port, is_local=True),),
    )


def health_checks(services: Iterable[Object], rules: RuleSet) -> dict[int, HealthCheck]:
    """What to tell on which health check node port. `rules` are those of this node for the same Services."""
    endpoints: dict[tuple[str, str], set[str]] = {}
    for port in rules.services:
        found = endpoints.setdefault((port.namespace, port.name), set())
        found.update(port.local_ready)
    checks: dict[int, HealthCheck] = {}
    for service in services:
        spec, metadata = service.get("spec") or {}, service["metadata"]
        port_number = spec.get("healthCheckNodePort") or 0
        if port_number and spec.get("type") == "LoadBalancer" and is_proxied(service):
            local = len(endpoints.get((metadata["namespace"], metadata["name"]), ()))
            checks[port_number] = HealthCheck(metadata["namespace"], metadata["name"], local)
    return checks


def _ready_here(candidates: list[_Candidate]) -> tuple[str, ...]:
    return tuple(sorted({one.endpoint.ip for one in candidates if one.is_ready and one.endpoint.is_local}))


def _affinity_seconds(spec: Object) -> int:
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return int(config.get("timeoutSeconds") or _DEFAULT_AFFINITY_SECONDS)


def _load_balancer_ips(service: Object) -> tuple[str, ...]:
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return tuple(
        one["ip"] for one in ingress if one.get("ip") and ":" not in one["ip"] and one.get("ipMode", "VIP") == "VIP"
    )


def _source_ranges(spec: Object) -> tuple[str, ...]:
    listed = spec.get("loadBalancerSourceRanges") or ()
    return tuple(sorted(str(one).strip() for one in listed if ":" not in one))


def _candidates(slices: list[Object], service_port: Object, node_name: str) -> list[_Candidate]:
    """Every endpoint of one service port, once, whatever its condition."""
    wanted = (service_port.get("name", ""), service_port.get("protocol", "TCP"))
    found: dict[tuple[str, int], _Candidate] = {}
    for piece in slices:
        for port in piece.get("ports") or ():
            if (port.get("name") or "", port.get("protocol") or "TCP") != wanted or not port.get("port"):
                continue
            for endpoint in piece.get("endpoints") or ():
                candidate = _candidate(endpoint, port["port"], node_name)
                known = found.get((candidate.endpoint.ip, candidate.endpoint.port))
                # Slices overlap for a moment while an endpoint moves between them; ready wins.
                if known is None or (candidate.is_ready and not known.is_ready):
                    found[(candidate.endpoint.ip, candidate.endpoint.port)] = candidate
    return list(found.values())


def _candidate(endpoint: Object, port: int, node_name: str) -> _Candidate:
    conditions = endpoint.get("conditions") or {}
    ready = conditions.get("ready")
    is_ready = ready is None or bool(ready)
    serving = conditions.get("serving")
    return _Candidate(
        Endpoint(endpoint["addresses"][0], port, endpoint.get("nodeName") == node_name),
        is_ready=is_ready,
        is_serving=is_ready if serving is None else bool(serving),
        is_terminating=bool(conditions.get("terminating")),
        zones=_hinted(endpoint, "forZones"),
        nodes=_hinted(endpoint, "forNodes"),
    )


def _hinted(endpoint: Object, key: str) -> frozenset[str]:
    return frozenset(one["name"] for one in (endpoint.get("hints") or {}).get(key) or ())


def nearest(candidates: list[_Candidate], node: NodeView) -> list[_Candidate]:
    """The ready endpoints that are meant for this node, else for its zone; all of them when the hints don't help.

    Hints count only when every ready endpoint has them: while they are being written, nobody is cut off.
    """
    ready = [one for one in candidates if one.is_ready]
    for hints_of, wanted in ((_nodes_of, node.name), (_zones_of, node.zone)):
        if ready and all(hints_of(one) for one in ready):
            meant = [one for one in ready if wanted in hints_of(one)]
            if meant:
                return meant
    return candidates


def _nodes_of(candidate: _Candidate) -> frozenset[str]:
    return candidate.nodes


def _zones_of(candidate: _Candidate) -> frozenset[str]:
    return candidate.zones


def usable(candidates: list[_Candidate]) -> tuple[Endpoint, ...]:
    """The ready endpoints; when there are none, those that still serve while they terminate."""
    ready = [one.endpoint for one in candidates if one.is_ready]
    if not ready:
        ready = [one.endpoint for one in candidates if one.is_serving and one.is_terminating]
    return tuple(sorted(ready))


def host_ports(pods: Iterable[Object]) -> list[HostPort]:
    """The host ports of pods with an address of their own. A host-network pod listens on the host by itself."""
    found: list[HostPort] = []
    for pod in pods:
        spec, status = pod.get("spec") or {}, pod.get("status") or {}
        ip = status.get("podIP", "")
        if spec.get("hostNetwork") or not ip or ":" in ip or status.get("phase") in _TERMINAL_PHASES:
            continue
        sidecars = [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]
        for container in [*(spec.get("containers") or ()), *sidecars]:
            for port in container.get("ports") or ():
                if port.get("hostPort") and ":" not in port.get("hostIP", ""):
                    found.append(_host_port(pod, port, ip))
    return found


def _host_port(pod: Object, port: Object, ip: str) -> HostPort:
    host_ip = port.get("hostIP", "")
    return HostPort(
        pod_uid=pod["metadata"]["uid"],
        protocol=port.get("protocol", "TCP").lower(),
        host_port=port["hostPort"],
        pod_ip=ip,
        container_port=port["containerPort"],
        host_ip="" if host_ip == "0.0.0.0" else host_ip,
    )
