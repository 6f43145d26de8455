"""Holds the cluster as decisions see it: nodes, the pods on them, counts over pods, and volumes; updated in place."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from minikube_py.objects.errors import Object
from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_counts import PodCounts
from minikube_py.scheduler.pod_info import PodInfo

_ZONE = "topology.kubernetes.io/zone"
_REGION = "topology.kubernetes.io/region"
_KEPT_SIGNATURES = 4096


class Storage(Protocol):
    """The storage objects decisions ask for; answered from caches."""

    def claim(self, namespace: str, name: str) -> Object | None: ...

    def volume(self, name: str) -> Object | None: ...

    def storage_class(self, name: str) -> Object | None: ...

    def volumes(self) -> Iterable[Object]: ...


class NoStorage:
    """A cluster without volumes."""

    def claim(self, namespace: str, name: str) -> Object | None:
        return None

    def volume(self, name: str) -> Object | None:
        return None

    def storage_class(self, name: str) -> Object | None:
        return None

    def volumes(self) -> Iterable[Object]:
        return ()


class Owners(Protocol):
    """Answers which selectors a pod belongs to by its Services and its controller (default spreading)."""

    def selector_of(self, pod: PodInfo) -> Mapping[str, str] | None: ...


class NoOwners:
    def selector_of(self, pod: PodInfo) -> Mapping[str, str] | None:
        return None


class Snapshot:
    """One mutable picture. Pods are on the node of their node_name, whether bound or only assumed to be."""

    def __init__(self, storage: Storage | None = None, owners: Owners | None = None) -> None:
        self.nodes: dict[str, NodeInfo] = {}
        self.counts = PodCounts(self.nodes)
        self.storage: Storage = storage or NoStorage()
        self.owners: Owners = owners or NoOwners()
        self.pods: dict[str, PodInfo] = {}
        self.image_nodes: dict[str, int] = {}
        self.nominated: dict[str, dict[str, PodInfo]] = {}
        self.soft_tainted = 0
        self.claim_users: dict[tuple[str, str], int] = {}
        self._priorities: dict[int, int] = {}
        self._order: list[NodeInfo] | None = None
        self._signatures: dict[tuple[int, bytes], int] = {}
        self._next_signature = 0

    def signature_number(self, profile: int, signature: bytes) -> int:
        """A number for the pods of this signature under a profile (its id); never given to others."""
        key = profile, signature
        number = self._signatures.get(key)
        if number is None:
            if len(self._signatures) >= _KEPT_SIGNATURES:
                self._signatures.clear()
            number = self._signatures[key] = self._next_signature = self._next_signature + 1
        return number

    def has_pods_below(self, priority: int) -> bool:
        """Whether any pod on any node is less important."""
        return any(one < priority for one in self._priorities)

    # --- nodes --------------------------------------------------------------------------------------------------------

    @property
    def node_order(self) -> list[NodeInfo]:
        """The nodes that exist, zones taking turns."""
        if self._order is None:
            zones: dict[tuple[str, str], list[NodeInfo]] = {}
            for node in self.nodes.values():
                if node.obj is not None:
                    zone = node.labels.get(_REGION, ""), node.labels.get(_ZONE, "")
                    zones.setdefault(zone, []).append(node)
            queues = list(zones.values())
            longest = max((len(queue) for queue in queues), default=0)
            self._order = [queue[i] for i in range(longest) for queue in queues if i < len(queue)]
        return self._order

    def set_node(self, obj: Object) -> None:
        """A node that came or changed."""
        name = obj["metadata"]["name"]
        node = self.nodes.get(name)
        if node is None:
            node = self.nodes[name] = NodeInfo(name)
        is_new, labels, images = node.obj is None, node.labels, node.images
        self.soft_tainted -= bool(node.soft_taints)
        node.set_node(obj)
        self.soft_tainted += bool(node.soft_taints)
        if images.keys() != node.images.keys():
            self._count_images(images, -1)
            self._count_images(node.images, 1)
        if is_new or labels != node.labels:
            self._order = None
            self.counts.nodes_changed()

    def remove_node(self, name: str) -> None:
        node = self.nodes.get(name)
        if node is None:
            return
        self._count_images(node.images, -1)
        self.soft_tainted -= bool(node.soft_taints)
        pods = node.pods
        del self.nodes[name]
        if pods:
            # Its pods are still there until somebody deletes them.
            ghost = self.nodes[name] = NodeInfo(name)
            for pod in pods.values():
                ghost.add(pod)
        self._order = None
        self.counts.nodes_changed()

    def _count_images(self, images: Mapping[str, int], sign: int) -> None:
        for name in images:
            left = self.image_nodes.get(name, 0) + sign
            if left > 0:
                self.image_nodes[name] = left
            else:
                self.image_nodes.pop(name, None)

    # --- pods ---------------------------------------------------------------------------------------------------------

    def add_pod(self, pod: PodInfo) -> None:
        """A pod on its node; replaces what is known of the same pod."""
        if pod.uid in self.pods:
            self.remove_pod(pod.uid)
        node = self.nodes.get(pod.node_name)
        if node is None:
            node = self.nodes[pod.node_name] = NodeInfo(pod.node_name)
        self.pods[pod.uid] = pod
        node.add(pod)
        self.counts.add(pod, node)
        self._priorities[pod.priority] = self._priorities.get(pod.priority, 0) + 1
        for claim in pod.claims:
            key = (pod.namespace, claim)
            self.claim_users[key] = self.claim_users.get(key, 0) + 1

    def remove_pod(self, uid: str) -> PodInfo | None:
        pod = self.pods.pop(uid, None)
        if pod is None:
            return None
        node = self.nodes[pod.node_name]
        node.remove(uid)
        self.counts.add(pod, node, -1)
        self._priorities[pod.priority] -= 1
        if not self._priorities[pod.priority]:
            del self._priorities[pod.priority]
        for claim in pod.claims:
            key = (pod.namespace, claim)
            self.claim_users[key] -= 1
            if not self.claim_users[key]:
                del self.claim_users[key]
        if node.obj is None and not node.pods:
            del self.nodes[node.name]
        return pod

    # --- nominations --------------------------------------------------------------------------------------------------

    def nominate(self, pod: PodInfo, node_name: str) -> None:
        """Remember that a pending pod waits for room on a node ('' for none)."""
        for name in [name for name, pods in self.nominated.items() if pod.uid in pods]:
            del self.nominated[name][pod.uid]
            if not self.nominated[name]:
                del self.nominated[name]
        if node_name:
            self.nominated.setdefault(node_name, {})[pod.uid] = pod
