"""Runs many simulated nodes in this process: they share informers, one lease timer, and cost next to nothing idle."""

import asyncio
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field

from minikube_py.client.node_connection import NodeConnection
from minikube_py.client.protocol import Client
from minikube_py.kubelet.kubelet import Kubelet, KubeletOptions
from minikube_py.kubelet.leases import LeaseTimer
from minikube_py.kubelet.node_object import MOST_PODS
from minikube_py.kubelet.pod_source import SharedPods
from minikube_py.kubelet.runtimes.fake import GIB, FakeRuntime, FakeRuntimeOptions
from minikube_py.reconciling.informer import InformerSet

# Half of the time that a Lease is good for: a late tick must not make thousands of nodes look dead.
_RENEW_SECONDS = 20.0


@dataclass(frozen=True)
class FakeNodesOptions:
    """Which nodes and what each is like. pod_range is cut into one /24 for each; node_range gives their addresses.

    client_for: the client of one node by its name, as system:node:<name>.
    informers: shared; its client must be allowed to list all pods, nodes and Services.
    """

    names: tuple[str, ...]
    client_for: Callable[[str], Client]
    informers: InformerSet
    cpus: int = 32
    memory_bytes: int = 256 * GIB
    most_pods: int = MOST_PODS
    pod_range: str = "100.64.0.0/10"
    node_range: str = "172.31.0.0/16"
    labels: dict[str, str] = field(default_factory=lambda: {"mkube.io/simulated": "true"})


class FakeNodes:
    """`run` until cancelled; `find` is the NodeConnections of these nodes."""

    def __init__(self, options: FakeNodesOptions) -> None:
        self._options = options
        self._kubelets: dict[str, Kubelet] = {}

    def find(self, node_name: str) -> NodeConnection | None:
        return self._kubelets.get(node_name)

    async def run(self) -> None:
        pods = SharedPods(self._options.informers)
        leases = LeaseTimer(_RENEW_SECONDS)
        async with asyncio.TaskGroup() as group:
            for number, name in enumerate(self._options.names):
                kubelet = Kubelet(self._node(number, name, leases), pods.of(name))
                self._kubelets[name] = kubelet
                group.create_task(kubelet.run(), name=f"kubelet {name}")

    def _node(self, number: int, name: str, leases: LeaseTimer) -> KubeletOptions:
        options = self._options
        pods = ipaddress.ip_network(options.pod_range)
        nodes = ipaddress.ip_network(options.node_range)
        cidr = f"{pods[number * 256 % pods.num_addresses]}/24"
        runtime = FakeRuntime(FakeRuntimeOptions(name, cidr, options.cpus, options.memory_bytes))
        return KubeletOptions(
            node_name=name,
            client=options.client_for(name),
            runtime=runtime,
            addresses=(str(nodes[(number + 1) % nodes.num_addresses]),),
            pod_cidr=cidr,
            labels=options.labels,
            most_pods=options.most_pods,
            informers=options.informers,
            leases=leases,
        )
