"""Builds `status.containerStatuses` entries of a pod from its facts; pure.

Source: core/v1 ContainerStatus and the kubelet's own wording of reasons.
"""

from minikube_py import clock
from minikube_py.kubelet.pod_facts import PodFacts
from minikube_py.kubelet.pod_spec import EPHEMERAL, INIT, PodContainer
from minikube_py.kubelet.runtimes.protocol import ContainerState
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy

CONTAINER_CREATING = "ContainerCreating"
POD_INITIALIZING = "PodInitializing"

_UNKNOWN_MESSAGE = "The container could not be located when the pod was terminated"


def time_text(epoch_seconds: float) -> str | None:
    return clock.rfc3339_of(epoch_seconds) if epoch_seconds else None


def container_status(facts: PodFacts, container: PodContainer, old: Object | None) -> Object:
    """One ContainerStatus. old is what the API has for this container, for pods that the runtime no longer knows."""
    attempts = _shown(facts, facts.attempts(container.name))
    newest = attempts[-1] if attempts else None
    if newest is None and old is not None and _is_worth_keeping(facts, old):
        return _ended_unseen(facts, old)
    status: Object = {
        "name": container.name,
        "image": (newest.image if newest is not None else "") or container.image,
        "imageID": _image_id(newest),
        "lastState": {},
        "ready": False,
        "restartCount": newest.restart_count if newest is not None else 0,
        "started": False,
        "state": _state(facts, container, newest),
    }
    if newest is not None:
        status["containerID"] = f"docker://{newest.id}"
        if "waiting" in status["state"] and newest.state == "exited":
            status["lastState"] = {"terminated": terminated(facts, newest)}
        elif len(attempts) > 1 and attempts[-2].state == "exited":
            status["lastState"] = {"terminated": terminated(facts, attempts[-2])}
        _add_health(facts, container, newest, status)
        _add_resources(facts, container, newest, status)
    _add_mounts(container, status)
    return status


def _shown(facts: PodFacts, attempts: list[ContainerState]) -> list[ContainerState]:
    """An attempt counts once it runs and its postStart hook has ended: who sees it counted expects it to be ready."""
    if attempts and (attempts[-1].state == "created" or attempts[-1].id in facts.hooked):
        return attempts[:-1]
    return attempts


def terminated(facts: PodFacts, container: ContainerState) -> Object:
    """A ContainerStateTerminated."""
    state: Object = {
        "containerID": f"docker://{container.id}",
        "exitCode": container.exit_code,
        "reason": _why(container),
    }
    if container.signal:
        state["signal"] = container.signal
    message = facts.messages.get(container.id) or container.error
    if message:
        state["message"] = message
    state["startedAt"] = time_text(container.started_at or container.created_at)
    state["finishedAt"] = time_text(container.finished_at)
    return {key: value for key, value in state.items() if value is not None}


def _why(container: ContainerState) -> str:
    if container.was_oom_killed:
        return "OOMKilled"
    if container.exit_code == 0 and not container.error:
        return "Completed"
    return "Error" if container.started_at else "ContainerCannotRun"


def _state(facts: PodFacts, container: PodContainer, newest: ContainerState | None) -> Object:
    if newest is not None and newest.state == "running":
        return {"running": {"startedAt": time_text(newest.started_at)}}
    waiting = facts.waiting.get(container.name)
    if waiting is not None and not facts.is_stopped:
        state = {"reason": waiting.reason}
        if waiting.message:
            state["message"] = waiting.message
        return {"waiting": state}
    if newest is not None and newest.state == "exited":
        return {"terminated": terminated(facts, newest)}
    has_init = bool(facts.pod["spec"].get("initContainers")) and container.kind != EPHEMERAL
    waits: Object = {"reason": POD_INITIALIZING if has_init else CONTAINER_CREATING}
    if facts.sandbox_wait is not None and facts.sandbox_wait.message and not has_init:
        waits = {"reason": facts.sandbox_wait.reason, "message": facts.sandbox_wait.message}
    return {"waiting": waits}


def _image_id(newest: ContainerState | None) -> str:
    if newest is None or not newest.image_id:
        return ""
    return newest.image_id if "://" in newest.image_id else f"docker://{newest.image_id}"


def _add_health(facts: PodFacts, container: PodContainer, newest: ContainerState, status: Object) -> None:
    if newest.state == "running":
        health = facts.health_of(newest)
        status["started"] = health.has_started
        if container.kind == EPHEMERAL:
            status["started"] = status["ready"] = False
        elif container.kind != INIT:
            status["ready"] = status["started"] and health.is_ready and not facts.ending
    elif container.kind == INIT:
        status["ready"] = newest.state == "exited" and newest.exit_code == 0 and "terminated" in status["state"]


def _add_resources(facts: PodFacts, container: PodContainer, newest: ContainerState, status: Object) -> None:
    resources = facts.applied_resources.get(newest.id)
    if newest.state != "running":
        resources = container.spec.get("resources") or {}
    if resources is None:
        return
    status["resources"] = deep_copy({k: v for k, v in resources.items() if k in ("requests", "limits") and v})
    if resources.get("requests") and newest.state == "running":
        status["allocatedResources"] = deep_copy(resources["requests"])


def _add_mounts(container: PodContainer, status: Object) -> None:
    mounts = []
    for mount in container.spec.get("volumeMounts") or ():
        entry = {"name": mount["name"], "mountPath": mount["mountPath"]}
        if mount.get("readOnly"):
            entry |= {"readOnly": True, "recursiveReadOnly": "Disabled"}
        mounts.append(entry)
    if mounts:
        status["volumeMounts"] = mounts


def _is_worth_keeping(facts: PodFacts, old: Object) -> bool:
    """Whether the API knows of a container that the runtime has lost (removed by hand, or the engine was wiped)."""
    state = old.get("state") or {}
    if "terminated" in state:
        return facts.is_stopped or bool((facts.pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"))
    return "running" in state and facts.is_stopped


def _ended_unseen(facts: PodFacts, old: Object) -> Object:
    kept: Object = deep_copy(old)
    kept["ready"], kept["started"] = False, False
    if "running" in (kept.get("state") or {}):
        kept["state"] = {
            "terminated": {
                "containerID": kept.get("containerID", ""),
                "exitCode": 137,
                "reason": "ContainerStatusUnknown",
                "message": _UNKNOWN_MESSAGE,
                "startedAt": kept["state"]["running"].get("startedAt"),
                "finishedAt": clock.rfc3339_of(facts.now),
            }
        }
    return kept
