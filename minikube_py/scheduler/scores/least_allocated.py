"""Prefers nodes of which least is requested."""

from collections.abc import Sequence

from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.snapshot import Snapshot


class LeastAllocated:
    """NodeResourcesFit's default strategy: the mean free share of cpu and memory."""

    name = "NodeResourcesFit"

    def score(self, pod: PodInfo, nodes: Sequence[NodeInfo], snapshot: Snapshot) -> list[float] | None:
        cpu, memory = pod.scored_cpu, pod.scored_memory
        return [
            (
                _free_share(node.max_cpu, node.scored_cpu + cpu)
                + _free_share(node.max_memory, node.scored_memory + memory)
            )
            // 2
            for node in nodes
        ]


def _free_share(most: int, used: int) -> int:
    return (most - used) * 100 // most if most and used <= most else 0
