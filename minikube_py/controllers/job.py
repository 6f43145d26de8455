"""Runs a Job's pods until enough have succeeded, or the Job has failed.

Source: pkg/controller/job.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress

from minikube_py import clock
from minikube_py.client.protocol import PatchType
from minikube_py.controllers.context import JOBS, PODS, ControllerContext
from minikube_py.controllers.jobs import accounting
from minikube_py.controllers.jobs.accounting import FINALIZER, Outcome, Tally
from minikube_py.controllers.jobs.backoff import FailureRecord, finished_at
from minikube_py.controllers.jobs.indexes import (
    FAILURE_COUNT,
    INDEX,
    format_indexes,
    index_of,
    int_note,
)
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
    is_ready,
    orphans_of,
)
from minikube_py.controllers.workloads.writing import compact, write_status
from minikube_py.objects.conditions import get_condition
from minikube_py.objects.errors import ApiError, NotFound, Object, is_namespace_terminating
from minikube_py.objects.meta import controller_of, deep_copy, finalizers, is_deleting, key, name, namespace, uid
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import DELETED, InformerEvent
from minikube_py.reconciling.pacing import Pacer
from minikube_py.reconciling.recorder import NORMAL, WARNING, EventRecorder
from minikube_py.reconciling.workqueue import WorkQueue
from minikube_py.resources.kind import GVK

_JOB = OwnerKind(JOBS, GVK("batch", "v1", "Job"))
_MANAGER = "kubernetes.io/job-controller"
_MOST_PODS_AT_ONCE = 500
# What looking at one pod costs, about.
_SECONDS_PER_POD = 0.000_01


class JobController:
    name = "job"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("job-controller")
        self._jobs = context.informers.informer(JOBS)
        self._pods = context.informers.informer(PODS, indexers={BY_CONTROLLER: controller_index})
        self._recorder = EventRecorder(self._client, "job-controller")
        self._control = PodControl(self._client, self._pods, self._recorder)
        self._claimer = Claimer(self._client, _JOB, self._pods)
        self._failures: dict[str, FailureRecord] = {}
        self._pacer = Pacer()

    def bind(self, queue: WorkQueue[Key]) -> None:
        self._pacer.bind(queue)

    def sources(self) -> Sequence[Source]:
        changed = owners_of(self._jobs, _JOB.gvk)
        return Source(self._jobs, self._job_changed), Source(self._pods, self._pacer.paced(changed))

    def _job_changed(self, event: InformerEvent) -> Iterable[Key]:
        if event.type == DELETED:
            self._failures.pop(uid(event.object), None)
        yield key(event.object)

    async def reconcile(self, key: Key) -> float | None:
        job = self._jobs.cache.get(*key)
        if job is None or job["spec"].get("managedBy", _MANAGER) != _MANAGER:
            await self._release_orphans(key)
            return None
        if _is_finished(job):
            await self._drop_finalizers(self._owned(job))
            return None
        candidates = self._owned(job) + self._pods.cache.by_index(BY_CONTROLLER, orphans_of(key.namespace))
        self._pacer.note(key, len(candidates) * _SECONDS_PER_POD)
        pods = await self._claimer.claim(job, candidates, selector_of(job))
        counts = accounting.tally(job, pods)
        record = self._failures.setdefault(uid(job), FailureRecord())
        outcome = None if is_deleting(job) else accounting.outcome(job, counts)
        again: float | None = None
        status = deep_copy(job.get("status") or {})
        if not is_deleting(job):
            again = await self._manage(job, counts, outcome, record)
            pods = self._owned(job)
        self._describe(job, status, counts, pods, outcome)
        written = await write_status(self._client, self._jobs, job, status)
        record.note(counts.new_succeeded, counts.new_failed)
        counted = {*counts.uncounted_succeeded, *counts.uncounted_failed, *(uid(pod) for pod in counts.ignored)}
        await self._drop_finalizers([pod for pod in pods if uid(pod) in counted])
        self._announce(job, written)
        if again is None and counts.new_failed and outcome is None:
            again = max(record.seconds_left(), 0)
        return again

    def _owned(self, job: Object) -> list[Object]:
        return self._pods.cache.by_index(BY_CONTROLLER, uid(job))

    # --- pods ---------------------------------------------------------------------------------------------------------

    async def _manage(self, job: Object, counts: Tally, outcome: Outcome | None, record: FailureRecord) -> float | None:
        """Create or delete pods; seconds until the next look."""
        deadline = accounting.deadline_seconds_left(job)
        if job["spec"].get("suspend") or outcome is not None:
            await self._control.delete_all(counts.active, job)
            return None
        wanted = accounting.wanted_active(job, counts)
        surplus = len(counts.active) - wanted
        superfluous = self._superfluous(job, counts)
        if surplus > 0 or superfluous:
            ordered = [p for p in deletion_order(counts.active, counts.active) if p not in superfluous]
            chosen = superfluous + ordered[: max(surplus - len(superfluous), 0)]
            await self._control.delete_all(chosen, job)
            return deadline
        missing = wanted - len(counts.active)
        if accounting.replaces_failed_only(job):
            missing -= len(counts.terminating)
        if missing <= 0:
            return deadline
        if counts.new_failed:
            return deadline  # the failure is noted with the status; the wait starts then
        waits = [deadline] if deadline is not None else []
        per_index = job["spec"].get("backoffLimitPerIndex") is not None
        wait = 0.0 if per_index else record.seconds_left()
        if wait <= 0:
            wait = await self._create(job, counts, min(missing, _MOST_PODS_AT_ONCE))
        if wait > 0:
            waits.append(wait)
        return min(waits, default=None)

    def _superfluous(self, job: Object, counts: Tally) -> list[Object]:
        """Active pods of an Indexed Job whose index is done, double or out of range."""
        if not accounting.is_indexed(job):
            return []
        seen: set[int] = set()
        found = []
        for pod in counts.active:
            index = index_of(pod)
            done = counts.succeeded_indexes | counts.failed_indexes | seen
            if index is None or index in done or index >= job["spec"]["completions"]:
                found.append(pod)
            else:
                seen.add(index)
        return found

    async def _create(self, job: Object, counts: Tally, missing: int) -> float:
        """Create pods; the seconds until an index that backs off may start again, 0 when none does."""
        indexes: list[int] | None = None
        failures: dict[int, FailureRecord] = {}
        wait = 0.0
        if accounting.is_indexed(job):
            failures = self._index_failures(job)
            resting = {index: left for index, one in failures.items() if (left := one.seconds_left()) > 0}
            free = accounting.free_indexes(job, counts, missing + len(resting))
            wait = min((resting[index] for index in free if index in resting), default=0.0)
            indexes = [index for index in free if index not in resting][:missing]

        async def create(number: int) -> None:
            index = indexes[number] if indexes is not None else None
            failed = failures[index].failures if index in failures else 0
            await self._control.create(_pod(job, index, failed), job)

        try:
            await in_growing_batches(len(indexes) if indexes is not None else missing, create)
        except ApiError as error:
            if not is_namespace_terminating(error):
                raise
        return wait

    def _index_failures(self, job: Object) -> dict[int, FailureRecord]:
        """How often and when each index has failed, from its pods that are still there."""
        if job["spec"].get("backoffLimitPerIndex") is None:
            return {}
        found: dict[int, FailureRecord] = {}
        for pod in self._owned(job):
            index = index_of(pod)
            if index is None or not accounting.has_failed(job, pod):
                continue
            count = int_note(pod, FAILURE_COUNT) + 1
            if index not in found or count > found[index].failures:
                found[index] = FailureRecord(count, finished_at(pod))
        return found

    async def _drop_finalizers(self, pods: Iterable[Object]) -> None:
        async def drop(pod: Object) -> None:
            kept = [one for one in finalizers(pod) if one != FINALIZER]
            metadata = {"uid": uid(pod), "finalizers": kept or None}
            metadata["resourceVersion"] = pod["metadata"]["resourceVersion"]
            with suppress(NotFound):
                patched = await self._client.patch(
                    PODS, name(pod), {"metadata": metadata}, namespace(pod), patch_type=PatchType.MERGE
                )
                self._pods.assume(patched)

        await asyncio.gather(*(drop(pod) for pod in pods if FINALIZER in finalizers(pod)))

    async def _release_orphans(self, key: Key) -> None:
        """Pods of a Job that is gone must not hang on their finalizer."""
        for pod in self._pods.cache.list(key.namespace):
            reference = controller_of(pod)
            if reference is None or reference["kind"] != "Job" or reference["name"] != key.name:
                continue
            job = self._jobs.cache.get(*key)
            if job is None or uid(job) != reference["uid"]:
                await self._drop_finalizers([pod])

    # --- status -------------------------------------------------------------------------------------------------------

    def _describe(
        self, job: Object, status: Object, counts: Tally, pods: Sequence[Object], outcome: Outcome | None
    ) -> None:
        suspended = bool(job["spec"].get("suspend"))
        conditions = status.setdefault("conditions", [])
        if not suspended and not status.get("startTime"):
            status["startTime"] = clock.rfc3339()
        self._describe_suspension(job, status, conditions, suspended)
        active = [pod for pod in pods if is_active(pod)]
        terminating = [pod for pod in pods if is_deleting(pod) and pod["status"].get("phase") in ("Pending", "Running")]
        status.update(
            active=len(active),
            ready=sum(1 for pod in active if is_ready(pod)),
            terminating=len(terminating),
            succeeded=counts.succeeded,
            failed=counts.failed,
            uncountedTerminatedPods=compact(
                {"succeeded": counts.uncounted_succeeded, "failed": counts.uncounted_failed}
            ),
        )
        if accounting.is_indexed(job):
            status["completedIndexes"] = format_indexes(counts.succeeded_indexes)
            if job["spec"].get("backoffLimitPerIndex") is not None:
                status["failedIndexes"] = format_indexes(counts.failed_indexes)
        if outcome is not None:
            self._describe_end(status, conditions, counts, outcome, bool(active or terminating))
        for field in ("active", "succeeded", "failed", "completedIndexes", "conditions"):
            if not status.get(field):
                status.pop(field, None)

    def _describe_suspension(self, job: Object, status: Object, conditions: list[Object], suspended: bool) -> None:
        current = get_condition(conditions, "Suspended")
        is_noted = current is not None and current["status"] == "True"
        if suspended and not is_noted:
            _set(conditions, "Suspended", "True", "JobSuspended", "Job suspended")
            status.pop("startTime", None)
            self._recorder.event(job, NORMAL, "Suspended", "Job suspended")
        elif not suspended and is_noted:
            _set(conditions, "Suspended", "False", "JobResumed", "Job resumed")
            status["startTime"] = clock.rfc3339()
            self._recorder.event(job, NORMAL, "Resumed", "Job resumed")

    def _describe_end(
        self, status: Object, conditions: list[Object], counts: Tally, outcome: Outcome, has_pods: bool
    ) -> None:
        """The intermediate condition first; the final one when every pod has ended and is counted."""
        type_, reason, message = outcome
        _set(conditions, "SuccessCriteriaMet" if type_ == "Complete" else "FailureTarget", "True", reason, message)
        if has_pods or not counts.all_counted:
            return
        _set(conditions, type_, "True", reason, message)
        if type_ == "Complete":
            status["completionTime"] = clock.rfc3339()

    def _announce(self, before: Object, after: Object) -> None:
        for type_ in ("Complete", "Failed"):
            condition = get_condition((after.get("status") or {}).get("conditions"), type_)
            if condition is None or get_condition((before.get("status") or {}).get("conditions"), type_) is not None:
                continue
            if type_ == "Complete":
                self._recorder.event(before, NORMAL, "Completed", "Job completed")
            else:
                self._recorder.event(before, WARNING, condition["reason"], condition["message"])
            self._failures.pop(uid(before), None)


def _is_finished(job: Object) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in conditions)


def _set(conditions: list[Object], type_: str, status: str, reason: str, message: str) -> None:
    now = clock.rfc3339()
    current = get_condition(conditions, type_)
    if current is None:
        current = {"type": type_}
        conditions.append(current)
    elif current["status"] == status and current.get("reason") == reason:
        return
    current.update(status=status, lastProbeTime=now, lastTransitionTime=now, reason=reason, message=message)


def _pod(job: Object, index: int | None, failures: int) -> Object:
    pod = pod_from_template(job["spec"]["template"], job, _JOB.gvk)
    metadata, spec = pod["metadata"], pod["spec"]
    metadata["finalizers"] = [*metadata.get("finalizers", ()), FINALIZER]
    if index is None:
        return pod
    metadata["annotations"][INDEX] = metadata["labels"][INDEX] = str(index)
    if job["spec"].get("backoffLimitPerIndex") is not None:
        metadata["annotations"][FAILURE_COUNT] = str(failures)
    metadata["generateName"] = f"{name(job)}-{index}-"
    spec["hostname"] = f"{name(job)}-{index}"
    variable = {
        "name": "JOB_COMPLETION_INDEX",
        "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}},
    }
    for container in [*(spec.get("initContainers") or ()), *spec["containers"]]:
        environment = container.setdefault("env", [])
        if not any(entry["name"] == variable["name"] for entry in environment):
            environment.append(variable)
    return pod
