"""Chooses a node for a pod out of a snapshot, or says why none will do; no I/O."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from minikube_py import ids
from minikube_py.scheduler.framework import Check, Filter, Refusal
from minikube_py.scheduler.node_info import LocalVerdict, NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.profile import DEFAULT_PROFILE, Profile
from minikube_py.scheduler.snapshot import Snapshot

_FEWEST_NODES = 100
_LEAST_PERCENT = 5
_KEPT_VERDICTS = 8
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


def nodes_to_find(node_count: int, percent: int = 0) -> int:
    """How many feasible nodes are enough (numFeasibleNodesToFind; percent 0: fewer of them, the more nodes)."""
    if node_count < _FEWEST_NODES:
        return node_count
    percent = percent or max(50 - node_count // 125, _LEAST_PERCENT)
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


def prepare(pod: PodInfo, snapshot: Snapshot, filters: Sequence[Filter]) -> Checks:
    """Ask every filter what it wants to check."""
    named = []
    for rule in filters:
        prepared = rule.prepare(pod, snapshot)
        if isinstance(prepared, Refusal):
            return Checks((), prepared, rule.name)
        if prepared is not None:
            named.append((rule.name, prepared))
    return Checks(tuple(named))


def decide(snapshot: Snapshot, pod: PodInfo, start: int = 0, profile: Profile = DEFAULT_PROFILE) -> Decision:
    """The best of enough feasible nodes, searched from position `start` on."""
    nodes = snapshot.node_order
    decision = Decision(node_count=len(nodes))
    if not nodes:
        return decision
    wide = prepare(pod, snapshot, profile.wide_filters)
    if wide.refusal is not None:
        decision.by_rule = wide.refusal
        decision.rules.add(wide.refused_by)
        return decision
    search = _Search(snapshot, pod, profile, wide)
    names = profile.only_nodes(pod)
    if pod.nominated and search.is_feasible(pod.nominated):
        decision.node_name, decision.next_start = pod.nominated, start
        return decision
    if names is None:
        search.run(decision, start % len(nodes))
    else:
        search.run_over(decision, _named(snapshot, names))
        decision.next_start = start
        decision.rules.update(profile.pinning)
    if search.feasible:
        decision.node_name = search.best().name
    return decision


class _Search:
    """One pod's way over the nodes. feasible and local_scores go together."""

    def __init__(self, snapshot: Snapshot, pod: PodInfo, profile: Profile, wide: Checks) -> None:
        self._snapshot = snapshot
        self._pod = pod
        self._profile = profile
        self._wide = wide.named
        self._local: Checks | None = None
        self._signature = snapshot.signature_number(id(profile), pod.signature)
        self.feasible: list[NodeInfo] = []
        self.local_scores: list[float] = []

    def run(self, decision: Decision, start: int) -> None:
        """Find enough feasible nodes; note the refusals of the others."""
        nodes = self._snapshot.node_order
        tried = self.run_over(decision, _from(nodes, start))
        decision.next_start = (start + tried) % len(nodes)

    def run_over(self, decision: Decision, nodes: Iterable[NodeInfo]) -> int:
        """The same over these nodes in order; how many were tried."""
        enough = nodes_to_find(decision.node_count, self._profile.percentage_of_nodes)
        nominated, wide, signature = self._snapshot.nominated, self._wide, self._signature
        feasible, scores = self.feasible, self.local_scores
        tried = 0
        for node in nodes:
            tried += 1
            verdict = node.memo.get(signature) or self._judge(node)
            rule, refusal, score = verdict
            if refusal is None:
                for name, check in wide:
                    refusal = check(node)
                    if refusal is not None:
                        rule = name
                        break
                else:
                    if nominated and node.name in nominated:
                        rule, refusal = self._refused_with_nominated(node)
            if refusal is None:
                feasible.append(node)
                scores.append(score)
                if len(feasible) >= enough:
                    break
            else:
                decision.rules.add(rule)
                decision.refusals[node.name] = refusal
        return tried

    def _judge(self, node: NodeInfo) -> LocalVerdict:
        """What depends on this node alone; kept until the node changes."""
        pod, profile = self._pod, self._profile
        if self._local is None:
            self._local = prepare(pod, self._snapshot, profile.local_filters)
        refused = self._local.first_refusal(node)
        if refused is not None:
            verdict = LocalVerdict(*refused, 0.0)
        else:
            score = sum(weight * score.score_node(pod, node) for score, weight in profile.local_scores)
            verdict = LocalVerdict("", None, score)
        if len(node.memo) >= _KEPT_VERDICTS:
            node.memo.clear()
        node.memo[self._signature] = verdict
        return verdict

    def is_feasible(self, name: str) -> bool:
        node = self._snapshot.nodes.get(name)
        if node is None or node.obj is None or self._judge(node).refusal is not None:
            return False
        if any(check(node) is not None for _, check in self._wide):
            return False
        return self._refused_with_nominated(node)[1] is None

    def _refused_with_nominated(self, node: NodeInfo) -> tuple[str, Refusal | None]:
        """The checks once more with the pods that are nominated to the node and not less important.

        They have to hold with them, because they will come; and without, because they may not (affinity to them).
        """
        return refused_with_nominated(self._snapshot, self._pod, node, self._profile.filters)

    def best(self) -> NodeInfo:
        nodes, totals = self.feasible, self.local_scores
        if len(nodes) == 1:
            return nodes[0]
        for score, weight in self._profile.wide_scores:
            values = score.score(self._pod, nodes, self._snapshot)
            if values is not None:
                totals = [total + weight * value for total, value in zip(totals, values, strict=True)]
        most = max(totals)
        best = [i for i, total in enumerate(totals) if total == most]
        return nodes[best[ids.pick(len(best))] if len(best) > 1 else best[0]]


def refused_with_nominated(
    snapshot: Snapshot, pod: PodInfo, node: NodeInfo, filters: Sequence[Filter]
) -> tuple[str, Refusal | None]:
    """Who refuses the node, and why, if the pods nominated to it were there already; ("", None) for nobody."""
    waiting = [
        other
        for other in snapshot.nominated.get(node.name, {}).values()
        if other.uid != pod.uid and other.priority >= pod.priority and other.uid not in snapshot.pods
    ]
    if not waiting:
        return "", None
    with Simulated(snapshot, node.name, add=waiting):
        again = prepare(pod, snapshot, filters)
        if again.refusal is not None:
            return again.refused_by, again.refusal
        return again.first_refusal(node) or ("", None)


def _named(snapshot: Snapshot, names: Iterable[str]) -> list[NodeInfo]:
    """The nodes of these names that exist."""
    found = (snapshot.nodes.get(name) for name in sorted(names))
    return [node for node in found if node is not None and node.obj is not None]


def _from(nodes: Sequence[NodeInfo], start: int) -> Iterable[NodeInfo]:
    return [*nodes[start:], *nodes[:start]] if start else nodes


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
