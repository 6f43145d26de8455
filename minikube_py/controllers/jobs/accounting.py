"""Counts a Job's pods and decides whether the Job is over; pure but for the current time.

Source: pkg/controller/job/job_controller.go. A finished pod keeps a finalizer until it is counted: its UID is written
to status.uncountedTerminatedPods, then the finalizer goes, then the number moves to succeeded or failed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from minikube_py import clock
from minikube_py.controllers.jobs.failure_policy import COUNT, FAIL_INDEX, FAIL_JOB, IGNORE, match_policy
from minikube_py.controllers.jobs.indexes import (
    FAILURE_COUNT,
    index_of,
    indexes_of,
    int_note,
    parse_indexes,
)
from minikube_py.controllers.workloads.pods import is_active, phase
from minikube_py.objects.conditions import get_condition
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import finalizers, is_deleting, uid

FINALIZER = "batch.kubernetes.io/job-tracking"
Outcome = tuple[str, str, str]
"""Condition type (Complete or Failed), reason, message."""


@dataclass
class Tally:
    """A Job's pods, sorted. succeeded and failed are all that ever ended, also those that are gone."""

    active: list[Object] = field(default_factory=list)
    terminating: list[Object] = field(default_factory=list)
    new_succeeded: list[Object] = field(default_factory=list)
    new_failed: list[Object] = field(default_factory=list)
    ignored: list[Object] = field(default_factory=list)
    succeeded: int = 0
    failed: int = 0
    uncounted_succeeded: list[str] = field(default_factory=list)
    uncounted_failed: list[str] = field(default_factory=list)
    succeeded_indexes: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    fail_message: str = ""

    @property
    def all_counted(self) -> bool:
        return not self.uncounted_succeeded and not self.uncounted_failed

    @property
    def total_succeeded(self) -> int:
        return self.succeeded + len(self.uncounted_succeeded)

    @property
    def total_failed(self) -> int:
        return self.failed + len(self.uncounted_failed)


def is_indexed(job: Object) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def replaces_failed_only(job: Object) -> bool:
    return bool(job["spec"].get("podReplacementPolicy") == "Failed")


def parallelism(job: Object) -> int:
    return int(job["spec"].get("parallelism", 1))


def has_failed(job: Object, pod: Object) -> bool:
    """A deleted pod counts as failed at once, unless only pods that really failed are replaced."""
    if phase(pod) == "Failed":
        return True
    if not is_deleting(pod) or phase(pod) == "Succeeded":
        return False
    return not replaces_failed_only(job) or phase(pod) in ("Pending", "")


def tally(job: Object, pods: Sequence[Object]) -> Tally:
    """Sort and count the Job's pods."""
    status = job.get("status") or {}
    before = status.get("uncountedTerminatedPods") or {}
    made = Tally(succeeded=status.get("succeeded") or 0, failed=status.get("failed") or 0)
    made.succeeded_indexes = parse_indexes(status.get("completedIndexes") or "")
    made.failed_indexes = parse_indexes(status.get("failedIndexes") or "")
    held = {uid(pod) for pod in pods if FINALIZER in finalizers(pod)}
    for uids, kept in (
        (before.get("succeeded") or (), made.uncounted_succeeded),
        (before.get("failed") or (), made.uncounted_failed),
    ):
        kept.extend(one for one in uids if one in held)
    made.succeeded += len(before.get("succeeded") or ()) - len(made.uncounted_succeeded)
    made.failed += len(before.get("failed") or ()) - len(made.uncounted_failed)
    known = {*made.uncounted_succeeded, *made.uncounted_failed}
    for pod in pods:
        if is_active(pod):
            made.active.append(pod)
        elif is_deleting(pod) and phase(pod) not in ("Succeeded", "Failed"):
            made.terminating.append(pod)
        if uid(pod) in held and uid(pod) not in known:
            _count_new(job, pod, made)
    return made


def _count_new(job: Object, pod: Object, made: Tally) -> None:
    index = index_of(pod) if is_indexed(job) else None
    if is_indexed(job) and (index is None or index >= job["spec"]["completions"]):
        if not is_active(pod):
            made.ignored.append(pod)
        return
    if phase(pod) == "Succeeded":
        if index is not None and index in made.succeeded_indexes:
            made.ignored.append(pod)
            return
        made.new_succeeded.append(pod)
        made.uncounted_succeeded.append(uid(pod))
        if index is not None:
            made.succeeded_indexes.add(index)
        return
    if not has_failed(job, pod):
        return
    match = match_policy(job, pod) if job["spec"].get("podFailurePolicy") else None
    action = match.action if match is not None else COUNT
    if action == IGNORE:
        made.ignored.append(pod)
        return
    if action == FAIL_JOB and match is not None:
        made.fail_message = made.fail_message or match.message
    made.new_failed.append(pod)
    made.uncounted_failed.append(uid(pod))
    if (
        index is not None
        and job["spec"].get("backoffLimitPerIndex") is not None
        and index not in made.succeeded_indexes
    ):
        if action == FAIL_INDEX or int_note(pod, FAILURE_COUNT) >= job["spec"]["backoffLimitPerIndex"]:
            made.failed_indexes.add(index)


def outcome(job: Object, counts: Tally) -> Outcome | None:
    """Complete or Failed with reason and message, None while the Job goes on."""
    conditions = (job.get("status") or {}).get("conditions")
    for earlier, final in (("FailureTarget", "Failed"), ("SuccessCriteriaMet", "Complete")):
        condition = get_condition(conditions, earlier)
        if condition is not None and condition["status"] == "True":
            return final, condition.get("reason", ""), condition.get("message", "")
    return _failure(job, counts) or _success(job, counts)


def _failure(job: Object, counts: Tally) -> Outcome | None:
    spec = job["spec"]
    limit = spec.get("backoffLimit", 6)
    if counts.fail_message:
        return "Failed", "PodFailurePolicy", counts.fail_message
    if counts.total_failed > limit or _restarted_too_often(job, counts, limit):
        return "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    left = deadline_seconds_left(job)
    if left is not None and left <= 0:
        return "Failed", "DeadlineExceeded", "Job was active longer than specified deadline"
    if is_indexed(job) and spec.get("backoffLimitPerIndex") is not None:
        most = spec.get("maxFailedIndexes")
        if most is not None and len(counts.failed_indexes) > most:
            text = "Job has exceeded the specified maximal number of failed indexes"
            return "Failed", "MaxFailedIndexesExceeded", text
        done = len(counts.failed_indexes) + len(counts.succeeded_indexes)
        if counts.failed_indexes and done >= spec["completions"]:
            return "Failed", "FailedIndexes", "Job has failed indexes"
    return None


def _restarted_too_often(job: Object, counts: Tally, limit: int) -> bool:
    if job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    restarts = 0
    for pod in counts.active:
        status = pod.get("status") or {}
        for entries in (status.get("initContainerStatuses"), status.get("containerStatuses")):
            restarts += sum(entry.get("restartCount") or 0 for entry in entries or ())
    return restarts > 0 if limit == 0 else restarts >= limit


def _success(job: Object, counts: Tally) -> Outcome | None:
    spec = job["spec"]
    rule = _success_rule(job, counts)
    if rule is not None:
        return "Complete", "SuccessPolicy", f"Matched rules at index {rule}"
    text = "Reached expected number of succeeded pods"
    if spec.get("completions") is None:
        # A work queue: the first success ends it once the other workers are through.
        done = counts.total_succeeded > 0 and not counts.active
    elif is_indexed(job):
        done = len(counts.succeeded_indexes) >= spec["completions"]
    else:
        done = counts.total_succeeded >= spec["completions"]
    return ("Complete", "CompletionsReached", text) if done else None


def _success_rule(job: Object, counts: Tally) -> int | None:
    for number, rule in enumerate((job["spec"].get("successPolicy") or {}).get("rules") or ()):
        wanted = parse_indexes(rule["succeededIndexes"]) if rule.get("succeededIndexes") else None
        found = counts.succeeded_indexes if wanted is None else counts.succeeded_indexes & wanted
        needed = rule.get("succeededCount") or (len(wanted) if wanted is not None else 0)
        if needed and len(found) >= needed:
            return number
    return None


def deadline_seconds_left(job: Object) -> float | None:
    seconds, started = job["spec"].get("activeDeadlineSeconds"), (job.get("status") or {}).get("startTime")
    if seconds is None or not started or job["spec"].get("suspend"):
        return None
    return float(clock.parse(started).timestamp() + seconds - clock.seconds())


def wanted_active(job: Object, counts: Tally) -> int:
    """How many pods should run at the same time now."""
    completions: int | None = job["spec"].get("completions")
    if completions is None:
        return len(counts.active) if counts.total_succeeded else parallelism(job)
    done = counts.total_succeeded
    if is_indexed(job):
        done = len(counts.succeeded_indexes | counts.failed_indexes)
    return max(min(completions - done, parallelism(job)), 0)


def free_indexes(job: Object, counts: Tally, count: int) -> list[int]:
    """The first indexes that neither run nor are done."""
    taken = indexes_of(counts.active) | counts.succeeded_indexes | counts.failed_indexes
    if replaces_failed_only(job):
        taken |= indexes_of(counts.terminating)
    found: list[int] = []
    for index in range(job["spec"]["completions"]):
        if len(found) >= count:
            break
        if index not in taken:
            found.append(index)
    return found
