"""Keeps as many pods as a ReplicaSet asks for, and reports how many there are.

Source: pkg/controller/replicaset. The pod cache already holds this controller's own writes, so no expectations are
kept.
"""

import asyncio
from collections.abc import Sequence

from minikube_py.controllers.context import PODS, REPLICA_SETS, ControllerContext
from minikube_py.controllers.workloads.ownership import Claimer, OwnerKind, owners_of, selector_of
from minikube_py.controllers.workloads.pod_control import (
    PodControl,
    in_growing_batches,
    pod_from_template,
)
from minikube_py.controllers.workloads.pods import (
    BY_CONTROLLER,
    controller_index,
    deletion_order,
    is_active,
    is_available,
    is_finished,
    is_ready,
    next_availability,
    orphans_of,
)
from minikube_py.controllers.workloads.writing import compact, write_status
from minikube_py.objects.conditions import get_condition, remove_condition, set_condition
from minikube_py.objects.errors import ApiError, Object, is_namespace_terminating
from minikube_py.objects.meta import controller_of, deep_copy, generation, is_deleting, labels, uid
from minikube_py.objects.selectors import LabelSelector
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.pacing import Pacer
from minikube_py.reconciling.recorder import EventRecorder
from minikube_py.reconciling.workqueue import WorkQueue
from minikube_py.resources.kind import GVK

# At most this many pods are created or deleted in one reconcile.
BURST = 500
# What looking at one pod costs, about.
_SECONDS_PER_POD = 0.000_01
_REPLICA_SET = OwnerKind(REPLICA_SETS, GVK("apps", "v1", "ReplicaSet"))


class ReplicaSetController:
    """Also serves ReplicationControllers, which differ in their selector only."""

    name = "replicaset"
    kind = _REPLICA_SET
    component = "replicaset-controller"
    account = "replicaset-controller"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for(self.account)
        self._owners = context.informers.informer(self.kind.gvr, indexers={BY_CONTROLLER: controller_index})
        self._pods = context.informers.informer(PODS, indexers={BY_CONTROLLER: controller_index})
        recorder = EventRecorder(self._client, self.component)
        self._control = PodControl(self._client, self._pods, recorder)
        self._claimer = Claimer(self._client, self.kind, self._pods)
        self._pacer = Pacer()

    def bind(self, queue: WorkQueue[Key]) -> None:
        self._pacer.bind(queue)

    def sources(self) -> Sequence[Source]:
        changed = owners_of(self._owners, self.kind.gvk, self.selector)
        return Source(self._owners), Source(self._pods, self._pacer.paced(changed))

    def selector(self, owner: Object) -> LabelSelector:
        return selector_of(owner)

    async def reconcile(self, key: Key) -> float | None:
        owner = self._owners.cache.get(*key)
        if owner is None:
            return None
        by_controller = self._pods.cache.by_index
        candidates = by_controller(BY_CONTROLLER, uid(owner)) + by_controller(BY_CONTROLLER, orphans_of(key.namespace))
        self._pacer.note(key, len(candidates) * _SECONDS_PER_POD)
        selector = self.selector(owner)
        claimed = await self._claimer.claim(owner, [p for p in candidates if not is_finished(p)], selector)
        active = [pod for pod in claimed if is_active(pod)]
        failure: ApiError | None = None
        wanted = owner["spec"].get("replicas", 1)
        difference = len(active) - wanted
        if not is_deleting(owner) and difference:
            try:
                await (self._create(owner, -difference) if difference < 0 else self._delete(owner, active, difference))
            except ApiError as error:
                if not is_namespace_terminating(error):
                    failure = error
            # The cache knows more now: count again, so that the status is about what is there.
            claimed = [p for p in by_controller(BY_CONTROLLER, uid(owner)) if not is_finished(p)]
            active = [pod for pod in claimed if is_active(pod)]
        status = replica_status(owner, active, len(claimed) - len(active), failure, difference)
        await write_status(self._client, self._owners, owner, status)
        if failure is not None:
            raise failure
        if difference and len(active) != wanted and abs(difference) > BURST:
            return 0
        return next_availability(active, owner["spec"].get("minReadySeconds", 0))

    async def _create(self, owner: Object, count: int) -> None:
        async def create(_number: int) -> None:
            pod = pod_from_template(owner["spec"]["template"], owner, self.kind.gvk)
            await self._control.create(pod, owner)

        await in_growing_batches(min(count, BURST), create)

    async def _delete(self, owner: Object, active: list[Object], count: int) -> None:
        chosen = deletion_order(active, self._related(owner, active))[: min(count, BURST)]
        await self._control.delete_all(chosen, owner)
        await asyncio.sleep(0)

    def _related(self, owner: Object, active: list[Object]) -> list[Object]:
        """The pods of all owners under the same controller (a Deployment's ReplicaSets)."""
        parent = controller_of(owner)
        if parent is None:
            return active
        siblings = self._owners.cache.by_index(BY_CONTROLLER, parent["uid"])
        return [pod for one in siblings for pod in self._pods.cache.by_index(BY_CONTROLLER, uid(one))]


def replica_status(
    owner: Object, active: list[Object], terminating: int, failure: ApiError | None, difference: int
) -> Object:
    """The status of a ReplicaSet or ReplicationController that owns these active pods."""
    wanted_labels = (owner["spec"]["template"].get("metadata") or {}).get("labels") or {}
    minimum = owner["spec"].get("minReadySeconds", 0)
    conditions = deep_copy((owner.get("status") or {}).get("conditions") or [])
    if failure is None:
        remove_condition(conditions, "ReplicaFailure")
    elif get_condition(conditions, "ReplicaFailure") is None:
        reason = "FailedCreate" if difference < 0 else "FailedDelete"
        set_condition(
            conditions, {"type": "ReplicaFailure", "status": "True", "reason": reason, "message": str(failure)}
        )
    counts = {
        "fullyLabeledReplicas": sum(1 for pod in active if wanted_labels.items() <= labels(pod).items()),
        "readyReplicas": sum(1 for pod in active if is_ready(pod)),
        "availableReplicas": sum(1 for pod in active if is_available(pod, minimum)),
        "observedGeneration": generation(owner),
        "conditions": conditions,
    }
    status = compact(counts)
    status["replicas"] = len(active)
    if owner["kind"] == "ReplicaSet":
        status["terminatingReplicas"] = terminating
    return status
