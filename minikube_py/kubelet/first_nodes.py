"""Makes Nodes before their kubelets run, so that whoever waits for the nodes of a server finds them at once."""

import asyncio
import contextlib
import ipaddress
from collections.abc import Callable, Sequence

from minikube_py.client.protocol import Client
from minikube_py.objects.errors import AlreadyExists
from minikube_py.resources.kind import GVR

NODES = GVR("", "v1", "nodes")
SIMULATED_PODS = "100.64.0.0/10"
"""Where simulated nodes have their pod ranges, unless told otherwise."""


async def make_nodes(client_for: Callable[[str], Client], names: Sequence[str], *, are_simulated: bool) -> None:
    """Create those that are missing. client_for gives a node's own client."""
    ranges = [simulated_pod_range(SIMULATED_PODS, number) if are_simulated else "" for number in range(len(names))]
    await asyncio.gather(*(make_node(client_for(name), name, cidr) for name, cidr in zip(names, ranges, strict=True)))


async def make_node(client: Client, name: str, pod_cidr: str = "") -> None:
    """Create the Node when it is not there. Without a pod range the node IPAM controller gives it one."""
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    spec = {"podCIDR": pod_cidr, "podCIDRs": [pod_cidr]} if pod_cidr else {}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": spec}
    with contextlib.suppress(AlreadyExists):
        await client.create(NODES, node)


def simulated_pod_range(all_pods: str, number: int) -> str:
    """The pod range of the simulated node with that number."""
    pods = ipaddress.ip_network(all_pods)
    return f"{pods[number * 256 % pods.num_addresses]}/24"
