"""Refuses nodes that are cordoned, unless the pod tolerates it."""

from minikube_py.scheduler.framework import Change, Check, Refusal, Wake
from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.snapshot import Snapshot
from minikube_py.scheduler.tolerations import tolerates

_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_REFUSAL = Refusal(("node(s) were unschedulable",), is_final=True)


class NodeUnschedulable:
    name = "NodeUnschedulable"
    is_local = True
    wakes_on = frozenset((Wake.NODE_ADDED, Wake.NODE_TAINTS))

    def helps(self, pod: PodInfo, change: Change) -> bool:
        return change.node is None or not change.node.unschedulable

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Check | Refusal | None:
        if any(tolerates(toleration, _TAINT) for toleration in pod.tolerations):
            return None
        return _check


def _check(node: NodeInfo) -> Refusal | None:
    return _REFUSAL if node.unschedulable else None
