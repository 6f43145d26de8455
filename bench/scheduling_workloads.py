"""The scheduling workloads: which pods are there, which are measured, and what kube-scheduler is asked to reach.

The shapes and thresholds (at 5,000 nodes) are those of Kubernetes' test/integration/scheduler_perf; amounts of cpu are
scaled from its nodes of 4 cpus to the simulated nodes' 32.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
Make = Callable[[int], Object]

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
FIRST, SECOND = "sched-0", "sched-1"


@dataclass(frozen=True)
class Pods:
    """A number of pods (by the number of nodes) of one shape in one namespace."""

    make: Make
    count: Callable[[int], int]
    namespace: str = SECOND

    def objects(self, nodes: int) -> Iterator[Object]:
        return (self.make(number) for number in range(self.count(nodes)))


@dataclass(frozen=True)
class Workload:
    """threshold: pods a second that kube-scheduler must reach, at `at` nodes."""

    name: str
    threshold: float
    measured: Pods
    before: tuple[Pods, ...] = ()
    zones: tuple[str, ...] = ()
    objects: tuple[tuple[str, Object], ...] = ()
    has_churn: bool = False
    uses_daemon_set: bool = False
    at: int = 5000
    sizes: tuple[int, ...] = (500, 5000)


def pod(color: str = "", *, cpu: str = "100m", **spec: Any) -> Make:
    def make(_number: int) -> Object:
        labels = {"color": color} if color else {}
        container = {
            "name": "pause",
            "image": "registry.k8s.io/pause:3.10",
            "ports": [{"containerPort": 80}],
            "resources": {"requests": {"cpu": cpu, "memory": "500Mi"}},
        }
        return {"metadata": {"generateName": "pod-", "labels": labels}, "spec": {"containers": [container], **spec}}

    return make


def term(color: str, key: str) -> Object:
    return {
        "labelSelector": {"matchLabels": {"color": color}},
        "topologyKey": key,
        "namespaces": [FIRST, SECOND],
    }


def near(kind: str, color: str, key: str, *, required: bool) -> Make:
    if required:
        rules: Object = {"requiredDuringSchedulingIgnoredDuringExecution": [term(color, key)]}
    else:
        entry = {"weight": 1, "podAffinityTerm": term(color, key)}
        rules = {"preferredDuringSchedulingIgnoredDuringExecution": [entry]}
    return pod(color, affinity={kind: rules})


def spread(when: str) -> Make:
    rule = {
        "maxSkew": 5,
        "topologyKey": ZONE,
        "whenUnsatisfiable": when,
        "labelSelector": {"matchLabels": {"color": "blue"}},
    }
    return pod("blue", topologySpreadConstraints=[rule])


def by_size(small: int, large: int) -> Callable[[int], int]:
    """So many pods up to 1,000 nodes, and so many above."""
    return lambda nodes: small if nodes <= 1000 else large


BASIC = pod()
IN_ZONE = pod(
    affinity={
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["zone1", "zone2"]}]}
                ]
            }
        }
    }
)
TOGETHER = near("podAffinity", "blue", ZONE, required=True)
APART = near("podAntiAffinity", "green", HOST, required=True)
DRAWN = near("podAffinity", "red", HOST, required=False)
REPELLED = near("podAntiAffinity", "yellow", HOST, required=False)
ONE, MOONS = ("zone1",), ("moon-1", "moon-2", "moon-3")
URGENT = {"metadata": {"name": "urgent"}, "value": 10}
CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"

WORKLOADS = (
    Workload("basic", 270, Pods(BASIC, by_size(1000, 2000)), (Pods(BASIC, by_size(500, 1000)),)),
    Workload("node affinity", 220, Pods(IN_ZONE, by_size(1000, 1000)), (Pods(IN_ZONE, by_size(500, 5000)),), ONE),
    Workload(
        "preferred pod affinity", 90, Pods(DRAWN, by_size(1000, 1000)), (Pods(DRAWN, by_size(500, 5000), FIRST),)
    ),
    Workload(
        "preferred anti-affinity", 90, Pods(REPELLED, by_size(1000, 1000)), (Pods(REPELLED, by_size(500, 5000), FIRST),)
    ),
    Workload(
        "required pod affinity", 35, Pods(TOGETHER, by_size(1000, 1000)),
        (Pods(TOGETHER, by_size(500, 5000), FIRST),), ONE,
    ),
    Workload("anti-affinity", 60, Pods(APART, by_size(400, 1000)), (Pods(APART, by_size(100, 1000), FIRST),)),
    Workload(
        "topology spread", 85, Pods(spread("DoNotSchedule"), by_size(1000, 2000)),
        (Pods(BASIC, by_size(1000, 5000)),), MOONS,
    ),
    Workload(
        "preferred spread", 125, Pods(spread("ScheduleAnyway"), by_size(1000, 2000)),
        (Pods(BASIC, by_size(1000, 5000)),), MOONS,
    ),
    Workload(
        "mixed base pods", 140, Pods(BASIC, by_size(1000, 1000)),
        tuple(Pods(make, by_size(200, 2000), FIRST) for make in (BASIC, TOGETHER, APART, DRAWN, REPELLED)), ONE,
    ),
    Workload("mixed churn", 265, Pods(BASIC, by_size(1000, 2000)), objects=((CLASSES, URGENT),), has_churn=True),
    Workload(
        "preemption", 18, Pods(pod(cpu="24", priorityClassName="urgent"), lambda nodes: nodes),
        (Pods(pod(cpu="7200m"), lambda nodes: 4 * nodes, FIRST),), objects=((CLASSES, URGENT),), at=500, sizes=(500,),
    ),
    Workload("daemonset", 390, Pods(BASIC, lambda nodes: nodes), uses_daemon_set=True, at=15000),
)  # fmt: skip


def daemon_set() -> Object:
    template = BASIC(0)
    return {
        "metadata": {"name": "everywhere"},
        "spec": {
            "selector": {"matchLabels": {"app": "everywhere"}},
            "template": {"metadata": {"labels": {"app": "everywhere"}}, "spec": template["spec"]},
        },
    }


def deployment(name: str, replicas: int) -> Object:
    labels = {"app": name}
    container = {"name": "c", "image": "registry.k8s.io/pause:3.10"}
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
