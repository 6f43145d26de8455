"""Prefers nodes whose resources would be used to the same degree."""

from math import sqrt

from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.requests import CPU, MEMORY

_DEFAULT = (CPU, MEMORY)


class BalancedAllocation:
    """The smaller the standard deviation of the resources' shares in use, the better."""

    name = "NodeResourcesBalancedAllocation"

    def __init__(self, resources: tuple[str, ...] = _DEFAULT) -> None:
        self._resources = resources
        self._is_default = set(resources) == set(_DEFAULT)

    def score_node(self, pod: PodInfo, node: NodeInfo) -> float:
        if self._is_default:
            return _balance(node, pod.milli_cpu, pod.memory)
        asked = [(pod.request(name), name) for name in self._resources]
        if not any(amount for amount, _ in asked):
            return 0.0
        shares = []
        for amount, name in asked:
            used, most = node.amounts_of(name)
            if most and (amount or name in (CPU, MEMORY)):
                shares.append(min((used + amount) / most, 1.0))
        if not shares:
            return 100.0
        mean = sum(shares) / len(shares)
        return int((1 - sqrt(sum((share - mean) ** 2 for share in shares) / len(shares))) * 100)


def _balance(node: NodeInfo, cpu: int, memory: int) -> float:
    if not cpu and not memory:
        return 0.0  # best-effort pods don't change the balance
    if not node.max_cpu or not node.max_memory:
        return 100.0
    share_cpu = min((node.used_cpu + cpu) / node.max_cpu, 1.0)
    share_memory = min((node.used_memory + memory) / node.max_memory, 1.0)
    # With two resources the standard deviation is half their difference.
    return int((1 - abs(share_cpu - share_memory) / 2) * 100)
