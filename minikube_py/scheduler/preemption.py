"""Finds the node on which evicting the least important pods makes room for a pod; no I/O.

Source: pkg/scheduler/framework/preemption and plugins/defaultpreemption.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from minikube_py import ids
from minikube_py.objects.errors import Object
from minikube_py.objects.selectors import LabelSelector
from minikube_py.scheduler.decide import Decision, Simulated, explain, prepare, refused_with_nominated
from minikube_py.scheduler.framework import Refusal
from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.profile import DEFAULT_PROFILE, Profile
from minikube_py.scheduler.snapshot import Snapshot

_NOT_HELPFUL = Refusal(("Preemption is not helpful for scheduling",), is_final=True)
_NO_VICTIMS = Refusal(("No preemption victims found for incoming pod",), is_final=True)


@dataclass(frozen=True)
class Victims:
    """The pods to evict from a node, most important first, and how many disruption budgets that breaks."""

    node_name: str
    pods: tuple[PodInfo, ...]
    broken_budgets: int


@dataclass(frozen=True)
class Preemption:
    """victims, or why there are none. keeps_nomination: an earlier nomination still stands."""

    victims: Victims | None = None
    message: str = ""
    keeps_nomination: bool = False


def preempt(
    snapshot: Snapshot,
    pod: PodInfo,
    decision: Decision,
    budgets: Sequence[Object],
    profile: Profile = DEFAULT_PROFILE,
) -> Preemption:
    """What evictions would let the pod in, after `decide` found no node."""
    if pod.obj["spec"].get("preemptionPolicy") == "Never":
        return Preemption(message="preemption: not eligible due to preemptionPolicy=Never.", keeps_nomination=True)
    if _waits_for_victims(snapshot, pod, decision):
        text = "preemption: not eligible due to a terminating pod on the nominated node."
        return Preemption(message=text, keeps_nomination=True)
    refusals: dict[str, Refusal] = {}
    candidates: list[Victims] = []
    possible = []
    for node in snapshot.node_order:
        refusal = decision.refusals.get(node.name)
        if decision.by_rule is not None or refusal is None or refusal.is_final:
            refusals[node.name] = _NOT_HELPFUL
        else:
            possible.append(node)
    enough = max(decision.node_count * profile.candidates_percent // 100, profile.candidates_least)
    offset = ids.pick(len(possible)) if possible else 0
    rules = _Rules(snapshot, pod, profile)
    if not snapshot.has_pods_below(pod.priority):
        refusals.update((node.name, _NO_VICTIMS) for node in possible)
        possible = []
    for node in [*possible[offset:], *possible[:offset]]:
        found = _select_victims(rules, node, budgets)
        if isinstance(found, Refusal):
            refusals[node.name] = found
        else:
            candidates.append(found)
            if len(candidates) >= enough:
                break
    if not candidates:
        return Preemption(message=f"preemption: {explain(decision.node_count, refusals.values())}")
    return Preemption(victims=min(candidates, key=_cost))


def _waits_for_victims(snapshot: Snapshot, pod: PodInfo, decision: Decision) -> bool:
    node = snapshot.nodes.get(pod.nominated) if pod.nominated else None
    if node is None:
        return False
    refusal = decision.refusals.get(pod.nominated)
    if refusal is not None and refusal.is_final:
        return False
    return any(other.is_terminating and other.priority < pod.priority for other in node.pods.values())


class _Rules:
    """One pod's filters, asked again and again while pods are taken from a node and put back."""

    def __init__(self, snapshot: Snapshot, pod: PodInfo, profile: Profile) -> None:
        self.snapshot = snapshot
        self.pod = pod
        self._profile = profile
        # Checks of local filters ask the node as it is. The others have counted the pods, so they are prepared anew
        # after every step; one that has nothing to check with all pods there has nothing to check with fewer.
        self._local = prepare(pod, snapshot, profile.local_filters)
        self._wide = tuple(rule for rule in profile.wide_filters if rule.prepare(pod, snapshot) is not None)

    def refusal(self, node: NodeInfo) -> Refusal | None:
        # Removing a pod can drop the node of a name that is not there (any more) and make it anew.
        current = self.snapshot.nodes.get(node.name, node)
        refused = self._local.first_refusal(current)
        if refused is None and self._wide:
            checks = prepare(self.pod, self.snapshot, self._wide)
            if checks.refusal is not None:
                return checks.refusal
            refused = checks.first_refusal(current)
        if refused is not None:
            return refused[1]
        if node.name not in self.snapshot.nominated:
            return None
        return refused_with_nominated(self.snapshot, self.pod, current, self._profile.filters)[1]


def select_victims(
    snapshot: Snapshot,
    pod: PodInfo,
    node: NodeInfo,
    budgets: Sequence[Object],
    profile: Profile = DEFAULT_PROFILE,
) -> Victims | Refusal:
    """The fewest pods whose eviction lets the pod in on this node."""
    return _select_victims(_Rules(snapshot, pod, profile), node, budgets)


def _select_victims(rules: _Rules, node: NodeInfo, budgets: Sequence[Object]) -> Victims | Refusal:
    snapshot, pod = rules.snapshot, rules.pod
    lower = [other for other in node.pods.values() if other.priority < pod.priority]
    if not lower:
        return _NO_VICTIMS
    with Simulated(snapshot, node.name, remove=lower):
        refusal = rules.refusal(node)
        if refusal is not None:
            return refusal
        breaking, others = _by_budget(sorted(lower, key=_importance), budgets)
        victims: list[PodInfo] = []
        broken = 0
        spared: list[PodInfo] = []
        # Pods under a budget are spared first, then the most important ones.
        for group, breaks in ((breaking, True), (others, False)):
            for other in group:
                snapshot.add_pod(other)
                if rules.refusal(node) is None:
                    spared.append(other)
                else:
                    snapshot.remove_pod(other.uid)
                    victims.append(other)
                    broken += breaks
        for other in spared:
            snapshot.remove_pod(other.uid)
    victims.sort(key=_importance)
    return Victims(node.name, tuple(victims), broken)


def _importance(pod: PodInfo) -> tuple[int, float]:
    """Most important first: higher priority, then started earlier."""
    return -pod.priority, pod.start_seconds


def _by_budget(pods: Iterable[PodInfo], budgets: Sequence[Object]) -> tuple[list[PodInfo], list[PodInfo]]:
    """(pods whose eviction would break a budget, the others); order kept."""
    left = [(b, LabelSelector.from_dict(b["spec"].get("selector"))) for b in budgets]
    allowed = [int((b.get("status") or {}).get("disruptionsAllowed") or 0) for b in budgets]
    breaking: list[PodInfo] = []
    others: list[PodInfo] = []
    for pod in pods:
        breaks = False
        for i, (budget, selector) in enumerate(left):
            if budget["metadata"]["namespace"] != pod.namespace or selector.is_empty or not pod.labels:
                continue
            if not selector.matches(pod.labels) or pod.name in (
                (budget.get("status") or {}).get("disruptedPods") or {}
            ):
                continue
            allowed[i] -= 1
            breaks = breaks or allowed[i] < 0
        (breaking if breaks else others).append(pod)
    return breaking, others


def _cost(victims: Victims) -> tuple[float, ...]:
    """Fewest broken budgets, then least important first victim, lowest sum, fewest pods, latest start."""
    pods = victims.pods
    if not pods:
        return (float("-inf"),)
    highest = pods[0].priority
    # Priorities may be negative; shifted, a sum grows with every pod.
    total = sum(pod.priority + 2**31 for pod in pods)
    earliest = min(pod.start_seconds for pod in pods if pod.priority == highest)
    return victims.broken_budgets, highest, total, len(pods), -earliest
