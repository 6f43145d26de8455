"""Prefers nodes that meet the pod's preferred node affinity, by weight."""

from collections.abc import Sequence

from minikube_py.objects.selectors import NodeSelectorTerm
from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.scaling import scale_to_best
from minikube_py.scheduler.snapshot import Snapshot


class NodeAffinityScore:
    name = "NodeAffinity"

    def __init__(self, added: tuple[tuple[int, NodeSelectorTerm], ...] = ()) -> None:
        """added: preferences of every pod, with their weights."""
        self._added = added

    def score(self, pod: PodInfo, nodes: Sequence[NodeInfo], snapshot: Snapshot) -> list[float] | None:
        preferences = pod.node_preferences + self._added
        if not preferences:
            return None
        return scale_to_best(
            [sum(weight for weight, term in preferences if term.matches(node.labels, node.fields)) for node in nodes]
        )
