"""Works out how many pods each PodDisruptionBudget allows to be evicted now.

Source: pkg/controller/disruption.
"""

from collections.abc import Iterable, Mapping, Sequence

from minikube_py import clock
from minikube_py.client.protocol import Client
from minikube_py.controllers.context import DISRUPTION_BUDGETS, PODS, ControllerContext, KindSource
from minikube_py.controllers.workloads.pods import is_active, is_ready
from minikube_py.controllers.workloads.rollout import scaled_value
from minikube_py.controllers.workloads.writing import write_status
from minikube_py.objects.conditions import set_condition
from minikube_py.objects.errors import ApiError, NotFound, Object
from minikube_py.objects.meta import controller_of, deep_copy, generation, is_deleting, key, labels, name, namespace
from minikube_py.objects.selectors import LabelSelector
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import InformerEvent
from minikube_py.reconciling.recorder import NORMAL, WARNING, EventRecorder
from minikube_py.resources.kind import ResourceKind

_STALE_DISRUPTION_SECONDS = 120.0


# Controllers whose spec.replicas is read directly; all others are asked for their scale.
_SPEC_TELLS = frozenset((("apps", "ReplicaSet"), ("apps", "StatefulSet"), ("", "ReplicationController")))


class NoExpectation(Exception):
    """How many pods there should be can't be told; the message says why."""


class ScaleReader:
    """Answers how many pods a controller wants, through its scale or its own spec."""

    def __init__(self, client: Client, kinds: KindSource) -> None:
        self._client = client
        self._kinds = kinds

    async def replicas(self, pod: Object) -> tuple[str, int]:
        """(UID of the top controller, its replicas). Raises NoExpectation."""
        reference = controller_of(pod)
        if reference is None:
            raise NoExpectation(f"found no controller ref for pod {name(pod)}")
        kind = self._kind(reference)
        if (kind.group, kind.kind) not in _SPEC_TELLS:
            return reference["uid"], await self._scale(kind, namespace(pod), reference["name"])
        owner = await self._get(kind, namespace(pod), reference["name"])
        parent = controller_of(owner) if kind.kind == "ReplicaSet" else None
        if parent is not None and parent["kind"] == "Deployment":
            owner = await self._get(self._kind(parent), namespace(pod), parent["name"])
        return owner["metadata"]["uid"], int(owner["spec"].get("replicas", 1))

    def _kind(self, reference: Object) -> ResourceKind:
        group = reference["apiVersion"].rpartition("/")[0]
        for kind in self._kinds.all():
            if (kind.group, kind.kind) == (group, reference["kind"]):
                return kind
        raise NoExpectation(f"found no kind {reference['kind']}")

    async def _get(self, kind: ResourceKind, where: str, owner: str) -> Object:
        try:
            return await self._client.get(kind.gvr, owner, where)
        except ApiError as error:
            raise NoExpectation(str(error)) from None

    async def _scale(self, kind: ResourceKind, where: str, owner: str) -> int:
        if "scale" not in kind.subresources:
            raise NoExpectation(f"{kind.plural}.{kind.group} does not implement the scale subresource")
        try:
            scale = await self._client.get(kind.gvr, owner, where, subresource="scale")
        except ApiError as error:
            raise NoExpectation(str(error)) from None
        return int((scale.get("spec") or {}).get("replicas") or 0)


class DisruptionController:
    name = "disruption"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("disruption-controller")
        self._budgets = context.informers.informer(DISRUPTION_BUDGETS)
        self._pods = context.informers.informer(PODS)
        self._recorder = EventRecorder(self._client, "controllermanager")
        self._scales = ScaleReader(self._client, context.kinds)

    def sources(self) -> Sequence[Source]:
        return Source(self._budgets), Source(self._pods, self._budgets_of_pod)

    def _budgets_of_pod(self, event: InformerEvent) -> Iterable[Key]:
        states = [labels(pod) for pod in (event.object, event.previous) if pod is not None]
        for budget in self._budgets.cache.list(namespace(event.object)):
            selector = LabelSelector.from_dict(budget["spec"].get("selector"))
            if any(selector.matches(own) for own in states):
                yield key(budget)

    async def reconcile(self, key: Key) -> float | None:
        budget = self._budgets.cache.get(*key)
        if budget is None:
            return None
        selector = LabelSelector.from_dict(budget["spec"].get("selector"))
        pods = [pod for pod in self._pods.cache.list(key.namespace) if selector.matches(labels(pod))]
        if not pods:
            self._recorder.event(budget, NORMAL, "NoPods", "No matching pods found")
        disrupted, again = _still_disrupted(budget, {name(pod): pod for pod in pods})
        try:
            expected, desired = await self._expected(budget, [pod for pod in pods if is_active(pod)])
        except NoExpectation as error:
            self._recorder.event(budget, WARNING, "CalculateExpectedPodCountFailed", str(error))
            await self._fail_safe(budget, str(error))
            return None
        healthy = sum(
            1
            for pod in pods
            if not is_deleting(pod) and name(pod) not in disrupted and is_active(pod) and is_ready(pod)
        )
        try:
            await write_status(
                self._client, self._budgets, budget, _status(budget, (healthy, desired, expected), disrupted)
            )
        except NotFound:
            return None
        return again

    async def _expected(self, budget: Object, pods: Sequence[Object]) -> tuple[int, int]:
        """(expected pods, pods that must be healthy)."""
        spec = budget["spec"]
        if spec.get("maxUnavailable") is not None:
            expected = await self._total(pods)
            return expected, max(expected - scaled_value(spec["maxUnavailable"], expected, round_up=True), 0)
        minimum = spec.get("minAvailable")
        if isinstance(minimum, str):
            expected = await self._total(pods)
            return expected, scaled_value(minimum, expected, round_up=True)
        return len(pods), int(minimum or 0)

    async def _total(self, pods: Sequence[Object]) -> int:
        totals: dict[str, int] = {}
        seen: dict[str, tuple[str, int]] = {}
        for pod in pods:
            reference = controller_of(pod)
            if reference is None:
                continue  # nobody says how many of these there should be
            own = reference["uid"]
            if own not in seen:
                seen[own] = await self._scales.replicas(pod)
            uid, replicas = seen[own]
            totals[uid] = replicas
        return sum(totals.values())

    async def _fail_safe(self, budget: Object, why: str) -> None:
        """Nothing may be evicted while the numbers are unknown."""
        status = deep_copy(budget.get("status") or {})
        status["disruptionsAllowed"] = 0
        status.setdefault("currentHealthy", 0)
        status.setdefault("desiredHealthy", 0)
        status.setdefault("expectedPods", 0)
        status["observedGeneration"] = generation(budget)
        condition = _condition(budget, "False", "SyncFailed", why)
        set_condition(status.setdefault("conditions", []), condition)
        await write_status(self._client, self._budgets, budget, status)


def _status(budget: Object, counts: tuple[int, int, int], disrupted: Mapping[str, str]) -> Object:
    healthy, desired, expected = counts
    allowed = max(healthy - desired, 0) if expected > 0 else 0
    conditions = deep_copy((budget.get("status") or {}).get("conditions") or [])
    made = (
        _condition(budget, "True", "SufficientPods", "")
        if allowed
        else _condition(budget, "False", "InsufficientPods", "")
    )
    set_condition(conditions, made)
    status: Object = {
        "observedGeneration": generation(budget),
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "conditions": conditions,
    }
    if disrupted:
        status["disruptedPods"] = dict(disrupted)
    return status


def _condition(budget: Object, status: str, reason: str, message: str) -> Object:
    return {
        "type": "DisruptionAllowed",
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation(budget),
    }


def _still_disrupted(budget: Object, pods: Mapping[str, Object]) -> tuple[dict[str, str], float | None]:
    """Evictions that were granted and whose pods aren't deleted yet; seconds until one is given up on."""
    kept: dict[str, str] = {}
    waits: list[float] = []
    for pod_name, since in ((budget.get("status") or {}).get("disruptedPods") or {}).items():
        pod = pods.get(pod_name)
        if pod is None or is_deleting(pod):
            continue
        left = clock.parse(since).timestamp() + _STALE_DISRUPTION_SECONDS - clock.seconds()
        if left > 0:
            kept[pod_name] = since
            waits.append(left)
    return kept, min(waits, default=None)
