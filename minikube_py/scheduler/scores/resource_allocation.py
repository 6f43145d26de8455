"""Prefers nodes by how much of their resources is requested: little, much, or along a given curve.

Source: pkg/scheduler/framework/plugins/noderesources.
"""

from collections.abc import Callable, Sequence

from minikube_py.scheduler.framework import MAX_SCORE
from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.requests import CPU, MEMORY

Weights = tuple[tuple[str, int], ...]
"""Resource names with their weights."""

_DEFAULT: Weights = ((CPU, 1), (MEMORY, 1))


def _amounts(pod: PodInfo, node: NodeInfo, resource: str) -> tuple[int, int]:
    """(requested with the pod, allocatable); (0, 0) where the resource does not count."""
    if resource == CPU:
        return node.scored_cpu + pod.scored_cpu, node.max_cpu
    if resource == MEMORY:
        return node.scored_memory + pod.scored_memory, node.max_memory
    used, most = node.amounts_of(resource)
    asked = pod.request(resource)
    if "/" in resource and not asked:
        return 0, 0
    return used + asked, most


def _free_share(used: int, most: int) -> int:
    return (most - used) * 100 // most if used <= most else 0


def _used_share(used: int, most: int) -> int:
    return min(used, most) * 100 // most


class LeastAllocated:
    """NodeResourcesFit's default strategy: the mean free share of cpu and memory."""

    name = "NodeResourcesFit"

    def __init__(self, resources: Weights = _DEFAULT, share: Callable[[int, int], int] = _free_share) -> None:
        self._resources = resources
        self._share = share

    def score_node(self, pod: PodInfo, node: NodeInfo) -> float:
        total = weights = 0
        for resource, weight in self._resources:
            used, most = _amounts(pod, node, resource)
            if most:
                total += self._share(used, most) * weight
                weights += weight
        return total // weights if weights else 0


class MostAllocated(LeastAllocated):
    """The mean share in use."""

    def __init__(self, resources: Weights = _DEFAULT) -> None:
        super().__init__(resources, _used_share)


class RequestedToCapacityRatio:
    """A score read off a curve of (utilization 0..100, score 0..10) points, straight lines between them."""

    name = "NodeResourcesFit"

    def __init__(self, resources: Weights, shape: Sequence[tuple[int, int]]) -> None:
        self._resources = resources
        self._shape = [(utilization, score * int(MAX_SCORE) // 10) for utilization, score in shape]

    def score_node(self, pod: PodInfo, node: NodeInfo) -> float:
        total = weights = 0
        for resource, weight in self._resources:
            used, most = _amounts(pod, node, resource)
            if not most:
                continue
            score = self._at(used * 100 // most if used <= most else 100)
            if score > 0:
                total += score * weight
                weights += weight
        return round(total / weights) if weights else 0

    def _at(self, utilization: int) -> int:
        before: tuple[int, int] | None = None
        for at, score in self._shape:
            if utilization <= at:
                if before is None:
                    return score
                start, low = before
                return low + int((score - low) * (utilization - start) / (at - start))
            before = at, score
        return self._shape[-1][1]
