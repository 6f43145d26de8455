"""Refuses nodes whose choice would spread pods more unevenly over a topology than the pod's constraints allow."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from minikube_py.scheduler.filters.node_affinity import accepts
from minikube_py.scheduler.framework import Change, Check, Refusal, Wake
from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo, SpreadConstraint
from minikube_py.scheduler.snapshot import Snapshot
from minikube_py.scheduler.spreading import SpreadDefault, default_constraints
from minikube_py.scheduler.tolerations import tolerates

_SKEW = Refusal(("node(s) didn't match pod topology spread constraints",))
_NO_LABEL = Refusal(("node(s) didn't match pod topology spread constraints (missing required label)",), is_final=True)


class _Rule(NamedTuple):
    key: str
    counts: Mapping[str, int]
    most: int


class PodTopologySpread:
    name = "PodTopologySpread"
    is_local = False
    wakes_on = frozenset(
        (
            Wake.NODE_ADDED,
            Wake.NODE_LABELS,
            Wake.NODE_TAINTS,
            Wake.NODE_GONE,
            Wake.POD_ADDED,
            Wake.POD_LABELS,
            Wake.POD_GONE,
        )
    )

    def __init__(self, defaults: Sequence[SpreadDefault] = ()) -> None:
        self._defaults = defaults

    def helps(self, pod: PodInfo, change: Change) -> bool:
        """Of pods, those that a constraint counts."""
        other = change.pod
        if other is None or not pod.hard_spread:
            return True
        return any(constraint.pods.matches(other.namespace, {}, other.labels) for constraint in pod.hard_spread)

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Check | Refusal | None:
        constraints = pod.hard_spread
        if self._defaults and not constraints and not pod.soft_spread:
            constraints = default_constraints(pod, self._defaults, snapshot)
        if not constraints:
            return None
        keys = tuple({constraint.topology_key for constraint in constraints})
        rules = [_rule(pod, constraint, keys, snapshot) for constraint in constraints]

        def check(node: NodeInfo) -> Refusal | None:
            labels = node.labels
            for key, counts, most in rules:
                value = labels.get(key)
                if value is None:
                    return _NO_LABEL
                if counts.get(value, 0) > most:
                    return _SKEW
            return None

        return check


def _rule(pod: PodInfo, constraint: SpreadConstraint, keys: tuple[str, ...], snapshot: Snapshot) -> _Rule:
    """The most pods that a topology value may have already, so that one more keeps the skew."""
    counts = domain_counts(pod, constraint, keys, snapshot)
    least = min(counts.values(), default=0)
    if len(counts) < constraint.min_domains:
        least = 0
    itself = 1 if constraint.pods.selector.matches(pod.labels) and not pod.is_terminating else 0
    return _Rule(constraint.topology_key, counts, constraint.max_skew + least - itself)


def domain_counts(
    pod: PodInfo, constraint: SpreadConstraint, keys: tuple[str, ...], snapshot: Snapshot
) -> Mapping[str, int]:
    """Matching pods under every value that takes part in the constraint."""
    counts = snapshot.counts
    key = constraint.topology_key
    takes_part = _node_rule(pod, constraint)
    node_count = len(snapshot.node_order)
    if takes_part is None and all(sum(counts.values_of(one).values()) == node_count for one in keys):
        return counts.by_value(constraint.pods, key)
    on_nodes = counts.of(constraint.pods).by_node
    found: dict[str, int] = {}
    for node in snapshot.node_order:
        value = node.labels.get(key)
        if value is None or any(one not in node.labels for one in keys):
            continue
        if takes_part is None or takes_part(node):
            found[value] = found.get(value, 0) + on_nodes.get(node.name, 0)
    return found


def _node_rule(pod: PodInfo, constraint: SpreadConstraint) -> "NodeRule | None":
    by_affinity = constraint.honours_affinity and (bool(pod.node_selector) or pod.node_affinity is not None)
    if not by_affinity and not constraint.honours_taints:
        return None
    return NodeRule(pod, by_affinity, constraint.honours_taints)


class NodeRule:
    """Which nodes count for a constraint."""

    def __init__(self, pod: PodInfo, by_affinity: bool, by_taints: bool) -> None:
        self._pod = pod
        self._by_affinity = by_affinity
        self._by_taints = by_taints

    def __call__(self, node: NodeInfo) -> bool:
        if self._by_affinity and not accepts(self._pod, node):
            return False
        if self._by_taints:
            return all(any(tolerates(t, taint) for t in self._pod.tolerations) for taint in node.hard_taints)
        return True
