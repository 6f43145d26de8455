"""Chooses a node for a pod out of a snapshot, or says why none will do; no I/O."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from minikube_py import ids
from minikube_py.scheduler.filters.catalog import FILTERS
from minikube_py.scheduler.framework import Check, Refusal
from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.scores.catalog import SCORES
from minikube_py.scheduler.snapshot import Snapshot

_FEWEST_NODES = 100
_LEAST_PERCENT = 5
NO_NODES = "no nodes available to schedule pods"


@dataclass
class Decision:
    """node_name, or the refusals: by node, or one for all nodes (by_rule).

    rules are the names of the filters that refused; next_start is where the next search begins.
    """

    node_name: str = ""
    next_start: int = 0
    refusals: dict[str, Refusal] = field(default_factory=dict)
    by_rule: Refusal | None = None
    rules: set[str] = field(default_factory=set)
    node_count: int = 0

    def message(self, after: str = "") -> str:
        """Kubernetes' sentence; `after` is what preemption has to say."""
        if not self.node_count:
            return NO_NODES
        return explain(self.node_count, self.refusals.values(), self.by_rule, after)


def explain(node_count: int, refusals: Iterable[Refusal], by_rule: Refusal | None = None, after: str = "") -> str:
    """`0/3 nodes are available: 1 Insufficient cpu, 2 Too many pods.`"""
    text = f"0/{node_count} nodes are available:"
    if by_rule is not None:
        text += f" {', '.join(by_rule.reasons)}."
    else:
        counts = Counter(reason for refusal in refusals for reason in refusal.reasons)
        if counts:
            text += " " + ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items())) + "."
    return f"{text} {after}" if after else text


def nodes_to_find(node_count: int) -> int:
    """How many feasible nodes are enough (numFeasibleNodesToFind with the adaptive percentage)."""
    if node_count < _FEWEST_NODES:
        return node_count
    percent = max(50 - node_count // 125, _LEAST_PERCENT)
    return max(node_count * percent // 100, _FEWEST_NODES)


@dataclass(frozen=True)
class Checks:
    """The filters that have something to check for one pod."""

    named: tuple[tuple[str, Check], ...]
    refusal: Refusal | None = None
    refused_by: str = ""

    def first_refusal(self, node: NodeInfo) -> tuple[str, Refusal] | None:
        for name, check in self.named:
            refusal = check(node)
            if refusal is not None:
                return name, refusal
        return None


def prepare(pod: PodInfo, snapshot: Snapshot) -> Checks:
    """Ask every filter what it wants to check."""
    named = []
    for rule in FILTERS:
        prepared = rule.prepare(pod, snapshot)
        if isinstance(prepared, Refusal):
            return Checks((), prepared, rule.name)
        if prepared is not None:
            named.append((rule.name, prepared))
    return Checks(tuple(named))


def decide(snapshot: Snapshot, pod: PodInfo, start: int = 0) -> Decision:
    """The best of enough feasible nodes, searched from position `start` on."""
    nodes = snapshot.node_order
    decision = Decision(node_count=len(nodes))
    if not nodes:
        return decision
    checks = prepare(pod, snapshot)
    if checks.refusal is not None:
        decision.by_rule = checks.refusal
        decision.rules.add(checks.refused_by)
        return decision
    if pod.nominated and _is_feasible(snapshot, pod, checks, pod.nominated):
        decision.node_name, decision.next_start = pod.nominated, start
        return decision
    feasible = _search(snapshot, pod, checks, decision, start % len(nodes))
    if feasible:
        decision.node_name = _best(pod, feasible, snapshot).name
    return decision


def _is_feasible(snapshot: Snapshot, pod: PodInfo, checks: Checks, name: str) -> bool:
    node = snapshot.nodes.get(name)
    return node is not None and node.obj is not None and _refusal(snapshot, pod, checks, node) is None


def _search(snapshot: Snapshot, pod: PodInfo, checks: Checks, decision: Decision, start: int) -> list[NodeInfo]:
    nodes = snapshot.node_order
    enough = nodes_to_find(len(nodes))
    named = checks.named
    nominated = snapshot.nominated
    feasible: list[NodeInfo] = []
    tried = 0
    for node in _from(nodes, start):
        tried += 1
        if nominated and node.name in nominated:
            refused = _refusal(snapshot, pod, checks, node)
        else:
            refused = None
            for name, check in named:
                refusal = check(node)
                if refusal is not None:
                    refused = name, refusal
                    break
        if refused is None:
            feasible.append(node)
            if len(feasible) >= enough:
                break
        else:
            decision.rules.add(refused[0])
            decision.refusals[node.name] = refused[1]
    decision.next_start = (start + tried) % len(nodes)
    return feasible


def _from(nodes: Sequence[NodeInfo], start: int) -> Iterable[NodeInfo]:
    return [*nodes[start:], *nodes[:start]] if start else nodes


def _refusal(snapshot: Snapshot, pod: PodInfo, checks: Checks, node: NodeInfo) -> tuple[str, Refusal] | None:
    """The checks, once with and once without the pods that are nominated to the node and not less important.

    They have to hold with them, because they will come; and without, because they may not (affinity to them).
    """
    waiting = [
        other
        for other in snapshot.nominated.get(node.name, {}).values()
        if other.uid != pod.uid and other.priority >= pod.priority and other.uid not in snapshot.pods
    ]
    if waiting:
        with Simulated(snapshot, node.name, add=waiting):
            again = prepare(pod, snapshot)
            refused = (again.refused_by, again.refusal) if again.refusal is not None else again.first_refusal(node)
        if refused is not None:
            return refused
    return checks.first_refusal(node)


class Simulated:
    """Within the block, the given pods are on the node, or gone from it."""

    def __init__(
        self, snapshot: Snapshot, node_name: str, *, add: Sequence[PodInfo] = (), remove: Sequence[PodInfo] = ()
    ) -> None:
        self._snapshot = snapshot
        self._node_name = node_name
        self._add = add
        self._remove = remove
        self._were_on: list[str] = []

    def __enter__(self) -> None:
        for pod in self._remove:
            self._snapshot.remove_pod(pod.uid)
        for pod in self._add:
            self._were_on.append(pod.node_name)
            pod.node_name = self._node_name
            self._snapshot.add_pod(pod)

    def __exit__(self, *_: object) -> None:
        for pod, was_on in zip(self._add, self._were_on, strict=True):
            self._snapshot.remove_pod(pod.uid)
            pod.node_name = was_on
        for pod in self._remove:
            self._snapshot.add_pod(pod)


def _best(pod: PodInfo, nodes: Sequence[NodeInfo], snapshot: Snapshot) -> NodeInfo:
    if len(nodes) == 1:
        return nodes[0]
    totals = [0.0] * len(nodes)
    for score, weight in SCORES:
        values = score.score(pod, nodes, snapshot)
        if values is not None:
            totals = [total + weight * value for total, value in zip(totals, values, strict=True)]
    most = max(totals)
    best = [i for i, total in enumerate(totals) if total == most]
    return nodes[best[ids.pick(len(best))] if len(best) > 1 else best[0]]
