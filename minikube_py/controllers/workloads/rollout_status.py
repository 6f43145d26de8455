"""Works out a Deployment's status and conditions from its ReplicaSets; pure but for the current time.

Source: pkg/controller/deployment/progress.go and sync.go.
"""

from collections.abc import Iterable, Sequence

from minikube_py import clock
from minikube_py.controllers.workloads.rollout import (
    counted,
    has_progress_deadline,
    is_complete,
    is_progressing,
    max_unavailable,
    replicas,
)
from minikube_py.controllers.workloads.writing import compact
from minikube_py.objects.conditions import get_condition
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import generation, name

AVAILABLE, PROGRESSING, REPLICA_FAILURE = "Available", "Progressing", "ReplicaFailure"
NEW_AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED, RESUMED = "DeploymentPaused", "DeploymentResumed"


def condition(type_: str, status: str, reason: str, message: str) -> Object:
    now = clock.rfc3339()
    return {
        "type": type_,
        "status": status,
        "lastUpdateTime": now,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }


def put_condition(conditions: list[Object], new: Object) -> None:
    """Deployment's rule: same status and reason change nothing; a changed condition moves to the end."""
    old = get_condition(conditions, new["type"])
    if old is not None:
        if old["status"] == new["status"] and old.get("reason") == new["reason"]:
            return
        if old["status"] == new["status"]:
            new["lastTransitionTime"] = old.get("lastTransitionTime", new["lastTransitionTime"])
    replace_condition(conditions, new)


def replace_condition(conditions: list[Object], new: Object) -> None:
    conditions[:] = [c for c in conditions if c["type"] != new["type"]]
    conditions.append(new)


def basic_status(
    deployment: Object, sets: Sequence[Object], new: Object | None, conditions: Iterable[Object]
) -> Object:
    """Counts, and the Available condition, over the given conditions."""

    def total(field: str) -> int:
        return sum(counted(rs, field) for rs in sets)

    available = total("availableReplicas")
    kept = [dict(c) for c in conditions]
    if available >= replicas(deployment) - max_unavailable(deployment):
        made = condition(AVAILABLE, "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        made = condition(
            AVAILABLE, "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
        )
    put_condition(kept, made)
    status = compact(
        {
            "observedGeneration": generation(deployment),
            "replicas": total("replicas"),
            "updatedReplicas": counted(new, "replicas") if new is not None else 0,
            "readyReplicas": total("readyReplicas"),
            "availableReplicas": available,
            "unavailableReplicas": max(total("replicas") - available, 0),
            "collisionCount": (deployment.get("status") or {}).get("collisionCount"),
            "conditions": kept,
        }
    )
    # A ReplicaSet that hasn't been counted yet leaves the number open.
    if all("terminatingReplicas" in (rs.get("status") or {}) for rs in sets):
        status["terminatingReplicas"] = total("terminatingReplicas")
    return status


def rollout_status(
    deployment: Object, sets: Sequence[Object], new: Object | None, conditions: Iterable[Object]
) -> Object:
    """The status during a rollout: with Progressing and ReplicaFailure."""
    status = basic_status(deployment, sets, new, conditions)
    found: list[Object] = status["conditions"]
    current = get_condition(found, PROGRESSING)
    if not has_progress_deadline(deployment):
        found[:] = [c for c in found if c["type"] != PROGRESSING]
    elif not (
        status.get("replicas", 0) == status.get("updatedReplicas", 0)
        and current is not None
        and current.get("reason") == NEW_AVAILABLE
    ):
        _progress(deployment, status, new, current)
    failures = _failures(sets, new)
    if failures:
        put_condition(found, condition(REPLICA_FAILURE, *failures))
    else:
        found[:] = [c for c in found if c["type"] != REPLICA_FAILURE]
    return status


def _progress(deployment: Object, status: Object, new: Object | None, current: Object | None) -> None:
    conditions: list[Object] = status["conditions"]
    what = f'ReplicaSet "{name(new)}"' if new is not None else f'Deployment "{name(deployment)}"'
    if is_complete(deployment, status):
        made = condition(PROGRESSING, "True", NEW_AVAILABLE, f"{what} has successfully progressed.")
        put_condition(conditions, made)
    elif is_progressing(deployment.get("status") or {}, status):
        made = condition(PROGRESSING, "True", "ReplicaSetUpdated", f"{what} is progressing.")
        if current is not None and current["status"] == "True":
            made["lastTransitionTime"] = current.get("lastTransitionTime", made["lastTransitionTime"])
        # lastUpdateTime restarts the progress deadline, so the condition is replaced even when it says the same.
        replace_condition(conditions, made)
    elif has_timed_out(deployment, current):
        made = condition(PROGRESSING, "False", TIMED_OUT, f"{what} has timed out progressing.")
        put_condition(conditions, made)


def deadline_seconds_left(deployment: Object, current: Object) -> float:
    since = clock.parse(current["lastUpdateTime"]).timestamp()
    return float(since + deployment["spec"]["progressDeadlineSeconds"] - clock.seconds())


def has_timed_out(deployment: Object, current: Object | None) -> bool:
    if current is None or not has_progress_deadline(deployment) or current.get("reason") == NEW_AVAILABLE:
        return False
    return current.get("reason") == TIMED_OUT or deadline_seconds_left(deployment, current) < 0


def seconds_until_check(deployment: Object, status: Object) -> float | None:
    """When the progress deadline has to be looked at although nothing happens."""
    current = get_condition(status.get("conditions"), PROGRESSING)
    if current is None or not has_progress_deadline(deployment) or deployment["spec"].get("paused"):
        return None
    if is_complete(deployment, status) or current.get("reason") == TIMED_OUT:
        return None
    return max(deadline_seconds_left(deployment, current), 0) + 1


def _failures(sets: Sequence[Object], new: Object | None) -> tuple[str, str, str] | None:
    for rs in [*([new] if new is not None else []), *sets]:
        found = get_condition((rs.get("status") or {}).get("conditions"), REPLICA_FAILURE)
        if found is not None and found["status"] == "True":
            return found["status"], found.get("reason", ""), found.get("message", "")
    return None
