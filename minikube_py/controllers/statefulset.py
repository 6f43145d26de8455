"""Keeps the numbered pods of a StatefulSet, one after the other or all at once, and updates them from the last down.

Source: pkg/controller/statefulset/stateful_set_control.go.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from minikube_py.client.protocol import SHARED_ANSWER, DeleteOptions
from minikube_py.controllers.context import (
    CONTROLLER_REVISIONS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    STATEFUL_SETS,
    ControllerContext,
)
from minikube_py.controllers.stateful import identity
from minikube_py.controllers.stateful.claims import ClaimControl
from minikube_py.controllers.stateful.identity import STATEFUL_SET, ordinal, revision_of
from minikube_py.controllers.workloads.ownership import Claimer, OwnerKind, owners_of, selector_of
from minikube_py.controllers.workloads.pods import (
    BY_CONTROLLER,
    controller_index,
    is_available,
    next_availability,
    orphans_of,
    phase,
)
from minikube_py.controllers.workloads.revisions import History, same_data, template_patch
from minikube_py.controllers.workloads.writing import compact, write_status
from minikube_py.objects.errors import ApiError, NotFound, Object, is_namespace_terminating
from minikube_py.objects.meta import deep_copy, generation, is_deleting, name, namespace, uid
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source, owner_keys
from minikube_py.reconciling.informer import InformerEvent
from minikube_py.reconciling.recorder import NORMAL, WARNING, EventRecorder

_STATEFUL_SET = OwnerKind(STATEFUL_SETS, STATEFUL_SET)


@dataclass
class _Revisions:
    """current is what pods below the partition have; update is the present template."""

    current: Object
    update: Object
    all: list[Object]
    collisions: int | None

    def for_new_pod(self, owner: Object, number: int, current_pods: int) -> Object:
        """Which revision a pod that has to be created gets: below the partition the current one."""
        strategy = owner["spec"].get("updateStrategy") or {}
        if not identity.is_rolling(owner):
            return self.update
        kept = identity.partition(owner) if strategy.get("rollingUpdate") is not None else current_pods
        return self.current if number < identity.ordinals(owner).start + kept else self.update


class StatefulSetController:
    name = "statefulset"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("statefulset-controller")
        informers = context.informers
        self._sets = informers.informer(STATEFUL_SETS)
        self._pods = informers.informer(PODS, indexers={BY_CONTROLLER: controller_index})
        self._claims = informers.informer(PERSISTENT_VOLUME_CLAIMS)
        self._revisions = informers.informer(CONTROLLER_REVISIONS, indexers={BY_CONTROLLER: controller_index})
        self._recorder = EventRecorder(self._client, "statefulset-controller")
        self._claimer = Claimer(self._client, _STATEFUL_SET, self._pods)
        self._history = History(self._client, _STATEFUL_SET, self._revisions)
        self._claim_control = ClaimControl(self._client, self._claims, self._recorder)

    def sources(self) -> Sequence[Source]:
        return (
            Source(self._sets),
            Source(self._pods, owners_of(self._sets, STATEFUL_SET)),
            Source(self._revisions, owner_keys("StatefulSet", "apps")),
            Source(self._claims, self._sets_of_claim),
        )

    def _sets_of_claim(self, event: InformerEvent) -> Iterable[Key]:
        """A claim that is gone may hold up the pod that needs a new one."""
        if event.type == "DELETED":
            for owner in self._sets.cache.list(namespace(event.object)):
                templates = owner["spec"].get("volumeClaimTemplates") or ()
                if any(name(event.object).startswith(f"{name(t)}-{name(owner)}-") for t in templates):
                    yield Key(namespace(owner), name(owner))

    async def reconcile(self, key: Key) -> float | None:
        owner = self._sets.cache.get(*key)
        if owner is None:
            return None
        selector = selector_of(owner)
        lookup = self._pods.cache.by_index
        candidates = [
            p
            for p in lookup(BY_CONTROLLER, uid(owner)) + lookup(BY_CONTROLLER, orphans_of(key.namespace))
            if identity.is_member(owner, p)
        ]
        await self._claimer.claim(owner, candidates, selector)
        revisions = await self._get_revisions(owner, await self._history.of(owner, selector))
        failure: ApiError | None = None
        if not is_deleting(owner):
            try:
                await self._step(owner, revisions)
            except ApiError as error:
                failure = error
        pods = self._owned(owner)
        status = _status(owner, revisions, pods)
        written = await write_status(self._client, self._sets, owner, status)
        live = {revision_of(pod) for pod in pods} | {status["currentRevision"], status["updateRevision"]}
        limit = written["spec"].get("revisionHistoryLimit", 10)
        await self._history.truncate(revisions.all, live, limit)
        if failure is not None and not is_namespace_terminating(failure):
            raise failure
        return next_availability(pods, owner["spec"].get("minReadySeconds", 0))

    def _owned(self, owner: Object) -> list[Object]:
        pods = self._pods.cache.by_index(BY_CONTROLLER, uid(owner))
        return sorted((pod for pod in pods if identity.is_member(owner, pod)), key=ordinal)

    async def _get_revisions(self, owner: Object, known: list[Object]) -> _Revisions:
        status = owner.get("status") or {}
        collisions = status.get("collisionCount")
        data = template_patch(owner)
        equal = [revision for revision in known if same_data(revision, {"data": data})]
        number = max((r["revision"] for r in known), default=0) + 1
        if equal and equal[-1] is known[-1]:
            update = equal[-1]
        elif equal:
            update = await self._history.set_number(equal[-1], number)
        else:
            made = None
            while made is None:
                draft = self._history.draft(owner, number, collisions, name_is_hash=True)
                made = await self._history.create(draft)
                collisions = collisions if made is not None else (collisions or 0) + 1
            update = made
        current = next((r for r in known if name(r) == status.get("currentRevision")), update)
        everything = [r for r in known if name(r) != name(update)] + [update]
        return _Revisions(current, update, everything, collisions)

    # --- pods ---------------------------------------------------------------------------------------------------------

    async def _step(self, owner: Object, revisions: _Revisions) -> None:
        """Create, delete and update what may be now; ordered sets stop at the first pod that isn't there yet."""
        pods = {ordinal(pod): pod for pod in self._owned(owner)}
        wanted = identity.ordinals(owner)
        ordered = not identity.is_parallel(owner)
        current_pods = (owner.get("status") or {}).get("currentReplicas") or 0
        for number in wanted:
            revision = revisions.for_new_pod(owner, number, current_pods)
            if not await self._ensure_pod(owner, number, pods.get(number), revision) and ordered:
                return
        condemned = [pods[number] for number in sorted(pods, reverse=True) if number not in wanted]
        for pod in condemned:
            await self._claim_control.follow_policy(owner, pod)
        if not await self._remove(owner, condemned, [pods[n] for n in wanted if n in pods]) and ordered:
            return
        if identity.is_rolling(owner):
            await self._roll(owner, revisions)

    async def _ensure_pod(self, owner: Object, number: int, pod: Object | None, revision: Object) -> bool:
        """Bring one pod into being; True when an ordered set may go on to the next."""
        if pod is None:
            await self._create(owner, number, revision)
            return False
        if phase(pod) in ("Failed", "Succeeded"):
            if not is_deleting(pod):
                text = (
                    f"StatefulSet {namespace(owner)}/{name(owner)} is recreating {phase(pod).lower()} Pod {name(pod)}"
                )
                kind = WARNING if phase(pod) == "Failed" else NORMAL
                self._recorder.event(owner, kind, f"Recreating{phase(pod)}Pod", text)
                await self._delete(owner, pod)
            return False
        if is_deleting(pod):
            return False
        if not identity.has_identity(pod):
            changed = deep_copy(pod)
            identity.set_identity(owner, changed, number)
            self._pods.assume(await self._client.update(PODS, changed))
        await self._claim_control.ensure(owner, number, name(pod))
        await self._claim_control.follow_policy(owner, pod)
        minimum = owner["spec"].get("minReadySeconds", 0)
        return identity.is_running_and_ready(pod) and is_available(pod, minimum)

    async def _create(self, owner: Object, number: int, revision: Object) -> None:
        pod = identity.build_pod(owner, revision, number)
        what = f"Pod {name(pod)} in StatefulSet {name(owner)}"
        await self._claim_control.ensure(owner, number, name(pod))
        try:
            made = await self._client.create(PODS, pod, namespace(owner), options=SHARED_ANSWER)
        except ApiError as error:
            if not is_namespace_terminating(error):
                self._recorder.event(owner, WARNING, "FailedCreate", f"create {what} failed error: {error}")
            raise
        self._pods.assume(made)
        self._recorder.event(owner, NORMAL, "SuccessfulCreate", f"create {what} successful")
        await self._claim_control.follow_policy(owner, made)

    async def _delete(self, owner: Object, pod: Object) -> None:
        what = f"Pod {name(pod)} in StatefulSet {name(owner)}"
        try:
            await self._client.delete(PODS, name(pod), namespace(pod), options=DeleteOptions(uid=uid(pod)))
        except NotFound:
            return
        except ApiError as error:
            self._recorder.event(owner, WARNING, "FailedDelete", f"delete {what} failed error: {error}")
            raise
        self._pods.assume_deleting(pod)
        self._recorder.event(owner, NORMAL, "SuccessfulDelete", f"delete {what} successful")

    async def _remove(self, owner: Object, condemned: Sequence[Object], others: Sequence[Object]) -> bool:
        """Scale down from the last pod; ordered sets one at a time, and only while all others are healthy.

        True when nothing is left to be removed.
        """
        if not condemned:
            return True
        if identity.is_parallel(owner):
            for pod in condemned:
                if not is_deleting(pod):
                    await self._delete(owner, pod)
            return True
        minimum = owner["spec"].get("minReadySeconds", 0)
        first = condemned[0]
        unwell = [pod for pod in [*others, *reversed(condemned)] if not identity.is_healthy(pod, minimum)]
        # A pod that isn't well itself goes only once all before it are.
        if is_deleting(first) or (first in unwell and unwell[0] is not first):
            return False
        await self._delete(owner, first)
        return False

    async def _roll(self, owner: Object, revisions: _Revisions) -> None:
        """Replace old pods from the last to the partition, no more at a time than may be unavailable."""
        update, minimum = name(revisions.update), owner["spec"].get("minReadySeconds", 0)
        wanted = identity.ordinals(owner)
        pods = [pod for pod in self._owned(owner) if ordinal(pod) in wanted]
        unavailable = len(wanted) - sum(1 for pod in pods if identity.is_healthy(pod, minimum))
        budget = identity.max_unavailable(owner) - unavailable
        lowest = wanted.start + identity.partition(owner)
        for pod in sorted(pods, key=ordinal, reverse=True):
            if ordinal(pod) < lowest or is_deleting(pod):
                continue
            if revision_of(pod) != update:
                healthy = identity.is_healthy(pod, minimum)
                if healthy and budget <= 0:
                    return
                budget -= healthy
                await self._delete(owner, pod)
                if not healthy and identity.max_unavailable(owner) == 1:
                    return
            elif not identity.is_healthy(pod, minimum) and identity.max_unavailable(owner) == 1:
                return


def _status(owner: Object, revisions: _Revisions, pods: Sequence[Object]) -> Object:
    minimum = owner["spec"].get("minReadySeconds", 0)
    created = [pod for pod in pods if phase(pod)]
    living = [pod for pod in created if not is_deleting(pod)]
    current, update = name(revisions.current), name(revisions.update)
    updated = [pod for pod in living if revision_of(pod) == update]
    ready = [pod for pod in created if identity.is_running_and_ready(pod)]
    counts = {
        "readyReplicas": len(ready),
        "currentReplicas": sum(1 for pod in living if revision_of(pod) == current),
        "updatedReplicas": len(updated),
        "collisionCount": revisions.collisions,
        "conditions": (owner.get("status") or {}).get("conditions"),
        "observedGeneration": generation(owner),
    }
    wanted = len(identity.ordinals(owner))
    if identity.is_rolling(owner) and len(updated) == wanted == len(ready) == len(created):
        current = update  # the update is complete
        counts["currentReplicas"] = len(updated)
    status = compact(counts)
    status["replicas"] = len(created)
    status["availableReplicas"] = sum(1 for pod in ready if is_available(pod, minimum))
    status["currentRevision"], status["updateRevision"] = current, update
    return status
