"""Builds a pod's status from its facts: phase, conditions, container statuses, addresses; pure.

Source: pod lifecycle in the Kubernetes documentation; condition reasons and messages are the kubelet's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from minikube_py import clock
from minikube_py.kubelet import pod_spec
from minikube_py.kubelet.container_status import container_status
from minikube_py.kubelet.pod_facts import PodFacts
from minikube_py.kubelet.pod_plan import is_finished, is_resized
from minikube_py.kubelet.pod_spec import INIT, SIDECAR
from minikube_py.objects import conditions as condition_list
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy

_OWNED_FIELDS = {
    "phase", "qosClass", "reason", "message", "hostIP", "hostIPs", "podIP", "podIPs", "startTime", "conditions",
    "observedGeneration", "initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses",
}  # fmt: skip

_STATUS_LISTS = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")


def build_status(facts: PodFacts) -> Object:
    """The pod's whole status. Conditions of others are kept as they are; times move only when something changed."""
    pod = facts.pod
    old: Object = pod.get("status") or {}
    status: Object = {"phase": "Pending", "qosClass": old.get("qosClass") or pod_spec.qos_class(pod)}
    was_never_admitted = _was_never_admitted(facts, old)
    for field, containers in (
        ("initContainerStatuses", pod_spec.init_containers(pod)),
        ("containerStatuses", pod_spec.regular_containers(pod)),
        ("ephemeralContainerStatuses", pod_spec.ephemeral_containers(pod)),
    ):
        if was_never_admitted:
            continue
        known = {s["name"]: s for s in old.get(field) or ()}
        statuses = [container_status(facts, c, known.get(c.name)) for c in containers]
        if statuses:
            status[field] = statuses
    status["phase"] = _phase_to_report(facts, status, old)
    _add_reason(facts, status, old)
    _add_addresses(facts, status, old)
    status["startTime"] = old.get("startTime") or clock.rfc3339_of(facts.now)
    status["conditions"] = _conditions(facts, status, old)
    for field in old.keys() - _OWNED_FIELDS:
        status[field] = deep_copy(old[field])
    generation = pod["metadata"].get("generation")
    if generation:
        status["observedGeneration"] = generation
    return status


def _was_never_admitted(facts: PodFacts, old: Object) -> bool:
    """A pod that the node refused has no containers to speak of; clients then show the reason of the refusal."""
    if facts.state is not None and (facts.state.sandboxes or facts.state.containers):
        return False
    return (facts.ending is not None or old.get("phase") == "Failed") and not old.get("containerStatuses")


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Object:
    """A strategic merge patch from one status to the other; {} when they are equal."""
    patch: Object = {}
    for key in new:
        if old.get(key) == new[key]:
            continue
        if key == "conditions":
            before = {c["type"]: c for c in old.get(key) or ()}
            patch[key] = [
                {**dict.fromkeys(before.get(c["type"], c).keys() - c.keys()), **c}
                for c in new[key]
                if before.get(c["type"]) != c
            ]
        elif key in ("podIPs", "hostIPs"):
            patch[key] = [*new[key], {"$patch": "replace"}]
        else:
            patch[key] = new[key]
    for key in old:
        if key not in new:
            patch[key] = None
    if "conditions" in patch:
        gone = {c["type"] for c in old.get("conditions") or ()} - {c["type"] for c in new["conditions"]}
        patch["conditions"] += [{"type": name, "$patch": "delete"} for name in sorted(gone)]
    return patch


def phase(facts: PodFacts, status: Object) -> str:
    """The phase that the container statuses add up to."""
    pod = facts.pod
    initial = {s["name"]: s for s in status.get("initContainerStatuses") or ()}
    has_begun = any("running" in s["state"] or _has_ended(s) for s in status.get("containerStatuses") or ())
    pending = 0
    for container in pod_spec.init_containers(pod):
        state = initial[container.name]
        if container.kind == SIDECAR:
            pending += not (state["started"] or _has_ended(state) or has_begun)
        elif "terminated" in state["state"]:
            if state["state"]["terminated"]["exitCode"] != 0:
                if is_finished(facts):
                    return "Failed"
                pending += 1
        else:
            pending += not has_begun
    return "Pending" if pending and not has_begun else _phase_of_regular(facts, status)


def _phase_of_regular(facts: PodFacts, status: Object) -> str:
    running = ended = succeeded = waiting = 0
    for state in status.get("containerStatuses") or ():
        if "running" in state["state"]:
            running += 1
        elif "terminated" in state["state"]:
            ended += 1
            succeeded += state["state"]["terminated"]["exitCode"] == 0
        elif "terminated" in (state.get("lastState") or {}):
            ended += 1
        else:
            waiting += 1
    if waiting:
        return "Pending"
    if running or not ended:
        return "Running" if running else "Pending"
    if facts.is_stopped or is_finished(facts):
        return "Succeeded" if ended == succeeded else "Failed"
    return "Running"


def _has_ended(state: Object) -> bool:
    return "terminated" in state["state"] or "terminated" in (state.get("lastState") or {})


def _phase_to_report(facts: PodFacts, status: Object, old: Object) -> str:
    if old.get("phase") in ("Succeeded", "Failed"):
        return str(old["phase"])
    if facts.ending is not None and not _still_runs(facts):
        return "Failed"
    found = phase(facts, status)
    if found in ("Succeeded", "Failed") and not facts.is_stopped:
        # The end is reported once everything of the pod has stopped, so that nobody replaces it too early.
        return str(old.get("phase") or "Running")
    if facts.is_stopped and found not in ("Succeeded", "Failed"):
        return "Failed"
    return found


def _still_runs(facts: PodFacts) -> bool:
    """A controller that saw the pod as failed would replace it: not while containers run."""
    containers = facts.state.containers if facts.state is not None else ()
    return not facts.is_stopped and any(c.state == "running" for c in containers)


def _add_reason(facts: PodFacts, status: Object, old: Object) -> None:
    if facts.ending is not None:
        if _still_runs(facts):
            return
        status["reason"], status["message"] = facts.ending.reason, facts.ending.message
        return
    for field in ("reason", "message"):
        if old.get(field) and old.get("phase") in ("Succeeded", "Failed"):
            status[field] = old[field]


def _add_addresses(facts: PodFacts, status: Object, old: Object) -> None:
    if facts.host_ips:
        status["hostIP"] = facts.host_ips[0]
        status["hostIPs"] = [{"ip": ip} for ip in facts.host_ips]
    sandbox = facts.sandbox
    if sandbox is not None:
        ips = list(facts.host_ips if facts.pod["spec"].get("hostNetwork") else sandbox.ips)
    else:
        ips = [entry["ip"] for entry in old.get("podIPs") or ()]
    if ips:
        status["podIP"] = ips[0]
        status["podIPs"] = [{"ip": ip} for ip in ips]


def _conditions(facts: PodFacts, status: Object, old: Object) -> list[Object]:
    merged: list[Object] = list(old.get("conditions") or ())  # entries are replaced, never changed
    now = clock.rfc3339_of(facts.now)
    generation = facts.pod["metadata"].get("generation")
    wanted = [*_resize_conditions(facts), *_restart_conditions(facts)]
    for name in ("PodResizePending", "PodResizeInProgress"):
        if name not in {c["type"] for c in wanted}:
            condition_list.remove_condition(merged, name)
    for condition in (
        *wanted,
        _ready_to_start(facts),
        _initialized(facts, status),
        _ready(facts, status, merged),
        _containers_ready(facts, status),
        {"type": "PodScheduled", "status": "True"},
    ):
        if generation:
            condition["observedGeneration"] = generation
        condition_list.set_condition(merged, {**condition, "lastTransitionTime": now})
    return merged


def _condition(type_: str, is_true: bool, reason: str = "", message: str = "") -> Object:
    condition: Object = {"type": type_, "status": "True" if is_true else "False"}
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition


def _resize_conditions(facts: PodFacts) -> list[Object]:
    """Whether a change of cpu or memory waits, or is being carried out."""
    if facts.ending is not None or facts.is_stopped:
        return []
    for container in (*pod_spec.init_containers(facts.pod), *pod_spec.regular_containers(facts.pod)):
        current = facts.current(container.name)
        if current is None or current.state != "running" or not is_resized(facts, container, current):
            continue
        if facts.resize_refusal is not None:
            return [_condition("PodResizePending", True, *facts.resize_refusal)]
        return [_condition("PodResizeInProgress", True)]
    return []


def _restart_conditions(facts: PodFacts) -> list[Object]:
    """Whether a restart of all containers is going on, once there was one. Source: KEP-5532."""
    if facts.restart_trigger is None:
        return []
    containers = facts.state.containers if facts.state is not None else ()
    return [
        _condition("AllContainersRestarting", any(c.state == "running" and facts.is_outdated(c) for c in containers))
    ]


def _ready_to_start(facts: PodFacts) -> Object:
    return _condition("PodReadyToStartContainers", facts.sandbox is not None and not facts.is_stopped)


def _initialized(facts: PodFacts, status: Object) -> Object:
    if status["phase"] == "Succeeded":
        return _condition("Initialized", True, "PodCompleted")
    has_begun = any("running" in s["state"] or _has_ended(s) for s in status.get("containerStatuses") or ())
    missing = []
    for container, state in zip(
        pod_spec.init_containers(facts.pod), status.get("initContainerStatuses") or (), strict=True
    ):
        is_done = state["ready"] if container.kind == INIT else state["started"]
        if not is_done:
            missing.append(container.name)
    if has_begun or not missing:
        return _condition("Initialized", True)
    text = f"containers with incomplete status: {_go_list(missing)}"
    return _condition("Initialized", False, "ContainersNotInitialized", text)


def _containers_ready(facts: PodFacts, status: Object, type_: str = "ContainersReady") -> Object:
    if status["phase"] in ("Succeeded", "Failed"):
        return _condition(type_, False, "PodCompleted" if status["phase"] == "Succeeded" else "PodFailed")
    ready = {s["name"] for field in _STATUS_LISTS for s in status.get(field) or () if s["ready"]}
    counted = [c for c in pod_spec.init_containers(facts.pod) if c.kind == SIDECAR]
    unready = [c.name for c in (*counted, *pod_spec.regular_containers(facts.pod)) if c.name not in ready]
    if unready:
        text = f"containers with unready status: {_go_list(unready)}"
        return _condition(type_, False, "ContainersNotReady", text)
    return _condition(type_, True)


def _ready(facts: PodFacts, status: Object, present: Sequence[Object]) -> Object:
    ready = _containers_ready(facts, status, "Ready")
    if ready["status"] != "True":
        return ready
    problems = []
    for gate in facts.pod["spec"].get("readinessGates") or ():
        name = gate["conditionType"]
        found = condition_list.get_condition(present, name)
        if found is None:
            problems.append(f'corresponding condition of pod readiness gate "{name}" does not exist.')
        elif found.get("status") != "True":
            problems.append(f'the status of pod readiness gate "{name}" is not "True", but {found.get("status")}')
    if problems:
        return _condition("Ready", False, "ReadinessGatesNotReady", ", ".join(problems))
    return ready


def _go_list(names: Sequence[str]) -> str:
    return "[" + " ".join(names) + "]"
