"""Refuses nodes that have too little left of what the pod requests."""

from minikube_py.scheduler.framework import Change, Check, Refusal, Wake
from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.requests import CPU, EPHEMERAL_STORAGE, MEMORY
from minikube_py.scheduler.snapshot import Snapshot

TOO_MANY_PODS = "Too many pods"


class NodeResourcesFit:
    name = "NodeResourcesFit"
    is_local = True
    wakes_on = frozenset((Wake.NODE_ADDED, Wake.NODE_ROOM, Wake.POD_GONE))

    def __init__(self, ignored: frozenset[str] = frozenset(), ignored_groups: frozenset[str] = frozenset()) -> None:
        """ignored: extended resources that are not looked at, by name and by the part of the name before `/`."""
        self._ignored = ignored
        self._ignored_groups = ignored_groups

    def helps(self, pod: PodInfo, change: Change) -> bool:
        """A node that has room for the pod at least when empty; any pod gone (there may have been too many)."""
        node = change.node
        if node is None:
            return True
        asked = {CPU: pod.milli_cpu, MEMORY: pod.memory, EPHEMERAL_STORAGE: pod.storage, **self._looked_at(pod)}
        return node.max_pods > 0 and all(amount <= node.amounts_of(name)[1] for name, amount in asked.items())

    def _looked_at(self, pod: PodInfo) -> dict[str, int]:
        """The extended resources of the pod that are not ignored."""
        return {
            name: amount
            for name, amount in pod.others.items()
            if name not in self._ignored and name.partition("/")[0] not in self._ignored_groups
        }

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Check | Refusal | None:
        cpu, memory, storage = pod.milli_cpu, pod.memory, pod.storage
        others = self._looked_at(pod)

        def check(node: NodeInfo) -> Refusal | None:
            if (
                len(node.pods) < node.max_pods
                and (not cpu or node.used_cpu + cpu <= node.max_cpu)
                and (not memory or node.used_memory + memory <= node.max_memory)
                and (not storage or node.used_storage + storage <= node.max_storage)
                and not others
            ):
                return None
            return _explain(pod, others, node)

        return check


def _explain(pod: PodInfo, others: dict[str, int], node: NodeInfo) -> Refusal | None:
    reasons = [TOO_MANY_PODS] if len(node.pods) >= node.max_pods else []
    is_final = False
    asked = [
        (CPU, pod.milli_cpu, node.used_cpu, node.max_cpu),
        (MEMORY, pod.memory, node.used_memory, node.max_memory),
        (EPHEMERAL_STORAGE, pod.storage, node.used_storage, node.max_storage),
    ]
    for name, amount in others.items():
        asked.append((name, amount, node.used_others.get(name, 0), node.max_others.get(name, 0)))
    for name, amount, used, limit in asked:
        if amount and used + amount > limit:
            reasons.append(f"Insufficient {name}")
            is_final = is_final or amount > limit
    return Refusal(tuple(reasons), is_final) if reasons else None
