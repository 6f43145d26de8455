"""Turns one entry of an autoscaler's `spec.metrics` into a proposed number of replicas and its status entry."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from minikube_py.controllers.autoscaling import replicas
from minikube_py.controllers.autoscaling.measuring import MetricsReader, selector_text
from minikube_py.controllers.autoscaling.replicas import CannotCalculate, Situation
from minikube_py.objects.errors import Object
from minikube_py.objects.quantity import Quantity, milli
from minikube_py.resources.kind import ResourceKind


class Outcome(NamedTuple):
    """name is how the metric is called in conditions and events; status its entry of status.currentMetrics."""

    replicas: int
    name: str
    status: Object


class InvalidMetric(Exception):
    """reason and text for the condition ScalingActive and the event; `outer` for the sum over all metrics."""

    def __init__(self, reason: str, text: str, outer: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text
        self.outer = outer


class KindFinder(Protocol):
    def __call__(self, reference: Object) -> ResourceKind:
        """Raises CannotCalculate."""
        ...


@dataclass(frozen=True)
class Scaled:
    """What is scaled. observed: replicas in the status of its Scale; selector as text."""

    namespace: str
    selector: str
    observed: int
    situation: Situation


class MetricEvaluator:
    """`evaluate` raises InvalidMetric."""

    def __init__(self, reader: MetricsReader, find_kind: KindFinder) -> None:
        self._reader = reader
        self._find_kind = find_kind

    async def evaluate(self, spec: Object, scaled: Scaled) -> Outcome:
        found = _SOURCES.get(spec["type"])
        if found is None:
            text = f'unknown metric source type "{spec["type"]}"'
            raise InvalidMetric("InvalidMetricSourceType", text, text)
        key, reason, calculate, words = found
        try:
            return await calculate(self, spec[key], scaled)
        except CannotCalculate as problem:
            text = str(problem)
            raise InvalidMetric(reason, text, f"failed to get {words(spec[key])} value: {text}") from None

    async def _resource(self, source: Object, scaled: Scaled) -> Outcome:
        return await self._of_resource("Resource", source, scaled)

    async def _container(self, source: Object, scaled: Scaled) -> Outcome:
        return await self._of_resource("ContainerResource", source, scaled)

    async def _of_resource(self, type_: str, source: Object, scaled: Scaled) -> Outcome:
        name, container, target = source["name"], source.get("container") or "", source["target"]
        is_cpu, percent = name == "cpu", target.get("averageUtilization")
        shown = f"{name} container resource" if container else f"{name} resource"
        try:
            metrics = await self._reader.resource(name, scaled.namespace, scaled.selector, container)
            if target.get("averageValue") is not None:
                goal = milli(target["averageValue"])
                proposal = replicas.by_average(scaled.situation, metrics, goal, is_cpu=is_cpu)
            elif percent is not None:
                requests = replicas.requests_of(scaled.situation.pods, name, container)
                proposal = replicas.by_utilization(scaled.situation, metrics, requests, percent, is_cpu=is_cpu)
                shown += " utilization (percentage of request)"
            else:
                raise CannotCalculate("neither a utilization target nor an average value target was set")
        except CannotCalculate as problem:
            kind = "usage" if percent is None else "utilization"
            raise CannotCalculate(f"failed to get {name} {kind}: {problem}") from None
        current: Object = {"averageValue": _text(proposal.current)}
        if proposal.utilization is not None:
            current["averageUtilization"] = proposal.utilization
        status: Object = {"name": name, "current": current}
        if container:
            status["container"] = container
        key = "containerResource" if type_ == "ContainerResource" else "resource"
        return Outcome(proposal.replicas, shown, {"type": type_, key: status})

    async def _pods(self, source: Object, scaled: Scaled) -> Outcome:
        metric = source["metric"]
        metrics = await self._reader.pods(metric, scaled.namespace, scaled.selector)
        proposal = replicas.by_average(scaled.situation, metrics, milli(source["target"]["averageValue"]))
        status = {"metric": metric, "current": {"averageValue": _text(proposal.current)}}
        return Outcome(proposal.replicas, f"pods metric {metric['name']}", {"type": "Pods", "pods": status})

    async def _object(self, source: Object, scaled: Scaled) -> Outcome:
        metric, described = source["metric"], source["describedObject"]
        kind = self._find_kind(described)
        value = await self._reader.of_object(metric, scaled.namespace, described, kind)
        proposal, current = _shared(source["target"], value, scaled)
        status = {"metric": metric, "describedObject": described, "current": current}
        name = f"{described['kind']} metric {metric['name']}"
        return Outcome(proposal.replicas, name, {"type": "Object", "object": status})

    async def _external(self, source: Object, scaled: Scaled) -> Outcome:
        metric = source["metric"]
        value = await self._reader.external(metric, scaled.namespace)
        proposal, current = _shared(source["target"], value, scaled)
        name = f"external metric {metric['name']}({selector_text(metric) or 'nil'})"
        return Outcome(
            proposal.replicas, name, {"type": "External", "external": {"metric": metric, "current": current}}
        )


def _shared(target: Object, value: int, scaled: Scaled) -> tuple[replicas.Proposal, Object]:
    """The proposal for one number, and the `current` of its status."""
    if target.get("averageValue") is not None:
        goal = milli(target["averageValue"])
        proposal = replicas.by_value_per_pod(scaled.situation, scaled.observed, value, goal)
        return proposal, {"averageValue": _text(proposal.current)}
    if target.get("value") is None:
        raise CannotCalculate("neither a value target nor an average value target was set")
    proposal = replicas.by_value(scaled.situation, value, milli(target["value"]))
    return proposal, {"value": _text(proposal.current)}


def _text(milli_units: int) -> str:
    return str(Quantity.of_milli(milli_units))


Calculate = Callable[[MetricEvaluator, Object, Scaled], Awaitable[Outcome]]
Words = Callable[[Object], str]

_SOURCES: dict[str, tuple[str, str, Calculate, Words]] = {
    "Resource": (
        "resource", "FailedGetResourceMetric", MetricEvaluator._resource, lambda s: f"{s['name']} resource metric",
    ),
    "ContainerResource": (
        "containerResource", "FailedGetContainerResourceMetric", MetricEvaluator._container,
        lambda s: f"{s['name']} container metric",
    ),
    "Pods": ("pods", "FailedGetPodsMetric", MetricEvaluator._pods, lambda _: "pods metric"),
    "Object": ("object", "FailedGetObjectMetric", MetricEvaluator._object, lambda _: "object metric"),
    "External": (
        "external", "FailedGetExternalMetric", MetricEvaluator._external,
        lambda s: f"{s['metric']['name']} external metric",
    ),
}  # fmt: skip
"""By type: the key in the spec, the reason when it fails, the calculation, and how errors call it."""
