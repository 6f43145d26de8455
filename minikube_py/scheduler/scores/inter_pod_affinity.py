"""Prefers nodes near pods that this pod is drawn to, or that are drawn to it, and away from the opposite."""

from collections.abc import Mapping, Sequence

from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.scaling import scale_between
from minikube_py.scheduler.snapshot import Snapshot


class InterPodAffinityScore:
    name = "InterPodAffinity"

    def __init__(self, required_weight: int = 1, *, ignores_preferences: bool = False) -> None:
        """required_weight: how much another pod's required affinity for this pod counts.

        ignores_preferences: of pods that are there, unless the pod has affinities of its own.
        """
        self._required_weight = required_weight
        self._ignores_preferences = ignores_preferences

    def score(self, pod: PodInfo, nodes: Sequence[NodeInfo], snapshot: Snapshot) -> list[float] | None:
        counts = snapshot.counts
        pulls: list[tuple[str, Mapping[str, int], int]] = [
            (term.topology_key, counts.by_value(term.pods, term.topology_key), term.weight) for term in pod.preferred
        ]
        for found in counts.matching_terms(counts.pull_terms, pod):
            if found.term.weight and self._ignores_preferences and not pod.preferred:
                continue
            weight = found.term.weight or self._required_weight
            if weight:
                pulls.append((found.term.topology_key, found.by_value, weight))
        if not pulls:
            return None
        by_key: dict[str, dict[str | None, int]] = {}
        for key, values, weight in pulls:
            sums = by_key.setdefault(key, {})
            for value, number in values.items():
                if number:
                    sums[value] = sums.get(value, 0) + number * weight
        totals = [0] * len(nodes)
        for key, sums in by_key.items():
            if sums:
                at = sums.get
                totals = [total + at(node.labels.get(key), 0) for total, node in zip(totals, nodes, strict=True)]
        return scale_between(totals)
