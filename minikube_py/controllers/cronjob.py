"""Starts a Job whenever a CronJob is due, and cleans up after the finished ones.

Source: pkg/controller/cronjob/cronjob_controllerv2.go. After a sleep only the last missed time is caught up on.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from minikube_py import clock
from minikube_py.client.protocol import DeleteOptions
from minikube_py.controllers.context import CRON_JOBS, JOBS, ControllerContext
from minikube_py.controllers.jobs.cron_schedule import Schedule, last_due, parse_schedule
from minikube_py.controllers.workloads.pods import BY_CONTROLLER, controller_index
from minikube_py.controllers.workloads.writing import write_status
from minikube_py.objects.errors import AlreadyExists, ApiError, NotFound, Object, is_namespace_terminating
from minikube_py.objects.meta import deep_copy, is_deleting, name, namespace, owner_reference, uid
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source, owner_keys
from minikube_py.reconciling.recorder import NORMAL, WARNING, EventRecorder, reference
from minikube_py.resources.kind import GVK

_CRON_JOB = GVK("batch", "v1", "CronJob")
SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_MANY_MISSED = 100


class CronJobController:
    name = "cronjob"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("cronjob-controller")
        self._cron_jobs = context.informers.informer(CRON_JOBS)
        self._jobs = context.informers.informer(JOBS, indexers={BY_CONTROLLER: controller_index})
        self._recorder = EventRecorder(self._client, "cronjob-controller")

    def sources(self) -> Sequence[Source]:
        return Source(self._cron_jobs), Source(self._jobs, owner_keys("CronJob", "batch"))

    async def reconcile(self, key: Key) -> float | None:
        cron = self._cron_jobs.cache.get(*key)
        if cron is None:
            return None
        jobs = self._jobs.cache.by_index(BY_CONTROLLER, uid(cron))
        status = deep_copy(cron.get("status") or {})
        self._note_jobs(cron, status, jobs)
        await self._clean_up(cron, jobs)
        again: float | None = None
        try:
            if not is_deleting(cron) and not cron["spec"].get("suspend"):
                again = await self._start_if_due(cron, status)
        finally:
            if not status.get("active"):
                status.pop("active", None)
            await write_status(self._client, self._cron_jobs, cron, status)
        return again

    # --- jobs that are there ------------------------------------------------------------------------------------------

    def _note_jobs(self, cron: Object, status: Object, jobs: Sequence[Object]) -> None:
        active = {ref["uid"]: ref for ref in status.get("active") or ()}
        found = {uid(job): job for job in jobs}
        for job in jobs:
            ended = _end(job)
            if ended is None:
                if uid(job) not in active:
                    text = f"Saw a job that the controller did not create or forgot: {name(job)}"
                    self._recorder.event(cron, WARNING, "UnexpectedJob", text)
                continue
            if uid(job) in active:
                del active[uid(job)]
                text = f"Saw completed job: {name(job)}, condition: {ended}"
                self._recorder.event(cron, NORMAL, "SawCompletedJob", text)
            if ended == "Complete":
                self._note_success(status, job)
        for missing in [one for one in active if one not in found]:
            text = f"Active job went missing: {active.pop(missing)['name']}"
            self._recorder.event(cron, NORMAL, "MissingJob", text)
        status["active"] = list(active.values())

    def _note_success(self, status: Object, job: Object) -> None:
        completed = (job.get("status") or {}).get("completionTime")
        if completed and completed > status.get("lastSuccessfulTime", ""):
            status["lastSuccessfulTime"] = completed

    async def _clean_up(self, cron: Object, jobs: Sequence[Object]) -> None:
        for ended, field in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
            limit = cron["spec"].get(field)
            if limit is None:
                continue
            finished = sorted((j for j in jobs if _end(j) == ended and not is_deleting(j)), key=_started)
            for job in finished[: max(len(finished) - limit, 0)]:
                await self._delete(cron, job)

    async def _delete(self, cron: Object, job: Object) -> None:
        options = DeleteOptions(propagation="Background", uid=uid(job))
        with suppress(NotFound):
            await self._client.delete(JOBS, name(job), namespace(job), options=options)
        self._jobs.assume_deleting(job)
        self._recorder.event(cron, NORMAL, "SuccessfulDelete", f"Deleted job {name(job)}")

    # --- the schedule -------------------------------------------------------------------------------------------------

    async def _start_if_due(self, cron: Object, status: Object) -> float | None:
        parsed = self._parse(cron)
        if parsed is None:
            return None
        schedule, zone = parsed
        now = clock.now()
        due, missed = last_due(schedule, _earliest(cron, status, now), now, zone)
        upcoming = schedule.next_after(now, zone)
        again = (upcoming - now).total_seconds() + 0.1 if upcoming is not None else None
        if due is None:
            return again
        if missed > _MANY_MISSED:
            text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self._recorder.event(cron, WARNING, "TooManyMissedTimes", text)
        deadline = cron["spec"].get("startingDeadlineSeconds")
        if deadline is not None and due + timedelta(seconds=deadline) < now:
            text = f"Missed scheduled time to start a job: {clock.rfc3339(due)}"
            self._recorder.event(cron, WARNING, "MissSchedule", text)
            return again
        if status.get("lastScheduleTime") == clock.rfc3339(due):
            return again
        if status["active"] and not await self._make_way(cron, status):
            return again
        await self._start(cron, status, due)
        return again

    def _parse(self, cron: Object) -> tuple[Schedule, ZoneInfo | None] | None:
        text, zone_name = cron["spec"]["schedule"], cron["spec"].get("timeZone")
        try:
            schedule = parse_schedule(text)
        except ValueError as error:
            self._recorder.event(cron, WARNING, "UnparseableSchedule", f'unparseable schedule: "{text}" : {error}')
            return None
        try:
            return schedule, ZoneInfo(zone_name) if zone_name else None
        except (ZoneInfoNotFoundError, ValueError) as error:
            text = f'invalid timeZone: "{zone_name}" : {error}'
            self._recorder.event(cron, WARNING, "UnknownTimeZone", text)
            return None

    async def _make_way(self, cron: Object, status: Object) -> bool:
        """What the concurrency policy says about Jobs that still run; True when the next may start."""
        policy = cron["spec"].get("concurrencyPolicy", "Allow")
        if policy == "Forbid":
            text = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._recorder.event(cron, NORMAL, "JobAlreadyActive", text)
            return False
        if policy == "Replace":
            for ref in status["active"]:
                job = self._jobs.cache.get(namespace(cron), ref["name"])
                if job is not None:
                    await self._delete(cron, job)
            status["active"] = []
        return True

    async def _start(self, cron: Object, status: Object, due: datetime) -> None:
        made = _job(cron, due)
        try:
            job = await self._client.create(JOBS, made, namespace(cron))
        except AlreadyExists:
            # An earlier attempt got this far without writing the status.
            job = await self._client.get(JOBS, name(made), namespace(cron))
        except ApiError as error:
            if not is_namespace_terminating(error):
                self._recorder.event(cron, WARNING, "FailedCreate", f"Error creating job: {error}")
                raise
            return
        else:
            self._recorder.event(cron, NORMAL, "SuccessfulCreate", f"Created job {name(job)}")
        self._jobs.assume(job)
        ref = reference(job)
        if not any(one["uid"] == ref["uid"] for one in status["active"]) and _end(job) is None:
            status["active"].append(ref)
        status["lastScheduleTime"] = clock.rfc3339(due)


def _end(job: Object) -> str | None:
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return str(condition["type"])
    return None


def _started(job: Object) -> tuple[str, str]:
    return (job.get("status") or {}).get("startTime") or "", name(job)


def _earliest(cron: Object, status: Object, now: datetime) -> datetime:
    """From when on a scheduled time counts as missed."""
    earliest = clock.parse(status.get("lastScheduleTime") or cron["metadata"]["creationTimestamp"])
    deadline = cron["spec"].get("startingDeadlineSeconds")
    if deadline is not None:
        earliest = max(earliest, now - timedelta(seconds=deadline))
    return min(earliest, now)


def _job(cron: Object, due: datetime) -> Object:
    template = cron["spec"]["jobTemplate"]
    metadata = template.get("metadata") or {}
    zone = cron["spec"].get("timeZone")
    scheduled = due.astimezone(ZoneInfo(zone)).isoformat() if zone else clock.rfc3339(due)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{name(cron)}-{int(due.timestamp()) // 60}",
            "namespace": namespace(cron),
            "labels": dict(metadata.get("labels") or {}),
            "annotations": {**(metadata.get("annotations") or {}), SCHEDULED_AT: scheduled},
            "ownerReferences": [owner_reference(cron, _CRON_JOB)],
        },
        "spec": deep_copy(template["spec"]),
    }
