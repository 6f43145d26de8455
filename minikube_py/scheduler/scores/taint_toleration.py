"""Prefers nodes with few PreferNoSchedule taints that the pod doesn't tolerate."""

from collections.abc import Sequence

from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.scaling import scale_to_best
from minikube_py.scheduler.snapshot import Snapshot
from minikube_py.scheduler.tolerations import tolerates


class TaintTolerationScore:
    name = "TaintToleration"

    def score(self, pod: PodInfo, nodes: Sequence[NodeInfo], snapshot: Snapshot) -> list[float] | None:
        if not snapshot.soft_tainted:
            return None
        counts = [
            sum(1 for taint in node.soft_taints if not any(tolerates(t, taint) for t in pod.tolerations))
            if node.soft_taints
            else 0
            for node in nodes
        ]
        return scale_to_best(counts, fewer_is_better=True)
