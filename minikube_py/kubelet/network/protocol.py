"""The pod network's contract: give a sandbox an address, take it back. netlink, docker and fake implement it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class PodNetworkConfig:
    """One node's share of the cluster network. Ranges in CIDR form."""

    cluster_id: str
    node_name: str
    pod_cidr: str
    cluster_cidr: str
    service_cidr: str
    cluster_dns: str
    load_balancer_cidr: str = ""


@dataclass(frozen=True)
class Attachment:
    """A pod's place on the network. gateway is the node's own address on the pod bridge."""

    ips: tuple[str, ...]
    gateway: str


class PodNetwork(Protocol):
    """attach is safe to repeat: a sandbox that is attached keeps its address."""

    async def start(self, in_use: Mapping[str, str]) -> None:
        """Set up the node's side. in_use maps pod addresses to the sandbox ids that hold them already."""
        ...

    def sandbox_options(self, ip: str) -> dict[str, object]:
        """What the runtime must pass when it creates a sandbox (e.g. network mode)."""
        ...

    async def reserve(self, pod_uid: str, wanted: str = "") -> str:
        """An address for the pod, `wanted` when it is free. Raises RuntimeFailure when the range is used up."""
        ...

    async def attach(self, sandbox_id: str, process_id: int, ip: str) -> Attachment: ...

    async def detach(self, sandbox_id: str, ip: str) -> None: ...

    async def close(self) -> None:
        """Let go of handles; pods keep their network."""
        ...

    async def destroy(self) -> None:
        """Remove everything of this node from the host."""
        ...
