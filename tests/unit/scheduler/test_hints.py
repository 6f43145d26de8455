"""Which changes are worth another try, for each filter that refused a pod."""

from typing import Any

import pytest

from minikube_py.objects.errors import Object
from minikube_py.scheduler.decide import decide
from minikube_py.scheduler.framework import Change, Wake
from minikube_py.scheduler.preemption import preempt
from minikube_py.scheduler.profile import DEFAULT_PROFILE
from tests.unit.scheduler.cluster_picture import info, node, pod, snapshot

HOST = "kubernetes.io/hostname"


def on_node(wake: Wake, **about: Any) -> Change:
    obj = node("n", **about)
    return Change(wake, node=snapshot(obj).nodes["n"])


def on_pod(wake: Wake, obj: Object) -> Change:
    return Change(wake, pod=info(obj, "n"))


def term(app: str) -> Object:
    return {"topologyKey": HOST, "labelSelector": {"matchLabels": {"app": app}}}


def with_port(port: int) -> Object:
    made = pod()
    made["spec"]["containers"][0]["ports"] = [{"containerPort": port, "hostPort": port}]
    return made


NEAR_X = pod(affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term("x")]}})
AWAY_FROM_X = pod(affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term("x")]}})
X, Y = pod(labels={"app": "x"}), pod(labels={"app": "y"})
GPU = pod(requests={"cpu": "2", "example.com/gpu": "1"})
TAINT = {"key": "a", "value": "b", "effect": "NoSchedule"}
SPREAD = pod(
    topologySpreadConstraints=[
        {"maxSkew": 1, "topologyKey": HOST, "whenUnsatisfiable": "DoNotSchedule",
         "labelSelector": {"matchLabels": {"app": "x"}}}
    ]
)  # fmt: skip
CLAIMING = pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])


def claim(name: str, namespace: str = "default") -> Change:
    return Change(Wake.STORAGE, claim={"metadata": {"name": name, "namespace": namespace}})


@pytest.mark.parametrize(
    ("rule", "waiting", "change", "expected"),
    [
        ("NodeResourcesFit", GPU, on_node(Wake.NODE_ADDED), False),
        ("NodeResourcesFit", GPU, on_node(Wake.NODE_ADDED, resources={"example.com/gpu": "1"}), True),
        ("NodeResourcesFit", GPU, on_node(Wake.NODE_ROOM, cpu="1", resources={"example.com/gpu": "1"}), False),
        ("NodeResourcesFit", GPU, on_node(Wake.NODE_LABELS), False),
        ("NodeResourcesFit", GPU, on_pod(Wake.POD_GONE, X), True),
        ("NodeResourcesFit", GPU, on_pod(Wake.POD_ADDED, X), False),
        ("TaintToleration", pod(), on_node(Wake.NODE_TAINTS, taints=[TAINT]), False),
        ("TaintToleration", pod(tolerations=[{"key": "a", "operator": "Exists"}]), on_node(Wake.NODE_TAINTS, taints=[TAINT]), True),  # noqa: E501
        ("TaintToleration", pod(), on_node(Wake.NODE_TAINTS), True),
        ("NodeUnschedulable", pod(), on_node(Wake.NODE_TAINTS, unschedulable=True), False),
        ("NodeUnschedulable", pod(), on_node(Wake.NODE_TAINTS), True),
        ("NodeAffinity", pod(nodeSelector={"disk": "ssd"}), on_node(Wake.NODE_LABELS, labels={"disk": "hdd"}), False),
        ("NodeAffinity", pod(nodeSelector={"disk": "ssd"}), on_node(Wake.NODE_LABELS, labels={"disk": "ssd"}), True),
        ("NodePorts", with_port(80), on_pod(Wake.POD_GONE, with_port(80)), True),
        ("NodePorts", with_port(80), on_pod(Wake.POD_GONE, with_port(81)), False),
        ("InterPodAffinity", NEAR_X, on_pod(Wake.POD_ADDED, X), True),
        ("InterPodAffinity", NEAR_X, on_pod(Wake.POD_ADDED, Y), False),
        ("InterPodAffinity", AWAY_FROM_X, on_pod(Wake.POD_GONE, X), True),
        ("InterPodAffinity", AWAY_FROM_X, on_pod(Wake.POD_GONE, Y), False),
        ("InterPodAffinity", X, on_pod(Wake.POD_GONE, AWAY_FROM_X), True),
        ("PodTopologySpread", SPREAD, on_pod(Wake.POD_GONE, X), True),
        ("PodTopologySpread", SPREAD, on_pod(Wake.POD_GONE, Y), False),
        ("PodTopologySpread", SPREAD, Change(Wake.NODE_GONE), True),
        ("VolumeBinding", CLAIMING, claim("data"), True),
        ("VolumeBinding", CLAIMING, claim("other"), False),
        ("VolumeBinding", CLAIMING, claim("data", "elsewhere"), False),
        ("VolumeBinding", CLAIMING, Change(Wake.STORAGE), True),
    ],
)  # fmt: skip
def test_hints(rule: str, waiting: Object, change: Change, expected: bool) -> None:
    assert DEFAULT_PROFILE.helps(info(waiting), rule, change) is expected


def pinned(name: str, **spec: Any) -> Object:
    field = {"key": "metadata.name", "operator": "In", "values": [name]}
    required = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    return pod(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}, **spec)


def test_a_pod_for_one_node_looks_at_no_other() -> None:
    picture = snapshot(*(node(name) for name in "abc"))
    assert decide(picture, info(pinned("b"))).node_name == "b"
    waiting = info(pinned("b", requests={"cpu": "5"}))
    decision = decide(picture, waiting)
    after = preempt(picture, waiting, decision, ())
    assert decision.message(after.message) == (
        "0/3 nodes are available: 1 Insufficient cpu. "
        "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    )
    assert decide(picture, info(pinned("gone"))).message() == "0/3 nodes are available:"
    assert decide(picture, info(pinned("gone"))).rules == {"NodeAffinity"}
