"""Refuses nodes that don't meet the pod's nodeSelector and required node affinity."""

from minikube_py.objects.selectors import NodeSelector
from minikube_py.scheduler.framework import Change, Check, Refusal, Wake
from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.snapshot import Snapshot

_REFUSAL = Refusal(("node(s) didn't match Pod's node affinity/selector",), is_final=True)
_ENFORCED = Refusal(("node(s) didn't match scheduler-enforced node affinity",), is_final=True)


def accepts(pod: PodInfo, node: NodeInfo) -> bool:
    """Whether the node meets nodeSelector and required node affinity."""
    labels = node.labels
    for key, value in pod.node_selector.items():
        if labels.get(key) != value:
            return False
    return pod.node_affinity is None or pod.node_affinity.matches(labels, node.fields)


class NodeAffinity:
    name = "NodeAffinity"
    is_local = True
    wakes_on = frozenset((Wake.NODE_ADDED, Wake.NODE_LABELS))

    def __init__(self, added: NodeSelector | None = None) -> None:
        """added: what all nodes must meet besides, whatever the pod says."""
        self._added = added

    def helps(self, pod: PodInfo, change: Change) -> bool:
        """A node that the pod and the added affinity accept now."""
        node = change.node
        if node is None:
            return True
        if self._added is not None and not self._added.matches(node.labels, node.fields):
            return False
        return accepts(pod, node)

    def only_nodes(self, pod: PodInfo) -> frozenset[str] | None:
        """Those named by the pod's matchFields, as DaemonSets do; None when a term names none."""
        return pod.node_affinity.node_names if pod.node_affinity is not None else None

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Check | Refusal | None:
        added = self._added
        if added is not None:
            return lambda node: (
                _ENFORCED if not added.matches(node.labels, node.fields) else None if accepts(pod, node) else _REFUSAL
            )
        if not pod.node_selector and pod.node_affinity is None:
            return None

        def check(node: NodeInfo) -> Refusal | None:
            return None if accepts(pod, node) else _REFUSAL

        return check
