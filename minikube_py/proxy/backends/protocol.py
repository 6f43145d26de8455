"""What turns service rules into packet handling on a node: nftables, or a backend that only remembers (fake)."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, order=True)
class Endpoint:
    """A backend pod of one service port."""

    ip: str
    port: int
    is_local: bool = False


@dataclass(frozen=True)
class ServicePort:
    """One port of one Service as the data path needs it. protocol is tcp, udp or sctp; affinity_seconds 0: none."""

    namespace: str
    name: str
    port_name: str
    protocol: str
    port: int
    cluster_ips: tuple[str, ...] = ()
    external_ips: tuple[str, ...] = ()
    load_balancer_ips: tuple[str, ...] = ()
    node_port: int = 0
    endpoints: tuple[Endpoint, ...] = ()
    affinity_seconds: int = 0
    external_local_only: bool = False
    internal_local_only: bool = False
    local_endpoints: tuple[Endpoint, ...] = ()
    """The endpoints on this node: all that the two local-only settings may use."""
    local_ready: tuple[str, ...] = ()
    """Addresses of those among them that are ready, not only still serving: what health checks count."""
    source_ranges: tuple[str, ...] = ()
    """Who may use the load balancer addresses; () means everybody."""


@dataclass(frozen=True)
class HostPort:
    """A pod's hostPort. host_ip '' means all addresses."""

    pod_uid: str
    protocol: str
    host_port: int
    pod_ip: str
    container_port: int
    host_ip: str = ""


@dataclass(frozen=True)
class RuleSet:
    """Everything the node's data path should do now."""

    services: tuple[ServicePort, ...] = ()
    host_ports: tuple[HostPort, ...] = ()
    node_addresses: tuple[str, ...] = ()
    cluster_cidr: str = ""
    pod_cidr: str = ""
    api_server: Endpoint | None = None
    extra: dict[str, str] = field(default_factory=dict)


class ProxyBackend(Protocol):
    """apply is atomic: packets see the old rules or the new ones."""

    async def apply(self, rules: RuleSet) -> None: ...

    async def destroy(self) -> None:
        """Remove everything of this cluster and node from the host."""
        ...
