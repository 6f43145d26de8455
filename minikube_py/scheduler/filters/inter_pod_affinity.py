"""Refuses nodes that the pod's required affinity and anti-affinity, or the anti-affinity of other pods, rules out."""

from minikube_py.scheduler.framework import Change, Check, Refusal, Wake
from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import AffinityTerm, PodInfo
from minikube_py.scheduler.snapshot import Snapshot

_AFFINITY = Refusal(("node(s) didn't match pod affinity rules",), is_final=True)
_ANTI_AFFINITY = Refusal(("node(s) didn't match pod anti-affinity rules",))
_OTHERS = Refusal(("node(s) didn't satisfy existing pods anti-affinity rules",))


class InterPodAffinity:
    name = "InterPodAffinity"
    is_local = False
    wakes_on = frozenset(
        (Wake.NODE_ADDED, Wake.NODE_LABELS, Wake.POD_ADDED, Wake.POD_LABELS, Wake.POD_GONE, Wake.NAMESPACE)
    )

    def helps(self, pod: PodInfo, change: Change) -> bool:
        """Pods that came help where the pod wants to be near them; pods gone, where one kept away from the other."""
        other = change.pod
        if other is None or any(_needs_namespace(term) for term in (*pod.affinity, *pod.anti_affinity)):
            return True
        if change.wake is Wake.POD_ADDED:
            return any(term.pods.matches(other.namespace, {}, other.labels) for term in pod.affinity)
        return any(term.pods.matches(other.namespace, {}, other.labels) for term in pod.anti_affinity) or any(
            _needs_namespace(t) or t.pods.matches(pod.namespace, {}, pod.labels) for t in other.anti_affinity
        )

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Check | Refusal | None:
        counts = snapshot.counts
        blocked: dict[str, set[str]] = {}
        for found in counts.matching_terms(counts.anti_terms, pod):
            blocked.setdefault(found.term.topology_key, set()).update(found.by_value)
        if not blocked and not pod.affinity and not pod.anti_affinity:
            return None
        pulls = _pulls(pod, snapshot)
        pushes = [(term.topology_key, counts.by_value(term.pods, term.topology_key)) for term in pod.anti_affinity]

        if len(pulls) == 1 and not pushes and not blocked:
            return _pull_check(*pulls[0])

        def check(node: NodeInfo) -> Refusal | None:
            labels = node.labels
            for key, wanted in pulls:
                value = labels.get(key)
                if value is None or (wanted is not None and value not in wanted):
                    return _AFFINITY
            for key, found in pushes:
                value = labels.get(key)
                if value is not None and found.get(value):
                    return _ANTI_AFFINITY
            for key, values in blocked.items():
                if labels.get(key) in values:
                    return _OTHERS
            return None

        return check


def _needs_namespace(term: AffinityTerm) -> bool:
    """Whether the term asks for labels of namespaces, which a hint does not know."""
    return term.pods.namespace_selector is not None


def _pull_check(key: str, wanted: set[str] | None) -> Check:
    """The most frequent case: one affinity term and nothing else."""
    if wanted is None:
        return lambda node: None if key in node.labels else _AFFINITY
    return lambda node: None if node.labels.get(key) in wanted else _AFFINITY


def _pulls(pod: PodInfo, snapshot: Snapshot) -> list[tuple[str, set[str] | None]]:
    """For each required affinity term its key, and the values where all terms' pods are; None for any value.

    A pod counts for the affinity only if it matches every term. The first pod of a group that wants to be together
    finds nobody: if it matches its own terms it may go anywhere that has the labels.
    """
    if not pod.affinity:
        return []
    counts = snapshot.counts
    if len(pod.affinity) == 1:
        (term,) = pod.affinity
        by_value = counts.by_value(term.pods, term.topology_key)
        found = [(term.topology_key, {value for value, number in by_value.items() if number})]
    else:
        found = _matching_all(pod, snapshot)
    if not any(values for _, values in found) and _matches_itself(pod, snapshot):
        return [(key, None) for key, _ in found]
    return list(found)


def _matching_all(pod: PodInfo, snapshot: Snapshot) -> list[tuple[str, set[str]]]:
    counts = snapshot.counts
    found: list[tuple[str, set[str]]] = [(term.topology_key, set()) for term in pod.affinity]
    rarest = min((counts.of(term.pods) for term in pod.affinity), key=lambda count: count.total)
    for name, number in rarest.by_node.items():
        node = snapshot.nodes.get(name)
        if not number or node is None:
            continue
        for other in node.pods.values():
            own = counts.namespace_labels(other.namespace)
            if all(term.pods.matches(other.namespace, own, other.labels) for term in pod.affinity):
                for key, values in found:
                    if key in node.labels:
                        values.add(node.labels[key])
                break
    return found


def _matches_itself(pod: PodInfo, snapshot: Snapshot) -> bool:
    own = snapshot.counts.namespace_labels(pod.namespace)
    return all(term.pods.matches(pod.namespace, own, pod.labels) for term in pod.affinity)
