"""Prefers nodes in topologies with few pods like this one.

Pods without constraints of their own are spread over nodes and zones by their Services and controllers.
"""

from collections.abc import Sequence
from math import log

from minikube_py.scheduler.filters.pod_topology_spread import domain_counts
from minikube_py.scheduler.framework import MAX_SCORE
from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo, SpreadConstraint
from minikube_py.scheduler.snapshot import Snapshot
from minikube_py.scheduler.spreading import SYSTEM_DEFAULTS, SpreadDefault, default_constraints

_HOSTNAME = "kubernetes.io/hostname"


class PodTopologySpreadScore:
    name = "PodTopologySpread"

    def __init__(self, defaults: Sequence[SpreadDefault] = SYSTEM_DEFAULTS, *, needs_all_labels: bool = False) -> None:
        """needs_all_labels: whether defaults leave out nodes that lack one of their labels, as pods' own rules do."""
        self._defaults = defaults
        self._needs_all_labels = needs_all_labels

    def score(self, pod: PodInfo, nodes: Sequence[NodeInfo], snapshot: Snapshot) -> list[float] | None:
        constraints, needs_all_labels = pod.soft_spread, True
        if not constraints and not pod.hard_spread:
            constraints, needs_all_labels = self._default(pod, snapshot), self._needs_all_labels
        if not constraints:
            return None
        keys = tuple({constraint.topology_key for constraint in constraints}) if needs_all_labels else ()
        ignored = [needs_all_labels and any(key not in node.labels for key in keys) for node in nodes]
        raw = [0.0] * len(nodes)
        for constraint in constraints:
            _add(raw, ignored, constraint, pod, nodes, snapshot)
        return _normalize([round(value) for value in raw], ignored)

    def _default(self, pod: PodInfo, snapshot: Snapshot) -> tuple[SpreadConstraint, ...]:
        found = default_constraints(pod, self._defaults, snapshot)
        if self._needs_all_labels:
            return found
        return tuple(constraint for constraint in found if snapshot.counts.values_of(constraint.topology_key))


def _add(
    raw: list[float], ignored: Sequence[bool], constraint: SpreadConstraint, pod: PodInfo,
    nodes: Sequence[NodeInfo], snapshot: Snapshot,
) -> None:  # fmt: skip
    key = constraint.topology_key
    if key == _HOSTNAME:
        weight = log(len(nodes) - sum(ignored) + 2)
        on_nodes = snapshot.counts.of(constraint.pods).by_node
        for i, node in enumerate(nodes):
            if key in node.labels:
                raw[i] += on_nodes.get(node.name, 0) * weight + constraint.max_skew - 1
        return
    weight = log(len({node.labels.get(key) for node in nodes} - {None}) + 2)
    counts = domain_counts(pod, constraint, (), snapshot)
    for i, node in enumerate(nodes):
        value = node.labels.get(key)
        if value is not None:
            raw[i] += counts.get(value, 0) * weight + constraint.max_skew - 1


def _normalize(raw: Sequence[int], ignored: Sequence[bool]) -> list[float] | None:
    counted = [value for value, skip in zip(raw, ignored, strict=True) if not skip]
    most, least = max(counted, default=0), min(counted, default=0)
    if most == least and not any(ignored):
        return None
    return [
        0.0 if skip else MAX_SCORE if not most else MAX_SCORE * (most + least - value) // most
        for value, skip in zip(raw, ignored, strict=True)
    ]
