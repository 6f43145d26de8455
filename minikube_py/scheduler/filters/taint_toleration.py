"""Refuses nodes with a NoSchedule or NoExecute taint that the pod doesn't tolerate."""

from minikube_py.scheduler.framework import Change, Check, Refusal, Wake
from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.snapshot import Snapshot
from minikube_py.scheduler.tolerations import tolerates

_REFUSAL = Refusal(("node(s) had untolerated taint(s)",), is_final=True)


class TaintToleration:
    name = "TaintToleration"
    is_local = True
    wakes_on = frozenset((Wake.NODE_ADDED, Wake.NODE_TAINTS))

    def helps(self, pod: PodInfo, change: Change) -> bool:
        return change.node is None or _tolerates_all(pod, change.node)

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Check | Refusal | None:
        def check(node: NodeInfo) -> Refusal | None:
            return None if not node.hard_taints or _tolerates_all(pod, node) else _REFUSAL

        return check


def _tolerates_all(pod: PodInfo, node: NodeInfo) -> bool:
    return all(any(tolerates(toleration, taint) for toleration in pod.tolerations) for taint in node.hard_taints)
