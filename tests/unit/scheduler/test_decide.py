"""Where pods go and why they can't: each filter and score over small pictures of a cluster."""

from typing import Any

import pytest

from minikube_py import ids
from minikube_py.objects.errors import Object
from minikube_py.scheduler.decide import decide, nodes_to_find
from minikube_py.scheduler.snapshot import Snapshot
from tests.unit.scheduler.cluster_picture import info, node, pod, snapshot

ZONE = "topology.kubernetes.io/zone"
HOST = "kubernetes.io/hostname"


def zoned(name: str, zone: str, **more: Any) -> Object:
    return node(name, labels={ZONE: zone}, **more)


def choose(picture: Snapshot, obj: Object) -> str:
    return decide(picture, info(obj)).node_name


def why(picture: Snapshot, obj: Object) -> str:
    decision = decide(picture, info(obj))
    assert not decision.node_name
    return decision.message()


def test_every_reason_is_counted_and_sorted() -> None:
    picture = snapshot(
        node("full", cpu="1"),
        node("cordoned", unschedulable=True),
        node("tainted", taints=[{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]),
        node("busy", pods="0"),
    )
    assert why(picture, pod(requests={"cpu": "2"})) == (
        "0/4 nodes are available: 1 Insufficient cpu, 1 Too many pods, 1 node(s) had untolerated taint(s), "
        "1 node(s) were unschedulable."
    )


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ({"key": "gpu", "operator": "Exists"}, True),
        ({"key": "gpu", "value": "yes"}, True),
        ({"key": "gpu", "value": "no"}, False),
        ({"operator": "Exists"}, True),
        ({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_taints(toleration: Object, fits: bool) -> None:
    picture = snapshot(node("a", taints=[{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]))
    assert bool(choose(picture, pod(tolerations=[toleration]))) is fits


def test_node_selector_and_affinity() -> None:
    picture = snapshot(zoned("a", "z1"), zoned("b", "z2"))
    assert choose(picture, pod(nodeSelector={ZONE: "z2"})) == "b"
    term = {"matchExpressions": [{"key": ZONE, "operator": "NotIn", "values": ["z2"]}]}
    required = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
    assert choose(picture, pod(affinity=required)) == "a"
    assert why(picture, pod(nodeSelector={ZONE: "z3"})) == (
        "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."
    )
    preferred = {"weight": 50, "preference": {"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["z2"]}]}}
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preferred]}}
    assert choose(picture, pod(affinity=affinity)) == "b"


def test_host_ports_conflict_by_protocol_and_address() -> None:
    def with_port(**port: Any) -> Object:
        made = pod()
        made["spec"]["containers"][0]["ports"] = [{"containerPort": 80, "hostPort": 80, **port}]
        return made

    picture = snapshot(node("a"), placed=[("a", with_port(hostIP="127.0.0.1"))])
    assert choose(picture, with_port(protocol="UDP")) == "a"
    assert choose(picture, with_port(hostIP="127.0.0.2")) == "a"
    assert "didn't have free ports" in why(picture, with_port())


def test_extended_resources() -> None:
    picture = snapshot(node("a"), node("b", resources={"example.com/gpu": "2"}))
    assert choose(picture, pod(requests={"example.com/gpu": "2"})) == "b"
    assert why(picture, pod(requests={"example.com/gpu": "3"})) == (
        "0/2 nodes are available: 2 Insufficient example.com/gpu."
    )


def test_pods_go_where_least_is_asked_for() -> None:
    picture = snapshot(node("a"), node("b"), placed=[("a", pod(requests={"cpu": "2", "memory": "2Gi"}))])
    assert choose(picture, pod(requests={"cpu": "1", "memory": "1Gi"})) == "b"


def spread(skew: int = 1, key: str = ZONE, when: str = "DoNotSchedule", **more: Any) -> list[Object]:
    selector = {"matchLabels": {"app": "x"}}
    return [{"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": when, "labelSelector": selector, **more}]


def x(**spec: Any) -> Object:
    return pod(labels={"app": "x"}, **spec)


def test_spreading_keeps_the_skew() -> None:
    picture = snapshot(zoned("a", "z1"), zoned("b", "z2"), node("bare"), placed=[("a", x()), ("a", x()), ("b", x())])
    assert choose(picture, x(topologySpreadConstraints=spread())) == "b"
    picture.add_pod(info(x(), "b"))
    picture.set_node(zoned("c", "z3", unschedulable=True))
    assert why(picture, x(topologySpreadConstraints=spread())) == (
        "0/4 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label), "
        "1 node(s) were unschedulable, 2 node(s) didn't match pod topology spread constraints."
    )


def test_spreading_counts_only_nodes_the_pod_may_use() -> None:
    picture = snapshot(zoned("a", "z1"), zoned("b", "z2"), zoned("c", "z3"), placed=[("a", x()), ("b", x())])
    term = {"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["z1", "z2"]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
    assert choose(picture, x(topologySpreadConstraints=spread(), affinity=affinity)) in ("a", "b")
    ignored = spread(nodeAffinityPolicy="Ignore")
    assert not choose(picture, x(topologySpreadConstraints=ignored, affinity=affinity))


def test_min_domains_counts_missing_ones_as_empty() -> None:
    picture = snapshot(zoned("a", "z1"), placed=[("a", x())])
    assert choose(picture, x(topologySpreadConstraints=spread())) == "a"
    assert not choose(picture, x(topologySpreadConstraints=spread(minDomains=2)))


def test_soft_spreading_prefers_the_emptier_zone() -> None:
    picture = snapshot(zoned("a", "z1"), zoned("b", "z2"), placed=[("a", x()), ("a", x()), ("a", x())])
    constraints = spread(when="ScheduleAnyway")
    assert {choose(picture, x(topologySpreadConstraints=constraints)) for _ in range(5)} == {"b"}


def near(kind: str = "podAffinity", key: str = ZONE, app: str = "x", **more: Any) -> Object:
    term = {"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}, **more}
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def test_affinity_to_pods_in_the_same_zone() -> None:
    picture = snapshot(zoned("a", "z1"), zoned("b", "z2"), zoned("c", "z2"), placed=[("b", x())])
    assert choose(picture, pod(affinity=near())) in ("b", "c")
    assert why(picture, pod(affinity=near(app="nobody"))) == (
        "0/3 nodes are available: 3 node(s) didn't match pod affinity rules."
    )
    assert choose(picture, pod(labels={"app": "first"}, affinity=near(app="first")))


def test_affinity_looks_into_the_namespaces_it_names() -> None:
    picture = snapshot(zoned("a", "z1"), zoned("b", "z2"), placed=[("b", x(namespace="other"))])
    picture.counts.set_namespace("other", {"team": "red"})
    assert not choose(picture, pod(affinity=near()))
    assert choose(picture, pod(affinity=near(namespaces=["other"]))) == "b"
    by_label = {"matchLabels": {"team": "red"}}
    assert choose(picture, pod(affinity=near(namespaceSelector=by_label))) == "b"
    picture.counts.set_namespace("other", {"team": "blue"})
    assert not choose(picture, pod(affinity=near(namespaceSelector=by_label)))


def test_anti_affinity_works_both_ways() -> None:
    apart = near("podAntiAffinity", HOST)
    picture = snapshot(node("a"), node("b"), placed=[("a", x(affinity=apart))])
    assert choose(picture, x(affinity=apart)) == "b"
    assert choose(picture, x()) == "b"
    picture.set_node(node("b", unschedulable=True))
    assert "1 node(s) didn't satisfy existing pods anti-affinity rules" in why(picture, x())
    assert "1 node(s) didn't match pod anti-affinity rules" in why(
        snapshot(node("a"), placed=[("a", x())]), pod(affinity=apart)
    )


def test_preferred_affinity_and_aversion() -> None:
    def prefer(kind: str) -> Object:
        term = near()["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]
        return {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}}

    picture = snapshot(zoned("a", "z1"), zoned("b", "z2"), placed=[("b", x())])
    assert choose(picture, pod(affinity=prefer("podAffinity"))) == "b"
    assert choose(picture, pod(affinity=prefer("podAntiAffinity"))) == "a"


def test_images_that_are_there_already_attract() -> None:
    big = {"names": ["x:1"], "sizeBytes": 900 * 1024 * 1024}
    with_image = node("b")
    with_image["status"]["images"] = [big]
    assert choose(snapshot(node("a"), with_image, node("c")), pod()) == "b"


@pytest.mark.parametrize(
    ("nodes", "enough"), [(10, 10), (99, 99), (100, 100), (500, 230), (1000, 420), (5000, 500), (9000, 450)]
)
def test_how_many_feasible_nodes_are_enough(nodes: int, enough: int) -> None:
    assert nodes_to_find(nodes) == enough


def test_the_search_goes_on_where_the_last_one_stopped() -> None:
    picture = snapshot(*(node(f"n{i}") for i in range(300)))
    first = decide(picture, info(pod()), 0)
    assert first.next_start == nodes_to_find(300)
    second = decide(picture, info(pod()), first.next_start)
    assert second.next_start == (2 * nodes_to_find(300)) % 300


def test_counts_kept_up_to_date_equal_counts_made_anew() -> None:
    ids.seed(7)
    nodes = [zoned(f"n{i}", f"z{i % 3}") for i in range(12)]
    kept = snapshot(*nodes)
    constraints, apart = spread(), near("podAntiAffinity", HOST)
    placed: list[tuple[str, Object]] = []
    for step in range(200):
        obj = x(topologySpreadConstraints=constraints) if step % 2 else x(affinity=apart, namespace=f"ns{step % 4}")
        name = choose(kept, obj)
        if name:
            kept.add_pod(info(obj, name))
            placed.append((name, obj))
        if len(placed) > 20:
            _, gone = placed.pop(ids.pick(len(placed)))
            kept.remove_pod(gone["metadata"]["uid"])
        if step % 50 == 49:
            renamed = zoned("n5", f"z{step % 5}")
            kept.set_node(renamed)
            nodes[5] = renamed
        if step % 20 == 0:
            anew = snapshot(*nodes, placed=placed)
            for probe in (x(topologySpreadConstraints=constraints), x(affinity=apart), x(affinity=near())):
                one, other = decide(kept, info(probe)), decide(anew, info(probe))
                assert one.refusals == other.refusals
    ids.seed(0)
