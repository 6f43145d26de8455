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
