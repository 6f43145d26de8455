"""Short ways to make pods, runtime states and facts for table tests."""

from typing import Any

from minikube_py.kubelet.pod_facts import Health, PodFacts
from minikube_py.kubelet.resources_of import spec_hash
from minikube_py.kubelet.runtimes.protocol import ContainerState, PodRef, PodState, SandboxState
from minikube_py.objects.errors import Object

NOW = 1_800_000_000.0
REF = PodRef("u", "ns", "p")
READY = Health()
STARTING = Health(has_started=False, is_ready=False)


def container(name: str = "c", **more: Any) -> Object:
    return {"name": name, "image": f"{name}:1", **more}


def pod(*, meta: Object | None = None, status: Object | None = None, **spec: Any) -> Object:
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "generation": 1, **(meta or {})},
        "spec": {"restartPolicy": "Always", "containers": [container()], **spec},
        "status": status or {},
    }


def sandbox(attempt: int = 0, *, is_running: bool = True, at: float = NOW - 1000) -> SandboxState:
    return SandboxState(f"s{attempt}", REF, attempt, is_running, at, ("10.0.0.1",) if is_running else ())


def state(name: str = "c", state: str = "running", count: int = 0, **more: Any) -> ContainerState:
    values: Object = {
        "id": f"{name}-{count}",
        "image": f"{name}:1",
        "image_id": "sha256:1",
        "spec_hash": spec_hash(container(name)),
        "created_at": NOW - 900 + count,
        "started_at": NOW - 900 + count,
    }
    if state == "exited":
        values["finished_at"] = NOW - 100
    return ContainerState(pod=REF, name=name, restart_count=count, state=state, **values | more)


def facts(
    pod: Object, *containers: ContainerState, sandboxes: tuple[SandboxState, ...] | None = None, **more: Any
) -> PodFacts:
    boxes = (sandbox(),) if sandboxes is None else sandboxes
    health = {c.id: READY for c in containers if c.state == "running"}
    values: Object = {"now": NOW, "health": health, "host_ips": ("192.168.0.1",)}
    found = PodState(REF, boxes, containers) if boxes or containers else None
    return PodFacts(pod=pod, state=found, **values | more)
