"""Setting conditions: the transition time moves only with the status."""

from collections.abc import Iterator

import pytest

from minikube_py import clock
from minikube_py.objects.conditions import get_condition, is_true, remove_condition, set_condition

OLD, NOW = "2026-01-01T00:00:00Z", "1970-01-01T00:16:40Z"


@pytest.fixture(autouse=True)
def fixed_clock() -> Iterator[None]:
    clock.set_source(lambda: 1000.0)
    yield
    clock.reset_source()


def test_adds() -> None:
    conditions: list = []
    assert set_condition(conditions, {"type": "Ready", "status": "True"})
    assert conditions == [{"type": "Ready", "status": "True", "lastTransitionTime": NOW}]
    assert is_true(conditions, "Ready")
    assert not is_true(conditions, "Other")


@pytest.mark.parametrize(
    ("new", "changed", "time"),
    [
        ({"status": "True", "reason": "Up"}, False, OLD),
        ({"status": "True", "reason": "Other"}, True, OLD),
        ({"status": "True"}, True, OLD),
        ({"status": "False", "reason": "Up"}, True, NOW),
        ({"status": "False", "reason": "Up", "lastTransitionTime": "x"}, True, "x"),
        ({"status": "True", "reason": "Up", "lastTransitionTime": "x"}, False, OLD),
    ],
)
def test_updates(new: dict, changed: bool, time: str) -> None:
    conditions = [
        {"type": "A", "status": "True"},
        {"type": "Ready", "status": "True", "reason": "Up", "lastTransitionTime": OLD, "lastProbeTime": "p"},
    ]
    assert set_condition(conditions, {"type": "Ready", **new}) is changed
    found = get_condition(conditions, "Ready")
    assert found is conditions[1]
    assert found["lastTransitionTime"] == time
    assert found["lastProbeTime"] == "p"
    assert found.get("reason") == new.get("reason")


def test_removes() -> None:
    conditions = [{"type": "A"}, {"type": "B"}]
    assert remove_condition(conditions, "A")
    assert not remove_condition(conditions, "A")
    assert conditions == [{"type": "B"}]


@pytest.mark.parametrize("missing", ["reason", "message", "observedGeneration"])
def test_leaving_a_field_out_clears_it(missing: str) -> None:
    full = {"type": "Ready", "status": "True", "reason": "R", "message": "m", "observedGeneration": 1}
    conditions = [{**full, "lastProbeTime": OLD, "lastTransitionTime": OLD}]
    before = conditions[0]
    assert not set_condition(conditions, {**full, "lastTransitionTime": NOW})
    assert conditions[0] is before
    assert set_condition(conditions, {field: value for field, value in full.items() if field != missing})
    assert missing not in conditions[0]
    assert conditions[0]["lastProbeTime"] == conditions[0]["lastTransitionTime"] == OLD
