"""Holds one node and the sum of what the pods on it take, kept up to date pod by pod."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from minikube_py.objects.errors import Object
from minikube_py.scheduler.pod_info import HostPort, PodInfo
from minikube_py.scheduler.requests import CPU, EPHEMERAL_STORAGE, MEMORY, PODS, amounts

_ANY_IP = "0.0.0.0"


class LocalVerdict(NamedTuple):
    """What local filters and scores say of a pod on a node: who refused (with the reasons), or the weighted score."""

    rule: str
    refusal: "Refusal | None"
    score: float


class Refusal(NamedTuple):
    """Why a node (or, from prepare, every node) can't take a pod. Evicting other pods may help unless is_final."""

    reasons: tuple[str, ...]
    is_final: bool = False


class NodeInfo:
    """obj is None for a node that pods name but that is not there (yet)."""

    __slots__ = (
        "fields", "hard_taints", "images", "labels", "max_cpu", "max_memory", "max_others", "max_pods",
        "max_storage", "memo", "name", "obj", "pods", "ports", "scored_cpu", "scored_memory", "soft_taints",
        "unschedulable", "used_cpu", "used_memory", "used_others", "used_storage",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.obj: Object | None = None
        self.fields = {"metadata.name": name}
        self.labels: Mapping[str, str] = {}
        self.unschedulable = False
        self.hard_taints: Sequence[Object] = ()
        self.soft_taints: Sequence[Object] = ()
        self.images: dict[str, int] = {}
        self.max_cpu = self.max_memory = self.max_storage = self.max_pods = 0
        self.max_others: dict[str, int] = {}
        self.used_cpu = self.used_memory = self.used_storage = 0
        self.used_others: dict[str, int] = {}
        self.scored_cpu = self.scored_memory = 0
        self.pods: dict[str, PodInfo] = {}
        self.ports: dict[HostPort, int] = {}
        # What local filters and scores said of pods, by their signature; dropped with every change.
        self.memo: dict[int, LocalVerdict] = {}

    def set_node(self, node: Object) -> None:
        spec, status = node.get("spec") or {}, node.get("status") or {}
        self.memo.clear()
        self.obj = node
        self.labels = node["metadata"].get("labels") or {}
        self.unschedulable = bool(spec.get("unschedulable"))
        taints = spec.get("taints") or ()
        self.hard_taints = [t for t in taints if t["effect"] != "PreferNoSchedule"]
        self.soft_taints = [t for t in taints if t["effect"] == "PreferNoSchedule"]
        allocatable = amounts(status.get("allocatable") or status.get("capacity"))
        self.max_cpu = allocatable.pop(CPU, 0)
        self.max_memory = allocatable.pop(MEMORY, 0)
        self.max_storage = allocatable.pop(EPHEMERAL_STORAGE, 0)
        self.max_pods = allocatable.pop(PODS, 0)
        self.max_others = allocatable
        self.images = {
            name: image.get("sizeBytes") or 0
            for image in status.get("images") or ()
            for name in image.get("names") or ()
        }

    def add(self, pod: PodInfo) -> None:
        self.pods[pod.uid] = pod
        self._count(pod, 1)

    def remove(self, uid: str) -> PodInfo | None:
        pod = self.pods.pop(uid, None)
        if pod is not None:
            self._count(pod, -1)
        return pod

    def amounts_of(self, resource: str) -> tuple[int, int]:
        """(requested, allocatable) of one resource."""
        if resource == CPU:
            return self.used_cpu, self.max_cpu
        if resource == MEMORY:
            return self.used_memory, self.max_memory
        if resource == EPHEMERAL_STORAGE:
            return self.used_storage, self.max_storage
        return self.used_others.get(resource, 0), self.max_others.get(resource, 0)

    def _count(self, pod: PodInfo, sign: int) -> None:
        self.memo.clear()
        self.used_cpu += sign * pod.milli_cpu
        self.used_memory += sign * pod.memory
        self.used_storage += sign * pod.storage
        self.scored_cpu += sign * pod.scored_cpu
        self.scored_memory += sign * pod.scored_memory
        for name, value in pod.others.items():
            self.used_others[name] = self.used_others.get(name, 0) + sign * value
        for port in pod.host_ports:
            left = self.ports.get(port, 0) + sign
            if left:
                self.ports[port] = left
            else:
                del self.ports[port]

    def has_port(self, wanted: HostPort) -> bool:
        """Whether a pod here holds a conflicting host port; the wildcard address conflicts with every address."""
        if not self.ports:
            return False
        if wanted.ip == _ANY_IP:
            return any(p.port == wanted.port and p.protocol == wanted.protocol for p in self.ports)
        return wanted in self.ports or HostPort(_ANY_IP, wanted.protocol, wanted.port) in self.ports
