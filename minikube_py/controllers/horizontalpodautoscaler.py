"""Scales workloads up and down by what their pods use: HorizontalPodAutoscaler v2.

Source: pkg/controller/podautoscaler/horizontal.go. An autoscaler is looked at every 15 seconds; without any, nothing
runs. The history of recommendations is kept in memory, as Kubernetes keeps it.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from minikube_py import clock
from minikube_py.client.protocol import WriteOptions
from minikube_py.controllers.autoscaling.behavior import Bounds, History, Verdict, normalize
from minikube_py.controllers.autoscaling.measuring import MetricsReader
from minikube_py.controllers.autoscaling.metrics import InvalidMetric, MetricEvaluator, Outcome, Scaled
from minikube_py.controllers.autoscaling.replicas import CannotCalculate, Situation, tolerance_of
from minikube_py.controllers.context import AUTOSCALERS, PODS, ControllerContext
from minikube_py.controllers.workloads.writing import write_status
from minikube_py.objects.conditions import is_true, set_condition
from minikube_py.objects.errors import ApiError, Conflict, NotFound, Object
from minikube_py.objects.meta import deep_copy, labels, namespace
from minikube_py.objects.selectors import LabelSelector
from minikube_py.reconciling.cache import Key, key_of
from minikube_py.reconciling.controller import Source, no_keys
from minikube_py.reconciling.informer import InformerEvent
from minikube_py.reconciling.recorder import NORMAL, WARNING, EventRecorder
from minikube_py.resources.autoscaling.horizontalpodautoscaler import default, scales_from_zero
from minikube_py.resources.kind import ResourceKind

log = logging.getLogger(__name__)

PERIOD_SECONDS = 15.0
_SCALE = WriteOptions(subresource="scale")


@dataclass
class _Pass:
    """One look at one autoscaler: its spec with defaults, the status that is being made, and the target."""

    autoscaler: Object
    spec: Object
    status: Object
    kind: ResourceKind | None = None
    scale: Object = field(default_factory=dict)

    @property
    def current(self) -> int:
        return int((self.scale.get("spec") or {}).get("replicas") or 0)

    @property
    def reference(self) -> str:
        target = self.spec["scaleTargetRef"]
        return f"{target['kind']}/{namespace(self.autoscaler)}/{target['name']}"

    @property
    def may_wake(self) -> bool:
        """Whether a target without replicas was put to sleep here; one that a user scaled to zero stays so."""
        return is_true(self.status["conditions"], "ScaledToZero") and (
            scales_from_zero(self.spec["metrics"]) or self.spec["minReplicas"] != 0
        )

    def condition(self, type_: str, is_true: bool, reason: str, message: str) -> None:
        status = "True" if is_true else "False"
        set_condition(
            self.status["conditions"], {"type": type_, "status": status, "reason": reason, "message": message}
        )


class _Unscalable(Exception):
    """Why the target's scale can't be read."""


class _Stop(Exception):
    """The look ends here; the status says why."""


class HorizontalPodAutoscalerController:
    name = "horizontalpodautoscaler"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("horizontal-pod-autoscaler")
        self._autoscalers = context.informers.informer(AUTOSCALERS)
        self._pods = context.informers.informer(PODS)
        self._kinds = context.kinds
        self._recorder = EventRecorder(self._client, "horizontal-pod-autoscaler")
        self._evaluator = MetricEvaluator(MetricsReader(self._client), self._find_kind)
        self._histories: dict[Key, History] = {}
        self._selectors: dict[Key, LabelSelector] = {}

    def sources(self) -> Sequence[Source]:
        return Source(self._autoscalers, self._changed_keys), Source(self._pods, no_keys)

    def _changed_keys(self, event: InformerEvent) -> Iterable[Key]:
        """Not what this controller writes itself: the status."""
        before = event.previous
        if before is None or before["spec"] != event.object["spec"] or event.type == "DELETED":
            yield key_of(event.object)

    async def reconcile(self, key: Key) -> float | None:
        autoscaler = self._autoscalers.cache.get(*key)
        if autoscaler is None:
            self._histories.pop(key, None)
            self._selectors.pop(key, None)
            return None
        complete = {"spec": deep_copy(autoscaler["spec"])}
        default(complete)
        status = deep_copy(autoscaler.get("status") or {})
        status.setdefault("conditions", [])
        look = _Pass(autoscaler, complete["spec"], status)
        try:
            await self._scale(key, look)
        except _Stop as stop:
            log.debug("%s %s: %s", self.name, "/".join(key), stop)
        await self._write_status(look)
        return PERIOD_SECONDS

    async def _write_status(self, look: _Pass) -> None:
        status = {field: value for field, value in look.status.items() if value not in ([], None)}
        status.setdefault("desiredReplicas", 0)
        try:
            await write_status(self._client, self._autoscalers, look.autoscaler, status)
        except (Conflict, NotFound) as error:
            log.debug("%s %s: %s", self.name, look.reference, error)  # its change has put it into the queue
        except ApiError as error:
            self._recorder.event(look.autoscaler, WARNING, "FailedUpdateStatus", str(error))

    async def _scale(self, key: Key, look: _Pass) -> None:
        await self._read_scale(look)
        history = self._histories.setdefault(key, History())
        now, current = asyncio.get_running_loop().time(), look.current
        history.begin(now, current)
        minimum, maximum = look.spec["minReplicas"], look.spec["maxReplicas"]
        desired, why = current, ""
        look.status |= {"currentReplicas": current, "currentMetrics": []}
        if current == 0 and not look.may_wake:
            text = "scaling is disabled since the replica count of the target is zero"
            look.condition("ScalingActive", False, "ScalingDisabled", text)
        elif current > maximum:
            desired, why = maximum, "Current number of replicas above Spec.MaxReplicas"
        elif 0 < current < minimum:
            desired, why = minimum, "Current number of replicas below Spec.MinReplicas"
        else:
            proposed, metric = await self._propose(key, look)
            if proposed > current:
                why = f"{metric} above target"
            elif proposed < current:
                why = "All metrics below target"
            bounds = Bounds(minimum, maximum, look.spec.get("behavior"))
            desired = self._conclude(look, normalize(history, now, current, proposed, bounds))
            if desired < minimum:
                desired, why = minimum, why or "Current number of replicas below Spec.MinReplicas"
        if desired != current:
            await self._rescale(look, desired, why)
            history.note_change(now, current, desired, look.spec.get("behavior"))
        look.status["desiredReplicas"] = desired

    def _conclude(self, look: _Pass, verdict: Verdict) -> int:
        look.condition("AbleToScale", True, *verdict.able)
        look.condition("ScalingLimited", verdict.is_limited, *verdict.limited)
        return verdict.replicas

    # --- the target ---------------------------------------------------------------------------------------------------

    async def _read_scale(self, look: _Pass) -> None:
        try:
            look.kind, look.scale = await self._find_scale(look)
        except _Unscalable as problem:
            self._recorder.event(look.autoscaler, WARNING, "FailedGetScale", str(problem))
            text = f"the HPA controller was unable to get the target's current scale: {problem}"
            look.condition("AbleToScale", False, "FailedGetScale", text)
            raise _Stop(str(problem)) from None
        text = "the HPA controller was able to get the target's current scale"
        look.condition("AbleToScale", True, "SucceededGetScale", text)

    async def _find_scale(self, look: _Pass) -> tuple[ResourceKind, Object]:
        """The first served version of the kind that has a scale. Raises _Unscalable."""
        target = look.spec["scaleTargetRef"]
        group = (target.get("apiVersion") or "").rpartition("/")[0]
        served = [kind for kind in self._kinds.all() if (kind.group, kind.kind) == (group, target["kind"])]
        if not served:
            raise _Unscalable(f'no matches for kind "{target["kind"]}" in group "{group}"')
        scalable = [kind for kind in served if "scale" in kind.subresources]
        if not scalable:
            raise _Unscalable("the server could not find the requested resource")
        try:
            scale = await self._client.get(
                scalable[0].gvr, target["name"], namespace(look.autoscaler), subresource="scale"
            )
        except ApiError as error:
            raise _Unscalable(str(error)) from None
        return scalable[0], scale

    async def _rescale(self, look: _Pass, desired: int, why: str) -> None:
        scale = deep_copy(look.scale)
        scale.setdefault("spec", {})["replicas"] = desired
        assert look.kind is not None
        try:
            await self._client.update(look.kind.gvr, scale, options=_SCALE)
        except ApiError as error:
            text = f"New size: {desired}; reason: {why}; error: {error}"
            self._recorder.event(look.autoscaler, WARNING, "FailedRescale", text)
            text = f"the HPA controller was unable to update the target scale: {error}"
            look.condition("AbleToScale", False, "FailedUpdateScale", text)
            raise _Stop(text) from None
        text = f"the HPA controller was able to update the target scale to {desired}"
        look.condition("AbleToScale", True, "SucceededRescale", text)
        self._recorder.event(look.autoscaler, NORMAL, "SuccessfulRescale", f"New size: {desired}; reason: {why}")
        look.status["lastScaleTime"] = clock.rfc3339()
        if desired == 0:
            look.condition("ScaledToZero", True, "ScaledToZero", "the HPA controller scaled the workload to zero")
        else:
            text = "the HPA controller did not scale the workload to zero"
            look.condition("ScaledToZero", False, "NotScaledToZero", text)

    # --- the metrics --------------------------------------------------------------------------------------------------

    async def _propose(self, key: Key, look: _Pass) -> tuple[int, str]:
        """The highest proposal and the metric it came from. Raises _Stop when no metric can be used."""
        scaled = self._scaled(key, look)
        outcomes: list[Outcome] = []
        failures: list[InvalidMetric] = []
        for spec in look.spec["metrics"]:
            try:
                outcome = await self._evaluator.evaluate(spec, scaled)
            except InvalidMetric as failure:
                self._recorder.event(look.autoscaler, WARNING, failure.reason, failure.text)
                failures.append(failure)
                # A metric without a figure keeps its place.
                look.status["currentMetrics"].append({"type": ""})
            else:
                outcomes.append(outcome)
                look.status["currentMetrics"].append(outcome.status)
        best = max(outcomes, key=lambda outcome: outcome.replicas, default=None)
        if failures:
            self._report(look, failures)
        # While a metric is missing, the others may not take anything away.
        if best is None or (failures and best.replicas < look.current):
            first = failures[0]
            text = f"the HPA was unable to compute the replica count: {first.text}"
            look.condition("ScalingActive", False, first.reason, text)
            raise _Stop(first.text)
        text = f"the HPA was able to successfully calculate a replica count from {best.name}"
        look.condition("ScalingActive", True, "ValidMetricFound", text)
        return best.replicas, best.name

    def _report(self, look: _Pass, failures: Sequence[InvalidMetric]) -> None:
        total = len(look.spec["metrics"])
        text = f"invalid metrics ({len(failures)} invalid out of {total}), first error is: {failures[0].outer}"
        self._recorder.event(look.autoscaler, WARNING, "FailedComputeMetricsReplicas", text)

    def _scaled(self, key: Key, look: _Pass) -> Scaled:
        status = look.scale.get("status") or {}
        text = status.get("selector") or ""
        if not text:
            self._recorder.event(look.autoscaler, WARNING, "SelectorRequired", "selector is required")
            message = "the HPA target's scale is missing a selector"
            look.condition("ScalingActive", False, "InvalidSelector", message)
            raise _Stop(message)
        try:
            selector = LabelSelector.parse(text)
        except ValueError as error:
            message = f"couldn't convert selector into a corresponding internal selector object: {error}"
            self._recorder.event(look.autoscaler, WARNING, "InvalidSelector", message)
            look.condition("ScalingActive", False, "InvalidSelector", message)
            raise _Stop(message) from None
        pods = tuple(pod for pod in self._pods.cache.list(key.namespace) if selector.matches(labels(pod)))
        self._selectors[key] = selector
        self._check_ambiguity(key, look, text, pods)
        situation = Situation(look.current, pods, tolerance_of(look.spec.get("behavior")))
        return Scaled(key.namespace, text, int(status.get("replicas") or 0), situation)

    def _check_ambiguity(self, key: Key, look: _Pass, selector: str, pods: Sequence[Object]) -> None:
        """Two autoscalers that count the same pods would pull at each other's targets."""
        others = {
            other
            for other, theirs in self._selectors.items()
            if other != key and other.namespace == key.namespace and any(theirs.matches(labels(p)) for p in pods)
        }
        if not others:
            return
        named = " ".join(sorted("/".join(one) for one in (*others, key)))
        message = f"pods by selector {selector} are controlled by multiple HPAs: [{named}]"
        self._recorder.event(look.autoscaler, WARNING, "AmbiguousSelector", message)
        look.condition("ScalingActive", False, "AmbiguousSelector", message)
        raise _Stop(message)

    def _find_kind(self, reference: Object) -> ResourceKind:
        group = (reference.get("apiVersion") or "").rpartition("/")[0]
        for kind in self._kinds.all():
            if (kind.group, kind.kind) == (group, reference["kind"]):
                return kind
        raise CannotCalculate(f'no matches for kind "{reference["kind"]}" in group "{group}"')
