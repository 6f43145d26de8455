"""Prefers nodes whose cpu and memory would be used to the same degree."""

from collections.abc import Sequence

from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.snapshot import Snapshot


class BalancedAllocation:
    name = "NodeResourcesBalancedAllocation"

    def score(self, pod: PodInfo, nodes: Sequence[NodeInfo], snapshot: Snapshot) -> list[float] | None:
        cpu, memory = pod.milli_cpu, pod.memory
        if not cpu and not memory:
            return None  # best-effort pods don't change the balance
        return [_balance(node, cpu, memory) for node in nodes]


def _balance(node: NodeInfo, cpu: int, memory: int) -> float:
    if not node.max_cpu or not node.max_memory:
        return 100.0
    share_cpu = min((node.used_cpu + cpu) / node.max_cpu, 1.0)
    share_memory = min((node.used_memory + memory) / node.max_memory, 1.0)
    # With two resources the standard deviation is half their difference.
    return int((1 - abs(share_cpu - share_memory) / 2) * 100)
