"""Limits how fast a target may change: stabilisation windows, policies, bounds; pure but for the history it is given.

Source: pkg/controller/podautoscaler/horizontal.go, KEP-853 (configurable scaling velocity).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from minikube_py.objects.errors import Object

DOWNSCALE_STABILIZATION_SECONDS = 300.0
_LIMIT_FACTOR, _LIMIT_MINIMUM = 2, 4


class Entry(NamedTuple):
    """Something that was true at a time: a recommended number, or a change of the number of replicas."""

    time: float
    value: int


@dataclass
class History:
    """What an autoscaler remembers of its past. Times are seconds of one clock."""

    recommendations: list[Entry] = field(default_factory=list)
    ups: list[Entry] = field(default_factory=list)
    downs: list[Entry] = field(default_factory=list)

    def begin(self, now: float, replicas: int) -> None:
        """The number it starts from counts as recommended, so that a restart scales nothing down at once."""
        if not self.recommendations:
            self.recommendations.append(Entry(now, replicas))

    def note_change(self, now: float, before: int, after: int, behavior: Object | None) -> None:
        """Remember a change for as long as a policy looks back."""
        if behavior is None:
            return
        events, rules = (self.ups, "scaleUp") if after > before else (self.downs, "scaleDown")
        longest = max((p["periodSeconds"] for p in behavior[rules].get("policies") or ()), default=0)
        events[:] = [event for event in events if event.time >= now - longest]
        events.append(Entry(now, abs(after - before)))


@dataclass(frozen=True)
class Bounds:
    """What the spec says. behavior None: the fixed rules of autoscaling/v1."""

    minimum: int
    maximum: int
    behavior: Object | None = None


class Verdict(NamedTuple):
    """How many replicas it will be. able, limited: (reason, message) of the conditions AbleToScale, ScalingLimited."""

    replicas: int
    able: tuple[str, str]
    limited: tuple[str, str]
    is_limited: bool


_READY = ("ReadyForNewScale", "recommended size matches current size")
_DOWN_STABILIZED = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
)
_UP_STABILIZED = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
)
_WITHIN = ("DesiredWithinRange", "the desired count is within the acceptable range")
_TOO_FEW = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
_TOO_MANY = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
_UP_LIMIT = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
_DOWN_LIMIT = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")


def normalize(history: History, now: float, current: int, proposed: int, bounds: Bounds) -> Verdict:
    """What becomes of a proposal; it is added to the history."""
    if bounds.behavior is None:
        stabilized, able = _stabilize_down(history, now, proposed)
        replicas, limited = _limit(current, stabilized, bounds)
    else:
        stabilized, able = _stabilize(history, now, current, proposed, bounds.behavior)
        replicas, limited = _limit_rate(history, now, (current, stabilized), bounds)
    return Verdict(replicas, able, limited, replicas != stabilized)


def _window(behavior: Object, rules: str) -> float:
    seconds = behavior[rules].get("stabilizationWindowSeconds")
    return DOWNSCALE_STABILIZATION_SECONDS if seconds is None else float(seconds)


# --- without behavior ------------------------------------------------------------------------------------------------


def _stabilize_down(history: History, now: float, proposed: int) -> tuple[int, tuple[str, str]]:
    cutoff = now - DOWNSCALE_STABILIZATION_SECONDS
    history.recommendations[:] = [entry for entry in history.recommendations if entry.time >= cutoff]
    highest = max([proposed, *(entry.value for entry in history.recommendations)])
    history.recommendations.append(Entry(now, proposed))
    return highest, _READY if highest == proposed else _DOWN_STABILIZED


def _limit(current: int, desired: int, bounds: Bounds) -> tuple[int, tuple[str, str]]:
    rate = max(_LIMIT_FACTOR * current, _LIMIT_MINIMUM)
    highest, reason = (rate, _UP_LIMIT) if bounds.maximum > rate else (bounds.maximum, _TOO_MANY)
    if desired < bounds.minimum:
        return bounds.minimum, _TOO_FEW
    return (highest, reason) if desired > highest else (desired, _WITHIN)


# --- with behavior ---------------------------------------------------------------------------------------------------


def _stabilize(
    history: History, now: float, current: int, proposed: int, behavior: Object
) -> tuple[int, tuple[str, str]]:
    """Upwards the lowest recent recommendation counts, downwards the highest; between them nothing is done."""
    up_window, down_window = _window(behavior, "scaleUp"), _window(behavior, "scaleDown")
    known = history.recommendations
    lowest = min([proposed, *(e.value for e in known if e.time > now - up_window)])
    highest = max([proposed, *(e.value for e in known if e.time > now - down_window)])
    stabilized = min(max(current, lowest), highest)
    known[:] = [e for e in known if e.time >= now - max(up_window, down_window)]
    known.append(Entry(now, proposed))
    if stabilized == proposed:
        return stabilized, _READY
    return stabilized, _UP_STABILIZED if proposed >= current else _DOWN_STABILIZED


def _limit_rate(history: History, now: float, change: tuple[int, int], bounds: Bounds) -> tuple[int, tuple[str, str]]:
    """change is (current, desired)."""
    current, desired = change
    behavior = bounds.behavior or {}
    if desired > current:
        limit = max(_up_limit(history, now, current, behavior["scaleUp"]), current)
        highest, reason = (limit, _UP_LIMIT) if bounds.maximum > limit else (bounds.maximum, _TOO_MANY)
        if desired > highest:
            return highest, reason
    elif desired < current:
        limit = min(_down_limit(history, now, current, behavior["scaleDown"]), current)
        lowest, reason = (limit, _DOWN_LIMIT) if bounds.minimum < limit else (bounds.minimum, _TOO_FEW)
        if desired < lowest:
            return lowest, reason
    return desired, _WITHIN


def _changed(events: Iterable[Entry], now: float, seconds: float) -> int:
    return sum(event.value for event in events if event.time > now - seconds)


def _at_period_start(history: History, now: float, current: int, policy: Object) -> int:
    seconds = float(policy["periodSeconds"])
    return current - _changed(history.ups, now, seconds) + _changed(history.downs, now, seconds)


def _up_limit(history: History, now: float, current: int, rules: Object) -> int:
    select = rules.get("selectPolicy") or "Max"
    if select == "Disabled":
        return current
    limits: list[int] = []
    for policy in rules.get("policies") or ():
        start = _at_period_start(history, now, current, policy)
        is_pods = policy["type"] == "Pods"
        # Rounded up: otherwise a small target would never grow.
        limits.append(start + policy["value"] if is_pods else math.ceil(start * (1 + policy["value"] / 100)))
    return min(limits) if select == "Min" else max([0, *limits])


def _down_limit(history: History, now: float, current: int, rules: Object) -> int:
    select = rules.get("selectPolicy") or "Max"
    if select == "Disabled":
        return current
    limits: list[int] = []
    for policy in rules.get("policies") or ():
        start = _at_period_start(history, now, current, policy)
        is_pods = policy["type"] == "Pods"
        limits.append(start - policy["value"] if is_pods else int(start * (1 - policy["value"] / 100)))
    return max(limits) if select == "Min" else min(limits)
