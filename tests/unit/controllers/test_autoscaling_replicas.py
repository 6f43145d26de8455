"""How many replicas metrics ask for: tables over pods in all states and measurements."""

from typing import Any

import pytest

from minikube_py import clock
from minikube_py.controllers.autoscaling import replicas
from minikube_py.controllers.autoscaling.measuring import seconds_of
from minikube_py.controllers.autoscaling.replicas import (
    CannotCalculate,
    Measurement,
    Situation,
    Tolerance,
    by_average,
    by_utilization,
    by_value,
    by_value_per_pod,
    group_pods,
    requests_of,
    tolerance_of,
)
from minikube_py.objects.errors import Object

NOW = 1_767_225_600.0


@pytest.fixture(autouse=True)
def _frozen_clock() -> Any:
    clock.set_source(lambda: NOW)
    yield
    clock.reset_source()


def stamp(age: float) -> str:
    return clock.rfc3339(clock.parse("2026-01-01T00:00:00Z").__class__.fromtimestamp(NOW - age, tz=clock.now().tzinfo))


def pod(name: str, state: str = "ready", age: float = 3600.0, **fields: Any) -> Object:
    """state: ready, unready (was ready once), never (never ready), pending, failed, deleting."""
    status: Object = {"phase": "Running", "startTime": stamp(age)}
    changed = {"ready": age - 10, "unready": age - 600, "never": age - 5}.get(state, age)
    is_ready = "True" if state == "ready" else "False"
    status["conditions"] = [{"type": "Ready", "status": is_ready, "lastTransitionTime": stamp(changed)}]
    metadata: Object = {"name": name}
    if state in ("pending", "failed"):
        status["phase"] = state.capitalize()
    if state == "deleting":
        metadata["deletionTimestamp"] = stamp(0)
    containers = [{"name": "c", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]
    return {"metadata": metadata, "spec": {"containers": containers, **fields}, "status": status}


def measured(*values: int | None, age: float = 0.0) -> dict[str, Measurement]:
    return {f"p{i}": Measurement(v, NOW - age, 60.0) for i, v in enumerate(values) if v is not None}


def pods(*states: str) -> tuple[Object, ...]:
    return tuple(pod(f"p{i}", state) for i, state in enumerate(states))


@pytest.mark.parametrize(
    ("states", "values", "target", "expected"),
    [
        # (replicas, utilization)
        (["ready"] * 3, [300, 500, 700], 30, (5, 50)),
        (["ready"] * 3, [300, 500, 700], 50, (3, 50)),
        (["ready"] * 3, [540, 540, 540], 50, (3, 54)),  # within the tolerance
        (["ready"] * 3, [560, 560, 560], 50, (4, 56)),
        (["ready"] * 3, [440, 440, 440], 50, (3, 44)),  # rounded up
        (["ready"] * 3, [100, 100, 100], 50, (1, 10)),
        (["ready"] * 3, [0, 0, 0], 50, (0, 0)),
        # One without a measurement: on the way up it uses nothing, on the way down all that it requests.
        (["ready"] * 3, [1000, 1000, None], 50, (4, 100)),
        (["ready"] * 3, [100, 100, None], 50, (3, 10)),
        (["ready"] * 4, [100, 100, 100, None], 60, (3, 10)),
        # Without measurements it stays where it is rather than turn around.
        (["ready"] * 3, [600, 600, None], 50, (3, 60)),
        # Pods that are not ready count as idle on the way up, and not at all on the way down.
        (["ready", "pending", "pending"], [1000, None, None], 50, (3, 100)),
        (["ready", "ready", "pending"], [1000, 1000, None], 50, (4, 100)),
        (["ready", "never", "never"], [2000, 900, 900], 50, (4, 200)),
        (["ready", "pending"], [100, None], 50, (1, 10)),
        # Ended and ending pods count for nothing.
        (["ready", "failed", "deleting"], [1000, 9000, 9000], 50, (2, 100)),
        (["ready", "unready"], [1000, 1000], 50, (4, 100)),  # was ready before, so its use means something
    ],
)
def test_utilization(states: list[str], values: list[int | None], target: int, expected: tuple[int, int]) -> None:
    everybody = pods(*states)
    proposal = by_utilization(
        Situation(len(states), everybody), measured(*values), requests_of(everybody, "cpu"), target, is_cpu=True
    )
    assert (proposal.replicas, proposal.utilization) == expected


@pytest.mark.parametrize(
    ("states", "values", "target", "expected"),
    [
        (["ready"] * 3, [20_000, 10_000, 30_000], 15_000, 4),
        (["ready"] * 3, [15_000, 15_000, 15_000], 15_000, 3),
        (["ready"] * 3, [1000, 1000, 1000], 20_000, 1),
        (["ready"] * 3, [30_000, None, None], 10_000, 3),
        (["ready"] * 3, [1000, None, None], 10_000, 3),
        (["ready", "never"], [40_000, 40_000], 10_000, 8),  # readiness is a matter of CPU only
    ],
)
def test_average(states: list[str], values: list[int | None], target: int, expected: int) -> None:
    assert by_average(Situation(len(states), pods(*states)), measured(*values), target).replicas == expected


@pytest.mark.parametrize(
    ("current", "states", "value", "target", "expected"),
    [
        (3, ["ready"] * 3, 20_000, 15_000, 4),
        (3, ["ready"] * 3, 15_500, 15_000, 3),
        (3, ["ready", "ready", "pending"], 20_000, 10_000, 4),  # only ready pods carry the load
        (0, [], 100_000, 33_000, 4),
        (0, [], 0, 33_000, 0),
    ],
)
def test_one_number_for_all(current: int, states: list[str], value: int, target: int, expected: int) -> None:
    assert by_value(Situation(current, pods(*states)), value, target).replicas == expected


@pytest.mark.parametrize(
    ("observed", "value", "target", "expected"),
    [(3, 8600, 2150, (4, 2867)), (4, 8600, 2150, (4, 2150)), (0, 8600, 2150, (4, 8600)), (3, 100, 2150, (1, 34))],
)
def test_one_number_divided(observed: int, value: int, target: int, expected: tuple[int, int]) -> None:
    proposal = by_value_per_pod(Situation(observed, ()), observed, value, target)
    assert (proposal.replicas, proposal.current) == expected


@pytest.mark.parametrize(
    ("state", "age", "measured_age", "is_counted"),
    [
        ("ready", 3600, 0, True),
        ("ready", 100, 0, True),  # ready for longer than a window
        ("ready", 100, 50, False),  # measured before it had been ready for a window
        ("never", 100, 0, False),
        ("never", 3600, 0, False),
        ("unready", 3600, 0, True),
        ("unready", 200, 0, False),
    ],
)
def test_cpu_counts_only_once_a_pod_has_started(state: str, age: float, measured_age: float, is_counted: bool) -> None:
    one = pod("p0", state, age)
    if state == "unready" and age == 200:
        one["status"]["conditions"][0]["lastTransitionTime"] = stamp(100)
    groups = group_pods([one], measured(5, age=measured_age), is_cpu=True)
    assert bool(groups.ready) == is_counted
    assert group_pods([one], measured(5, age=measured_age), is_cpu=False).ready == 1


def test_requests() -> None:
    whole = pod("whole", resources={"requests": {"cpu": "3"}})
    sidecar = pod("sidecar")
    helper = {"name": "h", "resources": {"requests": {"cpu": "500m"}}}
    sidecar["spec"]["initContainers"] = [{**helper, "restartPolicy": "Always"}, {**helper, "name": "once"}]
    assert requests_of([whole, sidecar], "cpu") == {"whole": 3000, "sidecar": 1500}
    assert requests_of([sidecar], "cpu", "h") == {"sidecar": 500}
    with pytest.raises(CannotCalculate, match="missing request for gpu in container c of Pod sidecar"):
        requests_of([sidecar], "gpu")


def test_what_can_not_be_calculated() -> None:
    with pytest.raises(CannotCalculate, match="no pods returned by selector"):
        by_average(Situation(1, ()), {}, 5)
    with pytest.raises(CannotCalculate, match="did not receive metrics for targeted pods"):
        by_average(Situation(1, pods("pending")), {}, 5)
    with pytest.raises(CannotCalculate, match="unable to calculate ready pods"):
        by_value(Situation(1, ()), 500, 5)
    with pytest.raises(CannotCalculate, match="no metrics returned matched known pods"):
        by_utilization(Situation(1, pods("ready")), measured(5), {}, 50, is_cpu=True)


def test_tolerance() -> None:
    assert tolerance_of(None) == Tolerance(0.1, 0.1)
    found = tolerance_of({"scaleUp": {"tolerance": "0"}, "scaleDown": {"tolerance": "250m"}})
    assert found == Tolerance(0.0, 0.25)
    assert [found.covers(ratio) for ratio in (0.74, 0.75, 1.0, 1.001)] == [False, True, True, False]
    narrow = Situation(10, tuple(pod(f"p{i}") for i in range(10)), Tolerance(0.01, 0.3))
    assert by_average(narrow, measured(*[102] * 10), 100).replicas == 11
    assert by_average(narrow, measured(*[75] * 10), 100).replicas == 10


@pytest.mark.parametrize(
    ("text", "seconds"), [("15s", 15), ("1m30s", 90), ("250ms", 0.25), ("1h0m0.5s", 3600.5), ("0s", 0), ("x", 0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert seconds_of(text) == pytest.approx(seconds)


def test_constants_are_those_of_the_controller_manager() -> None:
    assert (replicas.CPU_INITIALIZATION_SECONDS, replicas.INITIAL_READINESS_SECONDS) == (300, 30)
