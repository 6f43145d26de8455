"""Reads Docker's inspect answers into the runtime's own states; pure functions."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from minikube_py import clock
from minikube_py.kubelet.runtimes import docker_labels as label
from minikube_py.kubelet.runtimes.protocol import ContainerState, PodState, SandboxState

START_FAILED_EXIT_CODE = 128
"""What Kubernetes reports for a container that could not be started, whatever the runtime says."""

_PREFIX = re.compile(r"^(failed to create (task for container|shim task|shim|containerd task): )+")


def epoch(text: str) -> float:
    """Seconds since the epoch of Docker's timestamp; 0 for Go's zero time and for ''."""
    if not text or text.startswith("0001-"):
        return 0.0
    return clock.parse(text).timestamp()


def start_error(text: str) -> str:
    """Docker's start error without the engine's own lead-in: `OCI runtime create failed: ... exec: "x": ...`."""
    return _PREFIX.sub("", text.strip())


def container_state(inspected: Mapping[str, Any]) -> ContainerState:
    labels: Mapping[str, str] = inspected["Config"].get("Labels") or {}
    state: Mapping[str, Any] = inspected["State"]
    name, exit_code, error = _life(state)
    created_at = epoch(inspected.get("Created", ""))
    failed_to_start = name == "exited" and state["Status"] == "created"
    started_at = 0.0 if name == "created" else epoch(state.get("StartedAt", ""))
    finished_at = created_at if failed_to_start else epoch(state.get("FinishedAt", "")) if name == "exited" else 0.0
    return ContainerState(
        id=inspected["Id"],
        pod=label.pod_ref(labels),
        name=labels.get(label.CONTAINER, ""),
        restart_count=_number(labels.get(label.RESTART_COUNT, "0")),
        state=name,
        image=inspected["Config"].get("Image", ""),
        image_id=_image_id(inspected, labels),
        spec_hash=labels.get(label.SPEC_HASH, ""),
        created_at=created_at,
        started_at=started_at,
        # Docker takes the two times in different threads: a very short run can seem to end before it began.
        finished_at=max(finished_at, started_at) if finished_at else 0.0,
        exit_code=exit_code,
        was_oom_killed=name == "exited" and bool(state.get("OOMKilled")),
        error=error,
    )


def _image_id(inspected: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """By digest where others can pull the image, else the engine's own id."""
    digest = labels.get(label.IMAGE_DIGEST)
    return f"docker-pullable://{digest}" if digest else str(inspected.get("Image", ""))


def _life(state: Mapping[str, Any]) -> tuple[str, int, str]:
    """(created | running | exited, exit code, error)."""
    error = start_error(state.get("Error") or "")
    status = state["Status"]
    if status == "created":
        # Docker leaves a container that could not be started as created, with the error in its state.
        return ("exited", START_FAILED_EXIT_CODE, error) if error else ("created", 0, "")
    if status in ("running", "paused", "restarting"):
        return "running", 0, ""
    never_started = error and not epoch(state.get("StartedAt", ""))
    return "exited", START_FAILED_EXIT_CODE if never_started else int(state.get("ExitCode") or 0), error


def sandbox_state(inspected: Mapping[str, Any]) -> SandboxState:
    labels: Mapping[str, str] = inspected["Config"].get("Labels") or {}
    is_running = inspected["State"]["Status"] == "running"
    ip = labels.get(label.POD_IP, "")
    return SandboxState(
        id=inspected["Id"],
        pod=label.pod_ref(labels),
        attempt=_number(labels.get(label.RESTART_COUNT, "0")),
        is_running=is_running,
        created_at=epoch(inspected.get("Created", "")),
        ips=(ip,) if ip and is_running else (),
    )


def is_sandbox(inspected: Mapping[str, Any]) -> bool:
    labels: Mapping[str, str] = inspected["Config"].get("Labels") or {}
    return labels.get(label.KIND) == label.KIND_SANDBOX


def pod_states(inspected: Iterable[Mapping[str, Any]]) -> list[PodState]:
    """Containers grouped by pod, oldest attempt first."""
    sandboxes: dict[str, list[SandboxState]] = {}
    containers: dict[str, list[ContainerState]] = {}
    for one in inspected:
        if is_sandbox(one):
            sandbox = sandbox_state(one)
            sandboxes.setdefault(sandbox.pod.uid, []).append(sandbox)
        else:
            container = container_state(one)
            containers.setdefault(container.pod.uid, []).append(container)
    states: list[PodState] = []
    for uid in {**sandboxes, **containers}:
        mine = sorted(sandboxes.get(uid, []), key=lambda one: (one.attempt, one.created_at))
        held = sorted(containers.get(uid, []), key=lambda one: (one.name, one.restart_count, one.created_at))
        pod = mine[0].pod if mine else held[0].pod
        states.append(PodState(pod, tuple(mine), tuple(held)))
    return states


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
