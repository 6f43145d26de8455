"""Rolls a Deployment's pods from template to template by growing and shrinking its ReplicaSets.

Source: pkg/controller/deployment. The status is written once, at the end of each reconcile.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from minikube_py.client.protocol import SHARED_ANSWER, DeleteOptions, WriteOptions
from minikube_py.controllers.context import DEPLOYMENTS, PODS, REPLICA_SETS, ControllerContext
from minikube_py.controllers.workloads import rollback, rollout, rollout_status
from minikube_py.controllers.workloads.ownership import Claimer, OwnerKind, owners_of, selector_of
from minikube_py.controllers.workloads.pods import BY_CONTROLLER, controller_index, is_finished, orphans_of
from minikube_py.controllers.workloads.rollout import replicas
from minikube_py.controllers.workloads.template import POD_TEMPLATE_HASH, same_template, template_hash
from minikube_py.controllers.workloads.writing import write_object, write_status
from minikube_py.objects.conditions import get_condition
from minikube_py.objects.errors import AlreadyExists, ApiError, NotFound, Object, is_namespace_terminating
from minikube_py.objects.meta import (
    annotations,
    controller_of,
    deep_copy,
    generation,
    is_controlled_by,
    is_deleting,
    name,
    namespace,
    owner_reference,
    uid,
)
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import DELETED, InformerEvent
from minikube_py.reconciling.recorder import NORMAL, WARNING, EventRecorder
from minikube_py.resources.kind import GVK

_DEPLOYMENT = OwnerKind(DEPLOYMENTS, GVK("apps", "v1", "Deployment"))
_STATUS = WriteOptions(subresource="status", is_answer_shared=True)


@dataclass
class _Rollout:
    """What one reconcile works on. conditions become the status' in the end."""

    deployment: Object
    sets: dict[str, Object]
    conditions: list[Object] = field(default_factory=list)
    new: Object | None = None

    def find_new(self) -> Object | None:
        self.new = rollout.find_new(self.deployment, self.all)
        return self.new

    @property
    def all(self) -> list[Object]:
        return list(self.sets.values())

    @property
    def old(self) -> list[Object]:
        return [rs for rs in self.all if self.new is None or uid(rs) != uid(self.new)]

    def put(self, rs: Object) -> None:
        self.sets[uid(rs)] = rs
        if self.new is not None and uid(rs) == uid(self.new):
            self.new = rs


class DeploymentController:
    name = "deployment"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("deployment-controller")
        informers = context.informers
        self._deployments = informers.informer(DEPLOYMENTS)
        self._sets = informers.informer(REPLICA_SETS, indexers={BY_CONTROLLER: controller_index})
        self._pods = informers.informer(PODS, indexers={BY_CONTROLLER: controller_index})
        self._recorder = EventRecorder(self._client, "deployment-controller")
        self._claimer = Claimer(self._client, _DEPLOYMENT, self._sets)

    def sources(self) -> Sequence[Source]:
        return (
            Source(self._deployments),
            Source(self._sets, owners_of(self._deployments, _DEPLOYMENT.gvk)),
            Source(self._pods, self._keys_of_gone_pod),
        )

    def _keys_of_gone_pod(self, event: InformerEvent) -> Iterable[Key]:
        """A Recreate rollout goes on when the last old pod is gone."""
        reference = controller_of(event.object) if event.type == DELETED else None
        if reference is None or reference["kind"] != "ReplicaSet":
            return ()
        rs = self._sets.cache.get(namespace(event.object), reference["name"])
        if rs is None:
            return ()
        owner = controller_of(rs)
        if owner is None or owner["kind"] != "Deployment":
            return ()
        deployment = self._deployments.cache.get(namespace(event.object), owner["name"])
        return () if deployment is None or rollout.is_rolling(deployment) else (Key(namespace(rs), owner["name"]),)

    async def reconcile(self, key: Key) -> float | None:
        deployment = self._deployments.cache.get(*key)
        if deployment is None:
            return None
        selector = selector_of(deployment)
        if selector.is_empty:
            text = "This deployment is selecting all pods. A non-empty selector is required."
            self._recorder.event(deployment, WARNING, "SelectingAll", text)
            return None
        lookup = self._sets.cache.by_index
        candidates = lookup(BY_CONTROLLER, uid(deployment)) + lookup(BY_CONTROLLER, orphans_of(key.namespace))
        claimed = await self._claimer.claim(deployment, candidates, selector)
        conditions = deep_copy((deployment.get("status") or {}).get("conditions") or [])
        work = _Rollout(deployment, {uid(rs): rs for rs in claimed}, conditions)
        if is_deleting(deployment):
            work.find_new()
            return await self._finish(work, rolling=False)
        self._note_pause(work)
        is_paused, target = deployment["spec"].get("paused"), rollback.wanted_revision(deployment)
        if is_paused or (target is None and self._was_scaled(work)):
            await self._scale_only(work)
            return await self._finish(work, rolling=False)
        try:
            if target is not None:
                await self._roll_back(work, target)
                return None
            await (self._roll(work) if rollout.is_rolling(deployment) else self._recreate(work))
        except _CreateFailed as failed:
            await self._finish(work, rolling=True)
            if is_namespace_terminating(failed.error):
                return None  # every further try would end the same way
            raise failed.error from None
        return await self._finish(work, rolling=True)

    # --- strategies ---------------------------------------------------------------------------------------------------

    async def _roll(self, work: _Rollout) -> None:
        new = await self._ensure_new(work)
        if await self._grow_new(work, new):
            return
        resizes = rollout.shrink_old(work.deployment, rollout.active(work.old), work.new or new)
        if resizes:
            await self._apply(work, resizes)
            return
        await self._clean_up_if_complete(work)

    async def _grow_new(self, work: _Rollout, new: Object) -> bool:
        wanted = replicas(work.deployment)
        if replicas(new) == wanted:
            return False
        target = wanted if replicas(new) > wanted else rollout.new_replica_count(work.deployment, work.all, new)
        return await self._scale(work, new, target)

    async def _recreate(self, work: _Rollout) -> None:
        await self._sync_existing_new(work)
        running = [rollout.Resize(uid(rs), 0) for rs in rollout.active(work.old)]
        if running:
            await self._apply(work, running)
            return
        if self._has_old_pods(work):
            return
        new = await self._ensure_new(work)
        await self._scale(work, new, replicas(work.deployment))
        await self._clean_up_if_complete(work)

    def _has_old_pods(self, work: _Rollout) -> bool:
        if any(rollout.counted(rs, "replicas") for rs in work.old):
            return True
        return any(not is_finished(pod) for rs in work.old for pod in self._pods.cache.by_index(BY_CONTROLLER, uid(rs)))

    async def _roll_back(self, work: _Rollout, target: int) -> None:
        """Replace the template, or say why not, and take the request away; the write starts the rollout."""
        await self._ensure_new(work)
        wanted = target or rollback.last_revision(work.all)
        found = next((rs for rs in work.all if wanted and rollout.revision(rs) == wanted), None)
        deployment, same = work.deployment, f'"{name(work.deployment)}"'
        if found is None:
            what = "the revision to rollback to" if wanted else "last revision"
            kind, reason, text = WARNING, "DeploymentRollbackRevisionNotFound", f"Unable to find {what}."
        elif same_template(found["spec"]["template"], deployment["spec"]["template"]):
            text = f"The rollback revision contains the same template as current deployment {same}"
            kind, reason = WARNING, "DeploymentRollbackTemplateUnchanged"
        else:
            deployment = rollback.rolled_back(deployment, found)
            kind, reason, text = NORMAL, "DeploymentRollback", f"Rolled back deployment {same} to revision {wanted}"
        await write_object(self._client, self._deployments, rollback.without_request(deployment))
        self._recorder.event(work.deployment, kind, reason, text)

    async def _scale_only(self, work: _Rollout) -> None:
        """A paused Deployment, or one whose size changed: adjust sizes, start no rollout."""
        await self._sync_existing_new(work)
        deployment, new, old = work.deployment, work.new, work.old
        only = rollout.active_or_latest(new, old)
        if only is not None:
            if replicas(only) != replicas(deployment):
                await self._scale(work, only, replicas(deployment))
        elif rollout.is_saturated(deployment, new):
            await self._apply(work, [rollout.Resize(uid(rs), 0) for rs in rollout.active(old)])
        elif rollout.is_rolling(deployment):
            await self._apply(work, rollout.spread_proportionally(deployment, new, old))
        if deployment["spec"].get("paused"):
            await self._clean_up(work)

    def _was_scaled(self, work: _Rollout) -> bool:
        wanted = replicas(work.deployment)
        sizes = (rollout.int_annotation(rs, rollout.DESIRED_REPLICAS) for rs in rollout.active(work.all))
        return any(size is not None and size != wanted for size in sizes)

    # --- the new ReplicaSet -------------------------------------------------------------------------------------------

    async def _sync_existing_new(self, work: _Rollout) -> Object | None:
        """Bring annotations and minReadySeconds of the new ReplicaSet up to date, if there is one."""
        new = work.find_new()
        if new is None:
            return None
        next_revision = max((rollout.revision(rs) for rs in work.old), default=0) + 1
        wanted = rollout.new_set_annotations(work.deployment, new, next_revision, exists=True)
        minimum = work.deployment["spec"].get("minReadySeconds", 0)
        if wanted != dict(annotations(new)) or new["spec"].get("minReadySeconds", 0) != minimum:
            changed = deep_copy(new)
            changed["metadata"]["annotations"] = wanted
            changed["spec"]["minReadySeconds"] = minimum
            new = await write_object(self._client, self._sets, changed)
            work.put(new)
        await self._set_revision(work, annotations(new).get(rollout.REVISION, ""))
        if rollout.has_progress_deadline(work.deployment) and not get_condition(work.conditions, "Progressing"):
            text = f'Found new replica set "{name(new)}"'
            _progressing(work, "True", "FoundNewReplicaSet", text)
        return new

    async def _ensure_new(self, work: _Rollout) -> Object:
        existing = await self._sync_existing_new(work)
        return existing if existing is not None else await self._create_new(work)

    async def _create_new(self, work: _Rollout) -> Object:
        deployment = work.deployment
        made = _new_replica_set(deployment, work.all)
        try:
            new = await self._client.create(REPLICA_SETS, made, namespace(deployment), options=SHARED_ANSWER)
        except AlreadyExists:
            new = await self._client.get(REPLICA_SETS, name(made), namespace(deployment))
            same = same_template(new["spec"]["template"], deployment["spec"]["template"])
            if not same or not is_controlled_by(new, deployment):
                await self._count_collision(deployment)
                raise
        except ApiError as error:
            if not is_namespace_terminating(error):
                text = f'Failed to create new replica set "{name(made)}": {error}'
                self._recorder.event(deployment, WARNING, "ReplicaSetCreateError", text)
                if rollout.has_progress_deadline(deployment):
                    _progressing(work, "False", "ReplicaSetCreateError", text)
            raise _CreateFailed(error) from error
        else:
            if replicas(new):
                text = f"Scaled up replica set {name(new)} from 0 to {replicas(new)}"
                self._recorder.event(deployment, NORMAL, "ScalingReplicaSet", text)
            if rollout.has_progress_deadline(deployment):
                text = f'Created new replica set "{name(new)}"'
                _progressing(work, "True", "NewReplicaSetCreated", text)
        self._sets.assume(new)
        work.new = new
        work.put(new)
        await self._set_revision(work, annotations(new).get(rollout.REVISION, ""))
        return new

    async def _count_collision(self, deployment: Object) -> None:
        status = dict(deployment.get("status") or {})
        status["collisionCount"] = status.get("collisionCount", 0) + 1
        await write_status(self._client, self._deployments, deployment, status)

    async def _set_revision(self, work: _Rollout, revision: str) -> None:
        if not revision or annotations(work.deployment).get(rollout.REVISION) == revision:
            return
        changed = deep_copy(work.deployment)
        changed["metadata"].setdefault("annotations", {})[rollout.REVISION] = revision
        # Through the status: a change of annotations by the object itself raises the generation.
        deployment = await self._client.update(DEPLOYMENTS, changed, options=_STATUS)
        self._deployments.assume(deployment)
        work.deployment = deployment

    # --- writing ------------------------------------------------------------------------------------------------------

    async def _apply(self, work: _Rollout, resizes: Iterable[rollout.Resize]) -> None:
        for resize in resizes:
            await self._scale(work, work.sets[resize.uid], resize.replicas)

    async def _scale(self, work: _Rollout, rs: Object, size: int) -> bool:
        """Write the size and the size annotations if they differ; True when the size changed."""
        before = replicas(rs)
        noted = rollout.replica_annotations(work.deployment)
        if before == size and noted.items() <= annotations(rs).items():
            return False
        changed = deep_copy(rs)
        changed["spec"]["replicas"] = size
        changed["metadata"].setdefault("annotations", {}).update(noted)
        work.put(await write_object(self._client, self._sets, changed))
        if before == size:
            return False
        direction = "up" if size > before else "down"
        text = f"Scaled {direction} replica set {name(rs)} from {before} to {size}"
        self._recorder.event(work.deployment, NORMAL, "ScalingReplicaSet", text)
        return True

    async def _clean_up_if_complete(self, work: _Rollout) -> None:
        if rollout.is_complete(work.deployment, work.deployment.get("status") or {}):
            await self._clean_up(work)

    async def _clean_up(self, work: _Rollout) -> None:
        for rs in rollout.removable_history(work.deployment, work.old):
            try:
                await self._client.delete(
                    REPLICA_SETS, name(rs), namespace(rs), options=DeleteOptions(uid=uid(rs), propagation="Background")
                )
            except NotFound:
                continue
            self._sets.assume_deleting(rs)

    async def _finish(self, work: _Rollout, *, rolling: bool) -> float | None:
        deployment = work.deployment
        compute = rollout_status.rollout_status if rolling else rollout_status.basic_status
        status = compute(deployment, work.all, work.new, work.conditions)
        status["observedGeneration"] = generation(deployment)
        await write_status(self._client, self._deployments, deployment, status)
        return rollout_status.seconds_until_check(deployment, status) if rolling else None

    def _note_pause(self, work: _Rollout) -> None:
        if not rollout.has_progress_deadline(work.deployment):
            return
        current = get_condition(work.conditions, "Progressing")
        reason = current.get("reason") if current is not None else None
        if reason == rollout_status.TIMED_OUT:
            return
        paused = bool(work.deployment["spec"].get("paused"))
        if paused and reason != rollout_status.PAUSED:
            _progressing(work, "Unknown", rollout_status.PAUSED, "Deployment is paused")
        elif not paused and reason == rollout_status.PAUSED:
            _progressing(work, "Unknown", rollout_status.RESUMED, "Deployment is resumed")


class _CreateFailed(Exception):
    """The new ReplicaSet was refused; the status still has to say so."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(str(error))
        self.error = error


def _progressing(work: _Rollout, status: str, reason: str, message: str) -> None:
    made = rollout_status.condition(rollout_status.PROGRESSING, status, reason, message)
    rollout_status.put_condition(work.conditions, made)


def _new_replica_set(deployment: Object, existing: Iterable[Object]) -> Object:
    """The ReplicaSet for the Deployment's template, sized for the first step of the rollout."""
    spec = deployment["spec"]
    template = deep_copy(spec["template"])
    digest = template_hash(template, (deployment.get("status") or {}).get("collisionCount"))
    labels = dict((template.get("metadata") or {}).get("labels") or {}) | {POD_TEMPLATE_HASH: digest}
    template.setdefault("metadata", {})["labels"] = labels
    selector = deep_copy(spec["selector"])
    selector["matchLabels"] = dict(selector.get("matchLabels") or {}) | {POD_TEMPLATE_HASH: digest}
    made: Object = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{name(deployment)}-{digest}",
            "namespace": namespace(deployment),
            "labels": dict(labels),
            "ownerReferences": [owner_reference(deployment, _DEPLOYMENT.gvk)],
        },
        "spec": {"replicas": 0, "selector": selector, "template": template},
    }
    if spec.get("minReadySeconds"):
        made["spec"]["minReadySeconds"] = spec["minReadySeconds"]
    others = list(existing)
    made["spec"]["replicas"] = rollout.new_replica_count(deployment, others, made)
    revision = max((rollout.revision(rs) for rs in others), default=0) + 1
    made["metadata"]["annotations"] = rollout.new_set_annotations(deployment, made, revision, exists=False)
    return made
