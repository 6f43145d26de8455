"""Refuses every node but the one that the pod names itself."""

from minikube_py.scheduler.framework import Change, Check, Refusal, Wake
from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.snapshot import Snapshot

_REFUSAL = Refusal(("node(s) didn't match the requested node name",), is_final=True)


class NodeName:
    name = "NodeName"
    is_local = True
    wakes_on = frozenset((Wake.NODE_ADDED,))

    def helps(self, pod: PodInfo, change: Change) -> bool:
        return change.node is None or change.node.name == pod.obj["spec"].get("nodeName")

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Check | Refusal | None:
        wanted = pod.obj["spec"].get("nodeName")
        if not wanted:
            return None

        def check(node: NodeInfo) -> Refusal | None:
            return None if node.name == wanted else _REFUSAL

        return check
