"""What a pod worker works with: the seams to runtime, API, images, volumes, probes, and the node's own facts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from minikube_py.client.protocol import Client
from minikube_py.kubelet.metrics.operations import OperationCounts
from minikube_py.kubelet.pod_spec import PodContainer
from minikube_py.kubelet.runtimes.protocol import (
    ContainerRuntime,
    ContainerSpec,
    ContainerState,
    ImageState,
    Mount,
    SandboxSpec,
    SandboxState,
)
from minikube_py.objects.errors import Object
from minikube_py.reconciling.recorder import EventRecorder, reference


class PodVolumes(Protocol):
    """Makes the volumes and files of pods. Failures are RuntimeFailure with the event's reason and message."""

    async def set_up(self, pod: Object) -> None: ...

    async def refresh(self, pod: Object) -> None:
        """Bring changing volumes (ConfigMap, Secret, projected, downward) of a running pod up to date."""
        ...

    def refresh_at(self, pod_uid: str) -> float:
        """When a token must be renewed, epoch seconds; 0 for never."""
        ...

    async def mounts(self, pod: Object, container: PodContainer, environment: dict[str, str]) -> tuple[Mount, ...]: ...

    async def read_file(self, pod: Object, volume: str, path: str) -> str | None:
        """A small text file in one of the pod's volumes, opened without following links; None if it is not there."""
        ...

    async def remove_local(self, handle: str) -> None:
        """Delete the data of a local volume, of no pod's any more. Raises OSError or ValueError."""
        ...

    def path_of(self, pod_uid: str, volume: str) -> Path | None:
        """Where a volume that is ready is on this machine; None for one that is nowhere."""
        ...

    async def tear_down(self, pod_uid: str) -> None:
        """Remove everything of the pod from the disk."""
        ...


class ImageSource(Protocol):
    """Makes images present after the pull policy."""

    async def ensure(self, pod: Object, container: PodContainer, progress: Callable[[str], None]) -> ImageState: ...

    def forget_back_off(self, pod_uid: str) -> None: ...


@dataclass(frozen=True)
class StartedPod:
    """A pod with its running sandbox. running: ids of the containers that run, by name."""

    pod: Object
    sandbox: SandboxState
    host_ips: tuple[str, ...]
    running: Mapping[str, str] = field(default_factory=dict)

    @property
    def ips(self) -> tuple[str, ...]:
        return self.host_ips if self.pod["spec"].get("hostNetwork") else self.sandbox.ips


class SpecBuilder(Protocol):
    """Resolves everything that a container or sandbox refers to."""

    async def container(
        self, started: StartedPod, container: PodContainer, restart_count: int, image: ImageState
    ) -> ContainerSpec: ...

    async def sandbox(self, pod: Object, attempt: int, ip: str) -> SandboxSpec: ...


class HookRunner(Protocol):
    """Runs lifecycle hooks; raises RuntimeFailure when one fails."""

    async def run(self, started: StartedPod, container: PodContainer, state: ContainerState, hook: Object) -> None: ...


class HealthSource(Protocol):
    """Probes containers. changed(pod uid) is called when a verdict changes."""

    def watch(self, started: StartedPod, running: Sequence[tuple[PodContainer, ContainerState]]) -> None:
        """Probe exactly these containers of the pod from now on."""
        ...

    def health(self, container: ContainerState) -> Any:
        """The pod_facts.Health of a running container."""
        ...

    def begin_end(self, pod_uid: str) -> None:
        """The pod is being stopped: only readiness still matters."""
        ...

    def forget(self, pod_uid: str) -> None: ...

    @property
    def counts(self) -> Mapping[tuple[str, str, str, str], int]:
        """How often probes ended how: (pod uid, container, probe type, result)."""
        ...


@dataclass(frozen=True)
class PodServices:
    """Everything that is shared by the pod workers of one node."""

    node_name: str
    client: Client
    runtime: ContainerRuntime
    volumes: PodVolumes
    images: ImageSource
    specs: SpecBuilder
    hooks: HookRunner
    health: HealthSource
    recorder: EventRecorder
    host_ips: Callable[[], tuple[str, ...]]
    pods_directory: Path | None
    """Where pods keep their files; None on a simulated node, which has none."""

    release: Callable[[str], None]
    """Called with the pod's uid when its worker needs no API objects any more."""

    operations: OperationCounts
    """Counts the calls to the runtime."""

    resize_refusal: Callable[[Object], tuple[str, str] | None]
    """(reason, message) why the node cannot give the pod what its spec asks for now; None when it can."""

    def event(self, pod: Object, type_: str, reason: str, message: str, container: PodContainer | None = None) -> None:
        """Record an event about the pod or one of its containers."""
        pod = pod if pod.get("kind") else {"kind": "Pod", "apiVersion": "v1", **pod}
        path = container.field_path if container is not None else ""
        self.recorder.event_for(reference(pod, path), type_, reason, message)
