"""Which pods are evicted for a more important one."""

from typing import Any

from minikube_py.objects.errors import Object
from minikube_py.scheduler.decide import decide
from minikube_py.scheduler.preemption import Preemption, preempt
from minikube_py.scheduler.snapshot import Snapshot
from tests.unit.scheduler.cluster_picture import info, node, pod, snapshot


def sized(name: str, cpu: str, priority: int, started: str = "2026-01-01T00:00:00Z", **more: Any) -> Object:
    made = pod(name, requests={"cpu": cpu}, priority=priority, **more)
    made["status"] = {"startTime": started}
    return made


def attempt(picture: Snapshot, obj: Object, budgets: list[Object] | None = None) -> Preemption:
    wanted = info(obj)
    decision = decide(picture, wanted)
    assert not decision.node_name
    return preempt(picture, wanted, decision, budgets or [])


def victims(outcome: Preemption) -> tuple[str, list[str]]:
    assert outcome.victims is not None
    return outcome.victims.node_name, [victim.name for victim in outcome.victims.pods]


def test_only_as_many_as_needed_and_the_least_important() -> None:
    picture = snapshot(
        node("a"), placed=[("a", sized("low", "2", 1)), ("a", sized("lower", "1", 0)), ("a", sized("mid", "1", 5))]
    )
    assert victims(attempt(picture, sized("new", "1", 10))) == ("a", ["lower"])
    assert victims(attempt(picture, sized("new", "3", 10))) == ("a", ["low", "lower"])
    assert len(picture.pods) == 3


def test_the_node_with_the_least_important_victims() -> None:
    picture = snapshot(node("a"), node("b"), placed=[("a", sized("p5", "4", 5)), ("b", sized("p1", "4", 1))])
    assert victims(attempt(picture, sized("new", "4", 10))) == ("b", ["p1"])


def test_of_equal_ones_the_last_started() -> None:
    picture = snapshot(
        node("a"), node("b"),
        placed=[
            ("a", sized("old", "4", 1, "2026-01-01T00:00:00Z")),
            ("b", sized("young", "4", 1, "2026-01-02T00:00:00Z")),
        ],
    )  # fmt: skip
    assert victims(attempt(picture, sized("new", "4", 10))) == ("b", ["young"])


def test_budgets_are_spared_where_possible() -> None:
    budget = {
        "metadata": {"name": "b", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "guarded"}}},
        "status": {"disruptionsAllowed": 0},
    }
    picture = snapshot(
        node("a"), node("b"),
        placed=[("a", sized("guarded", "4", 0, labels={"app": "guarded"})), ("b", sized("free", "4", 1))],
    )  # fmt: skip
    assert victims(attempt(picture, sized("new", "4", 10), [budget])) == ("b", ["free"])


def test_what_it_says_when_nothing_helps() -> None:
    picture = snapshot(node("a"), node("b", unschedulable=True), placed=[("a", sized("equal", "4", 10))])
    assert attempt(picture, sized("new", "4", 10)).message == (
        "preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, "
        "1 Preemption is not helpful for scheduling."
    )
    never = sized("new", "4", 20, preemptionPolicy="Never")
    assert attempt(picture, never).message == "preemption: not eligible due to preemptionPolicy=Never."


def test_anti_affinity_can_be_solved_by_eviction() -> None:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "x"}}}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    picture = snapshot(node("a"), placed=[("a", sized("there", "1", 0, labels={"app": "x"}))])
    assert victims(attempt(picture, sized("new", "1", 10, affinity=apart))) == ("a", ["there"])


def test_room_kept_for_a_nominated_pod_is_not_given_away() -> None:
    picture = snapshot(node("a"))
    waiting = info(sized("waiting", "4", 10))
    picture.nominate(waiting, "a")
    assert not decide(picture, info(sized("small", "1", 5))).node_name
    assert decide(picture, info(sized("vip", "1", 50))).node_name == "a"
