"""Reads what scheduling needs out of a pod once, so that no decision parses anything again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from minikube_py import clock
from minikube_py.objects.errors import Object
from minikube_py.objects.selectors import LabelSelector, NodeSelector, NodeSelectorTerm
from minikube_py.scheduler.requests import (
    CPU,
    DEFAULT_MEMORY,
    DEFAULT_MILLI_CPU,
    EPHEMERAL_STORAGE,
    MEMORY,
    pod_requests,
)

_DEFAULTS = {CPU: DEFAULT_MILLI_CPU, MEMORY: DEFAULT_MEMORY}
_WITHOUT: Mapping[str, str] = {}


class PodSet(NamedTuple):
    """A set of pods by labels: which namespaces (named, or by their labels), which selector. Hashable.

    with_terminating says whether pods that are being deleted are counted.
    """

    namespaces: frozenset[str]
    namespace_selector: LabelSelector | None
    selector: LabelSelector
    with_terminating: bool = True

    def matches(self, namespace: str, namespace_labels: Mapping[str, str], labels: Mapping[str, str]) -> bool:
        if namespace not in self.namespaces and (
            self.namespace_selector is None or not self.namespace_selector.matches(namespace_labels)
        ):
            return False
        return self.selector.matches(labels)


class AffinityTerm(NamedTuple):
    """One term of pod affinity or anti-affinity; weight 0 for required ones. Hashable."""

    pods: PodSet
    topology_key: str
    weight: int = 0


class SpreadConstraint(NamedTuple):
    """One topology spread constraint."""

    max_skew: int
    topology_key: str
    pods: PodSet
    min_domains: int = 1
    honours_affinity: bool = True
    honours_taints: bool = False


class HostPort(NamedTuple):
    ip: str
    protocol: str
    port: int


@dataclass(slots=True)
class PodInfo:
    """A pod as the scheduler sees it. obj is shared and read-only."""

    obj: Object
    uid: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    priority: int
    node_name: str
    nominated: str
    is_terminating: bool
    # The common resources stand alone: they are compared for every node.
    milli_cpu: int
    memory: int
    storage: int
    others: dict[str, int]
    scored_cpu: int
    scored_memory: int
    host_ports: tuple[HostPort, ...]
    affinity: tuple[AffinityTerm, ...]
    anti_affinity: tuple[AffinityTerm, ...]
    preferred: tuple[AffinityTerm, ...]
    node_selector: Mapping[str, str]
    node_affinity: NodeSelector | None
    node_preferences: tuple[tuple[int, NodeSelectorTerm], ...]
    tolerations: list[Object]
    hard_spread: tuple[SpreadConstraint, ...]
    soft_spread: tuple[SpreadConstraint, ...]
    images: tuple[str, ...]
    claims: tuple[str, ...]
    _signature: bytes = b""
    _start_seconds: float = 0.0

    @property
    def signature(self) -> bytes:
        """Equal for pods that local filters and scores can't tell apart."""
        if not self._signature:
            spec = self.obj["spec"]
            affinity = (spec.get("affinity") or {}).get("nodeAffinity")
            amounts = [self.milli_cpu, self.memory, self.storage, self.scored_cpu, self.scored_memory, self.others]
            fields = [spec.get("nodeName"), self.node_selector, affinity, self.tolerations]
            self._signature = orjson.dumps(
                [amounts, [list(port) for port in self.host_ports], fields], option=orjson.OPT_SORT_KEYS
            )
        return self._signature

    def request(self, resource: str) -> int:
        """What the pod requests of one resource."""
        if resource == CPU:
            return self.milli_cpu
        if resource == MEMORY:
            return self.memory
        if resource == EPHEMERAL_STORAGE:
            return self.storage
        return self.others.get(resource, 0)

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name

    @property
    def start_seconds(self) -> float:
        """When the pod started, else now (component-helpers GetPodStartTime)."""
        if not self._start_seconds:
            started = (self.obj.get("status") or {}).get("startTime")
            if not started:
                return clock.seconds()
            self._start_seconds = clock.parse(started).timestamp()
        return self._start_seconds


def read_pod(pod: Object, node_name: str | None = None) -> PodInfo:
    """The PodInfo of a pod; node_name says where it is assumed to be."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    requests = pod_requests(pod)
    scored = pod_requests(pod, _DEFAULTS)
    affinity = spec.get("affinity") or {}
    node_affinity = affinity.get("nodeAffinity") or {}
    required = node_affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    labels = metadata.get("labels") or _WITHOUT
    spread = [(_constraint(pod, c), c) for c in spec.get("topologySpreadConstraints") or ()]
    return PodInfo(
        obj=pod,
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        labels=labels,
        priority=spec.get("priority") or 0,
        node_name=spec.get("nodeName") or "" if node_name is None else node_name,
        nominated=status.get("nominatedNodeName") or "",
        is_terminating=bool(metadata.get("deletionTimestamp")),
        milli_cpu=requests.pop(CPU, 0),
        memory=requests.pop(MEMORY, 0),
        storage=requests.pop(EPHEMERAL_STORAGE, 0),
        others={name: value for name, value in requests.items() if value},
        scored_cpu=scored.get(CPU, 0),
        scored_memory=scored.get(MEMORY, 0),
        host_ports=_host_ports(spec),
        affinity=_terms(pod, affinity.get("podAffinity"), preferred=False),
        anti_affinity=_terms(pod, affinity.get("podAntiAffinity"), preferred=False),
        preferred=_terms(pod, affinity.get("podAffinity"), preferred=True)
        + _terms(pod, affinity.get("podAntiAffinity"), preferred=True, sign=-1),
        node_selector=spec.get("nodeSelector") or _WITHOUT,
        node_affinity=NodeSelector(required) if required is not None else None,
        node_preferences=tuple(
            (entry["weight"], NodeSelectorTerm(entry.get("preference") or {}))
            for entry in node_affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        ),
        tolerations=spec.get("tolerations") or [],
        hard_spread=tuple(made for made, c in spread if c["whenUnsatisfiable"] == "DoNotSchedule"),
        soft_spread=tuple(made for made, c in spread if c["whenUnsatisfiable"] == "ScheduleAnyway"),
        images=tuple(
            c["image"] for c in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())] if c.get("image")
        ),
        claims=_claims(pod),
    )


def _host_ports(spec: Object) -> tuple[HostPort, ...]:
    containers = list(spec.get("containers") or ())
    containers += [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    return tuple(
        HostPort(port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"])
        for container in containers
        for port in container.get("ports") or ()
        if port.get("hostPort")
    )


def _terms(pod: Object, affinity: Object | None, *, preferred: bool, sign: int = 1) -> tuple[AffinityTerm, ...]:
    if not affinity:
        return ()
    if preferred:
        entries = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        return tuple(_term(pod, entry["podAffinityTerm"], sign * entry["weight"]) for entry in entries)
    return tuple(_term(pod, term, 0) for term in affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ())


def _term(pod: Object, term: Object, weight: int) -> AffinityTerm:
    metadata = pod["metadata"]
    namespaces = frozenset(term.get("namespaces") or ())
    by_labels = term.get("namespaceSelector")
    if not namespaces and by_labels is None:
        namespaces = frozenset((metadata["namespace"],))
    # The API server has merged matchLabelKeys and mismatchLabelKeys into it.
    selector = LabelSelector.from_dict(term.get("labelSelector"))
    namespace_selector = LabelSelector.from_dict(by_labels) if by_labels is not None else None
    return AffinityTerm(PodSet(namespaces, namespace_selector, selector), term["topologyKey"], weight)


def _constraint(pod: Object, constraint: Object) -> SpreadConstraint:
    metadata = pod["metadata"]
    selector = LabelSelector.from_dict(constraint.get("labelSelector"))
    return SpreadConstraint(
        max_skew=constraint["maxSkew"],
        topology_key=constraint["topologyKey"],
        pods=PodSet(frozenset((metadata["namespace"],)), None, selector, False),
        min_domains=constraint.get("minDomains") or 1,
        honours_affinity=constraint.get("nodeAffinityPolicy", "Honor") == "Honor",
        honours_taints=constraint.get("nodeTaintsPolicy", "Ignore") == "Honor",
    )


def _claims(pod: Object) -> tuple[str, ...]:
    names = []
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            names.append(volume["persistentVolumeClaim"]["claimName"])
        elif volume.get("ephemeral"):
            names.append(f"{pod['metadata']['name']}-{volume['name']}")
    return tuple(names)
