"""Counts, per node and per topology value, the pods of a set; kept up to date pod by pod instead of counted anew.

This is what makes spreading and affinity cost the same however many pods there are.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping

from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import AffinityTerm, PodInfo, PodSet

_KEPT_SETS = 4096
_Label = tuple[str, str]


class SetCount:
    """How many pods of one set stand on each node, and under each value of the topology keys asked for."""

    __slots__ = ("by_node", "by_value", "pods", "total")

    def __init__(self, pods: PodSet) -> None:
        self.pods = pods
        self.total = 0
        self.by_node: dict[str, int] = {}
        self.by_value: dict[str, dict[str, int]] = {}

    def count(self, node: NodeInfo, sign: int) -> None:
        self.total += sign
        self.by_node[node.name] = self.by_node.get(node.name, 0) + sign
        for key, values in self.by_value.items():
            value = node.labels.get(key)
            if value is not None:
                values[value] = values.get(value, 0) + sign


class TermCount:
    """How many existing pods carry one affinity term, per value of its topology key."""

    __slots__ = ("by_value", "pods_on_node", "term")

    def __init__(self, term: AffinityTerm) -> None:
        self.term = term
        self.by_value: dict[str, int] = {}
        self.pods_on_node: dict[str, int] = {}

    def count(self, node: NodeInfo, sign: int) -> None:
        _bump(self.pods_on_node, node.name, sign)
        value = node.labels.get(self.term.topology_key)
        if value is not None:
            _bump(self.by_value, value, sign)


def _bump(counts: dict[str, int], key: str, sign: int) -> None:
    left = counts.get(key, 0) + sign
    if left:
        counts[key] = left
    else:
        counts.pop(key, None)


class PodCounts:
    """All counts over the pods of a snapshot. The snapshot calls add, remove and nodes_changed."""

    def __init__(self, nodes: Mapping[str, NodeInfo]) -> None:
        self._nodes = nodes
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._sets: OrderedDict[PodSet, SetCount] = OrderedDict()
        # Sets that name their namespaces, under each of these and there by one label that they require (None: they
        # require none); the others have to be tried for every pod.
        self._sets_in: dict[str, dict[_Label | None, dict[PodSet, SetCount]]] = {}
        self._sets_anywhere: dict[PodSet, SetCount] = {}
        self._values: dict[str, dict[str, int]] = {}
        self.anti_terms: dict[AffinityTerm, TermCount] = {}
        self.pull_terms: dict[AffinityTerm, TermCount] = {}

    # --- changes ------------------------------------------------------------------------------------------------------

    def set_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        """A namespace's labels (None: it is gone); sets by namespace labels are counted anew."""
        if self._namespaces.get(name) == labels:
            return
        if labels is None:
            self._namespaces.pop(name, None)
        else:
            self._namespaces[name] = labels
        for pods in list(self._sets_anywhere):
            self._forget(pods)

    def namespace_labels(self, name: str) -> Mapping[str, str]:
        return self._namespaces.get(name) or {}

    def add(self, pod: PodInfo, node: NodeInfo, sign: int = 1) -> None:
        """Count a pod that came to a node (sign -1: left it)."""
        own = self.namespace_labels(pod.namespace)
        for sets in self._sets_for(pod):
            for count in sets.values():
                if _is_in(count.pods, pod, own):
                    count.count(node, sign)
        for term in pod.anti_affinity:
            _term_count(self.anti_terms, term).count(node, sign)
        for term in (*pod.affinity, *pod.preferred):
            _term_count(self.pull_terms, term).count(node, sign)
        if sign < 0:
            self._drop_unused(pod)

    def _sets_for(self, pod: PodInfo) -> Iterator[dict[PodSet, SetCount]]:
        """Groups of sets that may contain the pod."""
        if self._sets_anywhere:
            yield self._sets_anywhere
        by_label = self._sets_in.get(pod.namespace)
        if not by_label:
            return
        for label in (None, *pod.labels.items()):
            sets = by_label.get(label)
            if sets:
                yield sets

    def _drop_unused(self, pod: PodInfo) -> None:
        for terms, counts in (
            (pod.anti_affinity, self.anti_terms),
            ((*pod.affinity, *pod.preferred), self.pull_terms),
        ):
            for term in terms:
                if term in counts and not counts[term].pods_on_node:
                    del counts[term]

    def nodes_changed(self) -> None:
        """Nodes came, went or changed labels: everything by topology value is worked out again when asked for."""
        self._values.clear()
        for count in self._sets.values():
            count.by_value.clear()
        for counts in (self.anti_terms, self.pull_terms):
            for term in counts.values():
                term.by_value.clear()
                for name, pods in term.pods_on_node.items():
                    node = self._nodes.get(name)
                    value = node.labels.get(term.term.topology_key) if node is not None else None
                    if value is not None:
                        term.by_value[value] = term.by_value.get(value, 0) + pods

    # --- questions ----------------------------------------------------------------------------------------------------

    def values_of(self, topology_key: str) -> dict[str, int]:
        """The values that nodes have for this label, with the number of nodes."""
        values = self._values.get(topology_key)
        if values is None:
            values = self._values[topology_key] = {}
            for node in self._nodes.values():
                value = node.labels.get(topology_key) if node.obj is not None else None
                if value is not None:
                    values[value] = values.get(value, 0) + 1
        return values

    def of(self, pods: PodSet) -> SetCount:
        """The count of a set; the first question counts all pods once."""
        count = self._sets.get(pods)
        if count is not None:
            self._sets.move_to_end(pods)
            return count
        count = SetCount(pods)
        for node in self._nodes.values():
            for pod in node.pods.values():
                if _is_in(pods, pod, self.namespace_labels(pod.namespace)):
                    count.count(node, 1)
        self._sets[pods] = count
        if pods.namespace_selector is None:
            for namespace in pods.namespaces:
                by_label = self._sets_in.setdefault(namespace, {})
                by_label.setdefault(_rarest_label(pods, by_label), {})[pods] = count
        else:
            self._sets_anywhere[pods] = count
        while len(self._sets) > _KEPT_SETS:
            self._forget(next(iter(self._sets)))
        return count

    def by_value(self, pods: PodSet, topology_key: str) -> dict[str, int]:
        """Pods of the set under each value of the key; values without any are there with 0. Read-only."""
        count = self.of(pods)
        values = count.by_value.get(topology_key)
        if values is None:
            values = dict.fromkeys(self.values_of(topology_key), 0)
            for name, number in count.by_node.items():
                node = self._nodes.get(name)
                value = node.labels.get(topology_key) if node is not None else None
                if value is not None:
                    values[value] = values.get(value, 0) + number
            count.by_value[topology_key] = values
        return values

    def matching_terms(self, counts: Mapping[AffinityTerm, TermCount], pod: PodInfo) -> Iterable[TermCount]:
        """The terms of existing pods that mean this pod."""
        own = self.namespace_labels(pod.namespace)
        for term, count in counts.items():
            if term.pods.matches(pod.namespace, own, pod.labels):
                yield count

    def _forget(self, pods: PodSet) -> None:
        self._sets.pop(pods, None)
        self._sets_anywhere.pop(pods, None)
        for namespace in pods.namespaces:
            by_label = self._sets_in.get(namespace, {})
            for label in (None, *pods.selector.equal_labels):
                sets = by_label.get(label, {})
                if sets.pop(pods, None) is not None and not sets:
                    del by_label[label]
            if not by_label:
                self._sets_in.pop(namespace, None)


def _rarest_label(pods: PodSet, by_label: Mapping[_Label | None, Mapping[PodSet, SetCount]]) -> _Label | None:
    """Of the labels that the set requires, the one under which fewest sets are."""
    return min(pods.selector.equal_labels, key=lambda label: len(by_label.get(label, ())), default=None)


def _is_in(pods: PodSet, pod: PodInfo, namespace_labels: Mapping[str, str]) -> bool:
    if pod.is_terminating and not pods.with_terminating:
        return False
    return pods.matches(pod.namespace, namespace_labels, pod.labels)


def _term_count(counts: dict[AffinityTerm, TermCount], term: AffinityTerm) -> TermCount:
    count = counts.get(term)
    if count is None:
        count = counts[term] = TermCount(term)
    return count
