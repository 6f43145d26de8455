"""How fast an autoscaler may change its target: tables over histories, policies and bounds."""

from typing import Any

import pytest

from minikube_py.controllers.autoscaling.behavior import Bounds, Entry, History, normalize
from minikube_py.objects.errors import Object

NOW = 10_000.0


def history(recommended: Any = (), ups: Any = (), downs: Any = ()) -> History:
    """Pairs of (seconds ago, value)."""
    return History(*([Entry(NOW - age, value) for age, value in part] for part in (recommended, ups, downs)))


@pytest.mark.parametrize(
    ("current", "proposed", "recommended", "expected", "able", "limited"),
    [
        (3, 3, [], 3, "ReadyForNewScale", "DesiredWithinRange"),
        (3, 5, [], 5, "ReadyForNewScale", "DesiredWithinRange"),
        (3, 9, [], 6, "ReadyForNewScale", "ScaleUpLimit"),  # at most twice as many
        (1, 9, [], 4, "ReadyForNewScale", "ScaleUpLimit"),  # or four
        (8, 30, [], 12, "ReadyForNewScale", "TooManyReplicas"),
        (3, 1, [], 2, "ReadyForNewScale", "TooFewReplicas"),
        (5, 2, [(100, 4)], 4, "ScaleDownStabilized", "DesiredWithinRange"),
        (5, 2, [(301, 4)], 2, "ReadyForNewScale", "DesiredWithinRange"),
        (5, 6, [(10, 2)], 6, "ReadyForNewScale", "DesiredWithinRange"),  # upwards nothing is waited for
    ],
)
def test_without_behavior(
    current: int, proposed: int, recommended: Any, expected: int, able: str, limited: str
) -> None:
    verdict = normalize(history(recommended), NOW, current, proposed, Bounds(2, 12))
    assert (verdict.replicas, verdict.able[0], verdict.limited[0]) == (expected, able, limited)
    assert verdict.is_limited == (limited != "DesiredWithinRange")


def rules(up: Object | None = None, down: Object | None = None) -> Object:
    percent = [{"type": "Percent", "value": 100, "periodSeconds": 15}]
    return {
        "scaleUp": {"stabilizationWindowSeconds": 0, "policies": percent, **(up or {})},
        "scaleDown": {"policies": percent, **(down or {})},
    }


def policies(*entries: tuple[str, int, int], **more: Any) -> Object:
    listed = [{"type": kind, "value": value, "periodSeconds": seconds} for kind, value, seconds in entries]
    return {"policies": listed, **more}


@pytest.mark.parametrize(
    ("behavior", "past", "current", "proposed", "expected", "limited"),
    [
        (rules(policies(("Pods", 2, 60))), history(), 5, 20, 7, "ScaleUpLimit"),
        (rules(policies(("Pods", 2, 60))), history(ups=[(30, 1)]), 6, 20, 7, "ScaleUpLimit"),
        (rules(policies(("Pods", 2, 60))), history(ups=[(30, 2)]), 7, 20, 7, "ScaleUpLimit"),
        (rules(policies(("Pods", 2, 60))), history(ups=[(61, 2)]), 7, 20, 9, "ScaleUpLimit"),
        (rules(policies(("Pods", 2, 60))), history(downs=[(30, 3)]), 7, 20, 12, "ScaleUpLimit"),
        (rules(policies(("Percent", 10, 60))), history(), 5, 20, 6, "ScaleUpLimit"),  # rounded up
        (rules(policies(("Percent", 50, 60), ("Pods", 1, 60))), history(), 10, 90, 15, "ScaleUpLimit"),
        (rules(policies(("Percent", 50, 60), ("Pods", 1, 60), selectPolicy="Min")), history(), 10, 90, 11,
         "ScaleUpLimit"),
        (rules(policies(("Percent", 900, 60))), history(), 10, 90, 40, "TooManyReplicas"),
        (rules({"selectPolicy": "Disabled"}), history(), 10, 90, 10, "ScaleUpLimit"),
        (rules(down=policies(("Pods", 2, 60), stabilizationWindowSeconds=0)), history(), 9, 1, 7, "ScaleDownLimit"),
        (rules(down=policies(("Pods", 2, 60), stabilizationWindowSeconds=0)), history(downs=[(5, 1)]), 8, 1, 7,
         "ScaleDownLimit"),
        (rules(down=policies(("Percent", 50, 60), stabilizationWindowSeconds=0)), history(), 9, 1, 4,
         "ScaleDownLimit"),
        (rules(down=policies(("Percent", 50, 60), ("Pods", 1, 60), stabilizationWindowSeconds=0, selectPolicy="Min")),
         history(), 9, 1, 8, "ScaleDownLimit"),
        (rules(down={"selectPolicy": "Disabled", "stabilizationWindowSeconds": 0}), history(), 9, 1, 9,
         "ScaleDownLimit"),
        (rules(down={"stabilizationWindowSeconds": 0}), history(), 9, 1, 2, "TooFewReplicas"),
    ],
)  # fmt: skip
def test_policies(behavior: Object, past: History, current: int, proposed: int, expected: int, limited: str) -> None:
    verdict = normalize(past, NOW, current, proposed, Bounds(2, 40, behavior))
    assert (verdict.replicas, verdict.limited[0]) == (expected, limited)


@pytest.mark.parametrize(
    ("up", "down", "recommended", "current", "proposed", "expected", "able"),
    [
        (0, 300, [(100, 8)], 8, 4, 8, "ScaleDownStabilized"),
        (0, 300, [(301, 8)], 8, 4, 4, "ReadyForNewScale"),
        (0, None, [(299, 8)], 8, 4, 8, "ScaleDownStabilized"),  # five minutes unless told otherwise
        (60, 0, [(30, 5)], 5, 9, 5, "ScaleUpStabilized"),
        (60, 0, [(30, 7)], 5, 9, 7, "ScaleUpStabilized"),
        (60, 0, [(61, 5)], 5, 9, 9, "ReadyForNewScale"),
        (60, 60, [(30, 3), (20, 9)], 5, 6, 5, "ScaleUpStabilized"),  # both ways held
        (0, 0, [(1, 3), (1, 9)], 5, 6, 6, "ReadyForNewScale"),
    ],
)
def test_windows(
    up: int, down: int | None, recommended: Any, current: int, proposed: int, expected: int, able: str
) -> None:
    behavior = rules({"stabilizationWindowSeconds": up}, {"stabilizationWindowSeconds": down})
    verdict = normalize(history(recommended), NOW, current, proposed, Bounds(1, 40, behavior))
    assert (verdict.replicas, verdict.able[0]) == (expected, able)


def test_the_start_counts_as_recommended_once() -> None:
    past = History()
    past.begin(NOW, 7)
    past.begin(NOW + 15, 9)
    assert past.recommendations == [Entry(NOW, 7)]
    assert normalize(past, NOW + 15, 7, 2, Bounds(1, 10)).replicas == 7
    assert normalize(past, NOW + 315, 7, 2, Bounds(1, 10)).replicas == 2


def test_histories_do_not_grow() -> None:
    past, behavior = History(), rules()
    for step in range(1000):
        normalize(past, NOW + 15 * step, 5, 6, Bounds(1, 40, behavior))
        past.note_change(NOW + 15 * step, 5, 6, behavior)
        past.note_change(NOW + 15 * step, 6, 5, behavior)
    assert len(past.recommendations) <= 22
    assert len(past.ups) <= 2
    assert len(past.downs) <= 2
