"""Names of what mkube makes on a host's network, unique per cluster and node so that several can share one host."""

import hashlib
import re

from minikube_py.kubelet.network.protocol import PodNetworkConfig


def short_cluster_id(cluster_id: str) -> str:
    """Eight characters that are safe in every name."""
    return re.sub(r"[^a-z0-9]", "", cluster_id.lower())[:8] or "cluster"


def node_digest(config: PodNetworkConfig) -> str:
    return hashlib.sha256(f"{config.cluster_id}/{config.node_name}".encode()).hexdigest()


def bridge_name(config: PodNetworkConfig) -> str:
    """At most 15 characters, the kernel's limit."""
    return f"mkube-{node_digest(config)[:8]}"


def service_device(config: PodNetworkConfig) -> str:
    """The device that the route to Service addresses names."""
    return f"mksvc-{node_digest(config)[:8]}"


def bridge_mac(config: PodNetworkConfig) -> str:
    """A fixed, locally administered address: pods keep the gateway's address in their ARP caches."""
    return "02:" + ":".join(re.findall("..", node_digest(config)[:10]))


def pods_table(config: PodNetworkConfig) -> str:
    """The nftables table with the pod network's own rules."""
    return f"{table_prefix(config.cluster_id)}{node_digest(config)[:8]}-pods"


def table_prefix(cluster_id: str) -> str:
    """What the names of all nftables tables of a cluster begin with."""
    return f"mkube-{short_cluster_id(cluster_id)}-"


def owner_text(config: PodNetworkConfig) -> str:
    """Interface alias and rule comment by which clean-up finds what is ours."""
    return f"{owner_prefix(config.cluster_id)}{config.node_name}"


def owner_prefix(cluster_id: str) -> str:
    return f"mkube {cluster_id} "


def is_owned(text: str, owner: str) -> bool:
    """Whether an alias or comment is the owner's own text or, for a cluster's prefix, one of its nodes'."""
    return text == owner or (owner.endswith(" ") and text.startswith(owner))


def veth_name(sandbox_id: str) -> str:
    return f"mk{sandbox_id[:12]}"


def pod_mac(ip: str) -> str:
    """Derived from the address, so that a reused address never meets a stale ARP entry."""
    return "0a:58:" + ":".join(f"{int(part):02x}" for part in ip.split("."))
