"""Shows a pod in a table as kubectl users know it: READY, STATUS, RESTARTS, and why it is held back.

Source: kubernetes pkg/printers/internalversion (printPod). WHY is mkube's own column.
"""

from dataclasses import dataclass
from typing import Any

from minikube_py.objects import meta
from minikube_py.objects.conditions import get_condition, is_true
from minikube_py.objects.errors import Object
from minikube_py.resources.printing import AGE, NAME, NONE, age, since, text

COLUMNS = (
    NAME,
    text("Ready", "The aggregate readiness state of this pod for accepting traffic."),
    text("Status", "The aggregate status of the containers in this pod."),
    text("Restarts", "The number of times the containers in this pod have been restarted and when the last container"
         " in this pod has restarted."),
    AGE,
    text("IP", "podIP address allocated to the pod.", wide=True),
    text("Node", "NodeName indicates in which node this pod is scheduled.", wide=True),
    text("Nominated Node", "The node that is being cleared for this pod by preemption.", wide=True),
    text("Readiness Gates", "Conditions beyond its containers' readiness that the pod waits for.", wide=True),
    text("Why", "What holds the pod back, in the words of whoever does.", wide=True),
)  # fmt: skip


def row(pod: Object) -> list[Any]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    state = _State(reason=_first_reason(status))
    _read_init_containers(spec, status, state)
    if not state.is_initializing or is_true(status.get("conditions"), "Initialized"):
        _read_containers(status, state)
    reason = _with_deletion(pod, status, state.reason)
    restarts = str(state.restarts)
    if state.restarts and state.last_restart:
        restarts = f"{restarts} ({since(state.last_restart)} ago)"
    total = len(spec.get("containers") or ()) + len(_sidecars(spec))
    ips = status.get("podIPs") or []
    return [
        meta.name(pod),
        f"{state.ready}/{total}",
        reason,
        restarts,
        age(pod),
        (ips[0].get("ip") if ips else status.get("podIP")) or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _readiness_gates(spec, status),
        why(pod),
    ]


@dataclass
class _State:
    reason: str
    ready: int = 0
    restarts: int = 0
    last_restart: str = ""
    sidecar_restarts: int = 0
    last_sidecar_restart: str = ""
    is_initializing: bool = False


def _first_reason(status: Object) -> str:
    reason = status.get("reason") or status.get("phase") or ""
    scheduled = get_condition(status.get("conditions"), "PodScheduled")
    if scheduled is not None and scheduled.get("reason") == "SchedulingGated":
        return "SchedulingGated"
    return str(reason)


def _sidecars(spec: Object) -> set[str]:
    return {c.get("name", "") for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}


def _last_end(container: Object) -> str:
    terminated = (container.get("lastState") or {}).get("terminated") or {}
    return terminated.get("finishedAt") or ""


def _read_init_containers(spec: Object, status: Object, state: _State) -> None:
    sidecars = _sidecars(spec)
    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        count, end = container.get("restartCount") or 0, _last_end(container)
        state.restarts += count
        state.last_restart = max(state.last_restart, end)
        is_sidecar = container.get("name") in sidecars
        if is_sidecar:
            state.sidecar_restarts += count
            state.last_sidecar_restart = max(state.last_sidecar_restart, end)
        now = container.get("state") or {}
        terminated, waiting = now.get("terminated"), now.get("waiting") or {}
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if is_sidecar and container.get("started"):
            state.ready += 1 if container.get("ready") else 0
            continue
        if terminated is not None:
            state.reason = f"Init:{_ended(terminated)}"
        elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
            state.reason = f"Init:{waiting['reason']}"
        else:
            state.reason = f"Init:{index}/{len(spec.get('initContainers') or ())}"
        state.is_initializing = True
        return


def _ended(terminated: Object) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode') or 0}"


def _read_containers(status: Object, state: _State) -> None:
    state.restarts, state.last_restart = state.sidecar_restarts, state.last_sidecar_restart
    is_any_running = False
    for container in reversed(status.get("containerStatuses") or ()):
        state.restarts += container.get("restartCount") or 0
        state.last_restart = max(state.last_restart, _last_end(container))
        now = container.get("state") or {}
        terminated, waiting = now.get("terminated"), now.get("waiting") or {}
        if waiting.get("reason"):
            state.reason = waiting["reason"]
        elif terminated is not None:
            state.reason = _ended(terminated)
        elif container.get("ready") and now.get("running") is not None:
            is_any_running = True
            state.ready += 1
    if state.reason == "Completed" and is_any_running:
        state.reason = "Running" if is_true(status.get("conditions"), "Ready") else "NotReady"


def _with_deletion(pod: Object, status: Object, reason: str) -> str:
    if not meta.is_deleting(pod):
        return reason
    if status.get("reason") == "NodeLost":
        return "Unknown"
    return reason if status.get("phase") in ("Failed", "Succeeded") else "Terminating"


def _readiness_gates(spec: Object, status: Object) -> str:
    gates = spec.get("readinessGates") or []
    if not gates:
        return NONE
    met = sum(is_true(status.get("conditions"), gate.get("conditionType", "")) for gate in gates)
    return f"{met}/{len(gates)}"


def why(pod: Object) -> str:
    """What holds back a pod that isn't running yet: a container's message, the scheduler's, or the kubelet's."""
    status = pod.get("status") or {}
    for key in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(key) or ():
            waiting = (container.get("state") or {}).get("waiting") or {}
            if waiting.get("message"):
                return str(waiting["message"])
    if status.get("phase") == "Pending":
        for type_ in ("PodScheduled", "PodReadyToStartContainers", "Initialized", "ContainersReady"):
            condition = get_condition(status.get("conditions"), type_)
            if condition is not None and condition.get("status") == "False" and condition.get("message"):
                return str(condition["message"])
    return str(status.get("message") or NONE)
