"""The container runtime's contract: sandboxes, containers, images, and an event stream.

Every container carries labels that name its cluster, pod, container and attempt, so that a kubelet that starts again
adopts what runs. `docker` and `fake` implement it and pass one contract suite.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from minikube_py.client.node_connection import ByteStream, LogRequest, StreamRequest, StreamSession


class RuntimeFailure(Exception):
    """A runtime call failed. reason is the one the pod's status shows (ErrImagePull, RunContainerError, ...)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class PodRef:
    """Which pod, as labels carry it."""

    uid: str
    namespace: str
    name: str


@dataclass(frozen=True)
class PortMapping:
    """A host port. host_ip '' means every address that the node binds."""

    container_port: int
    host_port: int
    protocol: str = "TCP"
    host_ip: str = ""


@dataclass(frozen=True)
class SandboxSpec:
    """The pause container that owns a pod's network, IPC and UTS namespaces."""

    pod: PodRef
    hostname: str
    attempt: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_process_namespace: bool = False
    sysctls: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[PortMapping, ...] = ()
    ip: str = ""
    """The pod address to use again after a restart, or '' for a new one."""

    runtime_handler: str = ""
    """The engine's name of the runtime that the pod's RuntimeClass asks for; '' for the engine's own choice."""


@dataclass(frozen=True)
class Mount:
    """A bind mount of a host path, or, when host_path is '', a tmpfs of size_bytes (0: no limit)."""

    container_path: str
    host_path: str = ""
    read_only: bool = False
    propagation: str = "rprivate"
    size_bytes: int = 0


@dataclass(frozen=True)
class Security:
    """Container security after pod and container settings are merged. None means the image's or engine's own."""

    user: str = ""
    groups: tuple[int, ...] = ()
    privileged: bool = False
    read_only_root: bool = False
    no_new_privileges: bool = False
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    seccomp: str = ""
    apparmor: str = ""
    masked_paths: bool = True


@dataclass(frozen=True)
class CgroupLimits:
    """cgroup settings. 0 means unset. cpu in shares and microseconds, memory in bytes."""

    cpu_shares: int = 0
    cpu_quota_us: int = 0
    cpu_period_us: int = 100_000
    memory_bytes: int = 0
    oom_score_adj: int = 0
    pids: int = 0


@dataclass(frozen=True)
class ContainerSpec:
    """One container attempt, everything resolved: no references left to the API."""

    pod: PodRef
    name: str
    image: str
    restart_count: int = 0
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    working_dir: str = ""
    mounts: tuple[Mount, ...] = ()
    devices: tuple[str, ...] = ()
    security: Security = Security()
    limits: CgroupLimits = CgroupLimits()
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    pid_target: str = ""
    """The id of the container whose processes this one sees (an ephemeral container's target)."""

    stop_signal: str = ""
    image_digest: str = ""
    """`repository@sha256:...` of the image, by which others can pull the same; '' for a local build."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    spec_hash: str = ""
    """A digest of the pod spec's container, kept as a label: a change means the container is replaced."""


@dataclass(frozen=True)
class SandboxState:
    """A sandbox as the runtime sees it. ips is empty for host-network pods and dead sandboxes."""

    id: str
    pod: PodRef
    attempt: int
    is_running: bool
    created_at: float
    ips: tuple[str, ...] = ()


@dataclass(frozen=True)
class ContainerState:
    """A container as the runtime sees it. state is created, running or exited; times are epoch seconds, 0 if unset."""

    id: str
    pod: PodRef
    name: str
    restart_count: int
    state: str
    image: str
    image_id: str
    spec_hash: str = ""
    created_at: float = 0.0
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    signal: int = 0
    was_oom_killed: bool = False
    error: str = ""


@dataclass(frozen=True)
class PodState:
    """All that the runtime holds of one pod, dead containers included, newest attempt last."""

    pod: PodRef
    sandboxes: tuple[SandboxState, ...] = ()
    containers: tuple[ContainerState, ...] = ()


@dataclass(frozen=True)
class ImageState:
    """A local image. id is `sha256:...`; digests are `repo@sha256:...`; is_local_build: it has no digest."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    size_bytes: int
    user: str = ""
    architecture: str = ""
    os: str = "linux"

    @property
    def is_local_build(self) -> bool:
        return not self.digests

    def digest_of(self, reference: str) -> str:
        """The digest under the repository of the reference, else any; '' for a local build."""
        last = reference.rpartition("/")[2]
        name = reference.removesuffix(last) + last.partition("@")[0].partition(":")[0]
        found = [digest for digest in self.digests if digest.partition("@")[0] == name]
        return next(iter((*found, *self.digests)), "")


@dataclass(frozen=True)
class RegistryCredentials:
    """What imagePullSecrets give for one registry."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry: str = ""


@dataclass(frozen=True)
class RuntimeInfo:
    """For node status."""

    name: str
    version: str
    os_image: str
    kernel_version: str
    architecture: str
    cpus: int
    memory_bytes: int


class ContainerRuntime(Protocol):
    """All calls are safe to repeat. They raise RuntimeFailure."""

    async def info(self) -> RuntimeInfo: ...

    async def list_pods(self) -> list[PodState]:
        """Everything of this cluster and node."""
        ...

    async def pod_state(self, pod_uid: str) -> PodState | None: ...

    async def start_sandbox(self, spec: SandboxSpec) -> SandboxState:
        """Create and start the sandbox with its network; returns once the pod has its address."""
        ...

    async def start_container(self, spec: ContainerSpec, sandbox: SandboxState) -> ContainerState:
        """Create and start one container in the sandbox's namespaces. The image must be present."""
        ...

    async def stop_container(self, container_id: str, grace_seconds: float) -> None:
        """Signal, wait up to grace_seconds, kill. Returns when it is dead; a dead or missing one is fine."""
        ...

    async def remove_container(self, container_id: str) -> None: ...

    async def stop_sandboxes(self, pod_uid: str) -> None:
        """Kill what runs in the pod and release its network and address; dead containers stay for their logs."""
        ...

    async def remove_pod(self, pod_uid: str) -> None:
        """Remove every container and sandbox of the pod."""
        ...

    def events(self) -> AsyncIterator[str]:
        """UIDs of pods in which something changed; '' when anything may have (the runtime was away)."""
        ...

    async def image(self, reference: str) -> ImageState | None: ...

    async def pull(
        self, reference: str, credentials: tuple[RegistryCredentials, ...], progress: Callable[[str], None]
    ) -> ImageState:
        """Raises RuntimeFailure(ErrImagePull, ...). progress gets short texts such as '63%'."""
        ...

    async def images(self) -> list[ImageState]: ...

    def logs(self, container: ContainerState, request: LogRequest) -> AsyncIterator[bytes]: ...

    async def open_stream(self, container: ContainerState, request: StreamRequest) -> StreamSession: ...

    async def dial(self, sandbox: SandboxState, port: int, host: str = "127.0.0.1") -> ByteStream:
        """A TCP connection from inside the pod's network namespace."""
        ...

    async def update_limits(self, container_id: str, limits: CgroupLimits) -> None: ...

    async def stats(self) -> dict[str, dict[str, dict[str, float]]]:
        """{pod uid: {container name: numbers}} of what runs, in the form of `container_cgroups.read_numbers`."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class ImageUnpacker(Protocol):
    """A runtime that can give an image's files; raises RuntimeFailure."""

    async def unpack_image(self, image_id: str, directory: Path) -> None:
        """Write the image's root file system into the empty directory, with its owners and permissions."""
        ...


@runtime_checkable
class SimulatedHealth(Protocol):
    """A runtime without processes to probe says itself when a container counts as ready; the kubelet runs no probes."""

    def ready_at(self, container_id: str) -> float | None: ...


@runtime_checkable
class SimulatedUsage(Protocol):
    """A runtime without processes to measure takes its figures from the pods' annotations as they are now."""

    def simulated_stats(
        self, annotations: Callable[[str], Mapping[str, str]]
    ) -> dict[str, dict[str, dict[str, float]]]:
        """The form of `stats`, with `cpu_nano_cores` and `window`. annotations: those of a pod, by its uid."""
        ...
