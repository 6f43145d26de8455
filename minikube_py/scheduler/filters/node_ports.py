"""Refuses nodes on which another pod holds one of the pod's host ports."""

from minikube_py.scheduler.framework import Change, Check, Refusal, Wake
from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.snapshot import Snapshot

_REFUSAL = Refusal(("node(s) didn't have free ports for the requested pod ports",))


class NodePorts:
    name = "NodePorts"
    is_local = True
    wakes_on = frozenset((Wake.NODE_ADDED, Wake.POD_GONE))

    def helps(self, pod: PodInfo, change: Change) -> bool:
        """A new node, or a pod gone that held one of the ports."""
        gone = change.pod
        return gone is None or any(
            mine.port == theirs.port and mine.protocol == theirs.protocol
            for mine in pod.host_ports
            for theirs in gone.host_ports
        )

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Check | Refusal | None:
        ports = pod.host_ports
        if not ports:
            return None

        def check(node: NodeInfo) -> Refusal | None:
            return _REFUSAL if any(node.has_port(port) for port in ports) else None

        return check
