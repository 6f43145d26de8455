"""Runs many simulated nodes in this process: they share informers, one lease timer, and cost next to nothing idle."""

import asyncio
import ipaddress
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from minikube_py.client.node_connection import NodeConnection
from minikube_py.client.protocol import Client
from minikube_py.kubelet.first_nodes import SIMULATED_PODS, simulated_pod_range
from minikube_py.kubelet.kubelet import Kubelet, KubeletOptions
from minikube_py.kubelet.leases import LeaseTimer
from minikube_py.kubelet.node_object import MOST_PODS, NodeMachine, new_node, node_status
from minikube_py.kubelet.node_source import SharedNodes
from minikube_py.kubelet.node_status import SIMULATED_STORAGE
from minikube_py.kubelet.pod_source import SharedPods
from minikube_py.kubelet.runtimes.fake import GIB, FakeRuntime, FakeRuntimeOptions, simulated_info
from minikube_py.objects.errors import Object
from minikube_py.reconciling.informer import InformerSet

# Half of the time that a Lease is good for: a late tick must not make thousands of nodes look dead.
_RENEW_SECONDS = 20.0
_NO_LABELS: Mapping[str, str] = {}
_NODE_RANGE = "172.31.0.0/16"
FIRST_NODE_ADDRESS = "172.31.0.1"
"""The address of the first simulated node. Like all of theirs, nothing answers there."""


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
    pod_range: str = SIMULATED_PODS
    node_range: str = _NODE_RANGE
    labels: dict[str, str] = field(default_factory=lambda: {"mkube.io/simulated": "true"})


class FakeNodes:
    """`run` until cancelled; `find` is the NodeConnections of these nodes. Nodes may come and go all the time."""

    def __init__(self, options: FakeNodesOptions) -> None:
        self.options = options
        self._kubelets: dict[str, Kubelet] = {}
        self._numbers: dict[str, int] = {}
        self._free_numbers: list[int] = []
        self._next_number = 0
        self._extra_labels: dict[str, dict[str, str]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._pods = SharedPods(options.informers)
        self._nodes = SharedNodes(options.informers)
        self._leases = LeaseTimer(_RENEW_SECONDS)
        self._group: asyncio.TaskGroup | None = None
        for name in options.names:
            self.add(name)

    @property
    def names(self) -> Collection[str]:
        """The nodes that there are."""
        return self._numbers.keys()

    def find(self, node_name: str) -> NodeConnection | None:
        return self._kubelets.get(node_name)

    def add(self, name: str, labels: Mapping[str, str] = _NO_LABELS, pod_cidr: str = "") -> None:
        """One node more. pod_cidr is what the node had before, if it is an old one."""
        self._numbers[name] = self._take_number(pod_cidr)
        self._extra_labels[name] = dict(labels)
        if self._group is not None:
            self._start(name, self._group)

    async def remove(self, name: str) -> None:
        """Stop a node and what runs on it; its Node object stays."""
        task, kubelet = self._tasks.pop(name, None), self._kubelets.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if kubelet is not None:
            await kubelet.options.runtime.close()
        number = self._numbers.pop(name, None)
        if number is not None:
            self._free_numbers.append(number)
        self._extra_labels.pop(name, None)

    def template(self, name: str, labels: Mapping[str, str] = _NO_LABELS) -> Object:
        """What a node of this kind reports once it is up."""
        options = self.options
        runtime = FakeRuntimeOptions(name, cpus=options.cpus, memory_bytes=options.memory_bytes)
        machine = NodeMachine(
            info=simulated_info(runtime),
            addresses=(),
            hostname=name,
            storage_bytes=SIMULATED_STORAGE,
            extra_labels={**options.labels, **labels},
            most_pods=options.most_pods,
        )
        return {**new_node(name, machine), "status": node_status(machine, ())}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            for name in self._numbers:
                self._start(name, group)
            await asyncio.Event().wait()

    def _start(self, name: str, group: asyncio.TaskGroup) -> None:
        options = self._node(self._numbers[name], name)
        kubelet = Kubelet(options, self._pods.of(name), self._nodes.of(name))
        self._kubelets[name] = kubelet
        self._tasks[name] = group.create_task(kubelet.run(), name=f"kubelet {name}")

    def _take_number(self, pod_cidr: str) -> int:
        """The node's place in the ranges: the one of pod_cidr if that is free, else any."""
        if pod_cidr:
            offset = int(ipaddress.ip_network(pod_cidr)[0]) - int(ipaddress.ip_network(self.options.pod_range)[0])
            wanted = offset // 256
            if wanted >= self._next_number:
                self._free_numbers.extend(range(self._next_number, wanted))
                self._next_number = wanted + 1
                return wanted
            if wanted in self._free_numbers:
                self._free_numbers.remove(wanted)
                return wanted
        if self._free_numbers:
            return self._free_numbers.pop()
        self._next_number += 1
        return self._next_number - 1

    def _node(self, number: int, name: str) -> KubeletOptions:
        options = self.options
        nodes = ipaddress.ip_network(options.node_range)
        cidr = simulated_pod_range(options.pod_range, number)
        runtime = FakeRuntime(FakeRuntimeOptions(name, cidr, options.cpus, options.memory_bytes))
        return KubeletOptions(
            node_name=name,
            client=options.client_for(name),
            runtime=runtime,
            addresses=(str(nodes[(number + 1) % nodes.num_addresses]),),
            pod_cidr=cidr,
            labels={**options.labels, **self._extra_labels[name]},
            most_pods=options.most_pods,
            informers=options.informers,
            leases=self._leases,
        )
