"""Calculates how many replicas a metric asks for: pure functions over pods and measurements.

Source: pkg/controller/podautoscaler/replica_calculator.go, the HorizontalPodAutoscaler concept page (algorithm
details), KEP-4951 (tolerance). Amounts are thousandths, as `Quantity.milli` gives them.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from minikube_py import clock
from minikube_py.controllers.workloads.pods import is_ready, phase, ready_condition
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import is_deleting, name
from minikube_py.objects.quantity import milli, parse

CPU_INITIALIZATION_SECONDS = 300.0
INITIAL_READINESS_SECONDS = 30.0
DEFAULT_TOLERANCE = 0.1


class CannotCalculate(Exception):
    """Why no number of replicas follows from a metric, in Kubernetes' words."""


class Measurement(NamedTuple):
    """One pod's metric: milli-units, when it was taken (epoch seconds) and over how many seconds."""

    value: int
    time: float
    window: float


Measurements = dict[str, Measurement]
"""By pod name."""


@dataclass(frozen=True)
class Tolerance:
    """How far the ratio of use to target may be off before something is done, upwards and downwards."""

    up: float = DEFAULT_TOLERANCE
    down: float = DEFAULT_TOLERANCE

    def covers(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


def tolerance_of(behavior: Object | None) -> Tolerance:
    """The tolerance that a HorizontalPodAutoscaler sets for itself, the default where it sets none."""

    def one(direction: str) -> float:
        value = ((behavior or {}).get(direction) or {}).get("tolerance")
        return DEFAULT_TOLERANCE if value is None else parse(value).nanos / 1e9

    return Tolerance(one("scaleUp"), one("scaleDown"))


class Proposal(NamedTuple):
    """What a metric asks for. current: what was measured, per pod or in total; utilization: in percent of requests."""

    replicas: int
    current: int
    utilization: int | None = None


@dataclass(frozen=True)
class Situation:
    """What all calculations start from. current is the number of replicas in the target's spec."""

    current: int
    pods: tuple[Object, ...]
    tolerance: Tolerance = Tolerance()


# --- pods ------------------------------------------------------------------------------------------------------------


class Groups(NamedTuple):
    """Pods by what their metrics are good for. Measurements of `unready` and `ignored` ones do not count."""

    ready: int
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


def group_pods(pods: Iterable[Object], metrics: Mapping[str, Measurement], *, is_cpu: bool) -> Groups:
    """CPU use right after a start says nothing about the load, so for CPU a pod must have become ready first."""
    ready, unready, missing, ignored = 0, set[str](), set[str](), set[str]()
    for pod in pods:
        measured = metrics.get(name(pod))
        if is_deleting(pod) or phase(pod) == "Failed":
            ignored.add(name(pod))
        elif phase(pod) == "Pending":
            unready.add(name(pod))
        elif measured is None:
            missing.add(name(pod))
        elif is_cpu and _is_starting(pod, measured):
            unready.add(name(pod))
        else:
            ready += 1
    return Groups(ready, frozenset(unready), frozenset(missing), frozenset(ignored))


def _is_starting(pod: Object, measured: Measurement) -> bool:
    condition, started = ready_condition(pod), (pod.get("status") or {}).get("startTime")
    if condition is None or not started or not condition.get("lastTransitionTime"):
        return True
    start = clock.parse(started).timestamp()
    changed = clock.parse(condition["lastTransitionTime"]).timestamp()
    is_unready = condition["status"] == "False"
    if start + CPU_INITIALIZATION_SECONDS > clock.seconds():
        return is_unready or measured.time < changed + measured.window
    return is_unready and start + INITIAL_READINESS_SECONDS > changed


def requests_of(pods: Iterable[Object], resource: str, container: str = "") -> dict[str, int]:
    """What each pod (or one container of each) requests. Raises CannotCalculate when one requests nothing."""
    found: dict[str, int] = {}
    for pod in pods:
        whole = (((pod["spec"].get("resources") or {}).get("requests")) or {}).get(resource)
        if whole is not None and not container:
            found[name(pod)] = milli(whole)
        else:
            found[name(pod)] = sum(_container_requests(pod, resource, container))
    return found


def _container_requests(pod: Object, resource: str, container: str) -> Iterable[int]:
    sidecars = [c for c in pod["spec"].get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for one in (*pod["spec"]["containers"], *sidecars):
        if container and one["name"] != container:
            continue
        request = ((one.get("resources") or {}).get("requests") or {}).get(resource)
        if request is None:
            raise CannotCalculate(f"missing request for {resource} in container {one['name']} of Pod {name(pod)}")
        yield milli(request)


# --- metrics of pods -------------------------------------------------------------------------------------------------


def by_utilization(
    situation: Situation, metrics: Measurements, requests: Mapping[str, int], target_percent: int, *, is_cpu: bool
) -> Proposal:
    """Replicas for a share of what the pods request. Raises CannotCalculate."""

    def ratio(values: Mapping[str, int]) -> float:
        return _utilization(values, requests) / target_percent

    groups = _grouped(situation, metrics, is_cpu)
    counted = _counted(metrics, groups)
    fallback = max(100, target_percent)
    assumed = {pod: requests.get(pod, 0) * fallback // 100 for pod in groups.missing}
    replicas = _replicas(situation, groups, counted, assumed, ratio)
    return Proposal(replicas, sum(counted.values()) // len(counted), _utilization(counted, requests))


def by_average(situation: Situation, metrics: Measurements, target: int, *, is_cpu: bool = False) -> Proposal:
    """Replicas for an average amount a pod. Raises CannotCalculate."""

    def ratio(values: Mapping[str, int]) -> float:
        return (sum(values.values()) // len(values)) / target

    groups = _grouped(situation, metrics, is_cpu)
    counted = _counted(metrics, groups)
    replicas = _replicas(situation, groups, counted, dict.fromkeys(groups.missing, target), ratio)
    return Proposal(replicas, sum(counted.values()) // len(counted))


def _grouped(situation: Situation, metrics: Measurements, is_cpu: bool) -> Groups:
    if not situation.pods:
        raise CannotCalculate("no pods returned by selector while calculating replica count")
    return group_pods(situation.pods, metrics, is_cpu=is_cpu)


def _counted(metrics: Measurements, groups: Groups) -> dict[str, int]:
    left_out = groups.unready | groups.ignored
    counted = {pod: measured.value for pod, measured in metrics.items() if pod not in left_out}
    if not counted:
        raise CannotCalculate("did not receive metrics for targeted pods (pods might be unready)")
    return counted


def _utilization(values: Mapping[str, int], requests: Mapping[str, int]) -> int:
    known = [pod for pod in values if pod in requests]
    requested = sum(requests[pod] for pod in known)
    if not requested:
        raise CannotCalculate("no metrics returned matched known pods")
    return sum(values[pod] for pod in known) * 100 // requested


def _replicas(
    situation: Situation,
    groups: Groups,
    counted: Mapping[str, int],
    assumed: Mapping[str, int],
    ratio_of: Callable[[Mapping[str, int]], float],
) -> int:
    """Pods without a measurement are taken to need what speaks against a change. assumed: their use at its highest."""
    ratio = ratio_of(counted)
    counts_unready = bool(groups.unready) and ratio > 1.0
    if not counts_unready and not groups.missing:
        return situation.current if situation.tolerance.covers(ratio) else math.ceil(ratio * groups.ready)
    values = dict(counted)
    if ratio < 1.0:
        values |= assumed
    elif ratio > 1.0:
        values |= dict.fromkeys(groups.missing, 0)
    if counts_unready:
        values |= dict.fromkeys(groups.unready, 0)
    again = ratio_of(values)
    if situation.tolerance.covers(again) or (ratio < 1.0 < again) or (again < 1.0 < ratio):
        return situation.current
    replicas = math.ceil(again * len(values))
    is_backwards = (again < 1.0 and replicas > situation.current) or (again > 1.0 and replicas < situation.current)
    return situation.current if is_backwards else replicas


# --- metrics of something else ---------------------------------------------------------------------------------------


def by_value(situation: Situation, value: int, target: int) -> Proposal:
    """Replicas for one number about an object or from outside, shared by all pods. Raises CannotCalculate."""
    ratio = value / target
    if not situation.current:
        return Proposal(math.ceil(ratio), value)
    if situation.tolerance.covers(ratio):
        return Proposal(situation.current, value)
    if not situation.pods:
        raise CannotCalculate(
            "unable to calculate ready pods: no pods returned by selector while calculating replica count"
        )
    ready = sum(1 for pod in situation.pods if phase(pod) == "Running" and is_ready(pod))
    return Proposal(math.ceil(ratio * ready), value)


def by_value_per_pod(situation: Situation, observed: int, value: int, target: int) -> Proposal:
    """Replicas for one number divided among the pods. observed is the number of replicas in the target's status."""
    replicas = observed
    if not observed or not situation.tolerance.covers(value / (target * observed)):
        replicas = math.ceil(value / target)
    return Proposal(replicas, math.ceil(value / observed) if observed else value)
