"""A container runtime without containers: pods look Running at once, and annotations script how their run goes.

`fake.mkube.io/run-seconds`, `exit-code`, `ready-after-seconds` and `log` (each also with `.<container>` appended) are
read from the annotations that the specs carry. Nothing is scheduled for a container that has no script. What it uses is
in `fake.mkube.io/cpu` and `fake.mkube.io/memory`, which may be changed while it runs.
"""

import asyncio
import hashlib
import ipaddress
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from minikube_py import clock, ids
from minikube_py.client.node_connection import ByteStream, LogRequest, StreamRequest, StreamSession
from minikube_py.kubelet.runtimes.fake_script import SimulatedUse, scripted
from minikube_py.kubelet.runtimes.fake_streams import EchoSession, EchoStream, OutputSession, log_text
from minikube_py.kubelet.runtimes.protocol import (
    CgroupLimits,
    ContainerSpec,
    ContainerState,
    ImageState,
    PodRef,
    PodState,
    RegistryCredentials,
    RuntimeFailure,
    RuntimeInfo,
    SandboxSpec,
    SandboxState,
)

MISSING_REGISTRY = "missing.invalid/"
MISSING_TAGS = ("404", "non-existent", "nonexistent")
GIB = 1024**3


@dataclass(frozen=True)
class FakeRuntimeOptions:
    """What the simulated machine is like."""

    node_name: str = "fake"
    pod_cidr: str = "10.42.0.0/24"
    cpus: int = 32
    memory_bytes: int = 256 * GIB


@dataclass
class _Pod:
    ref: PodRef
    sandboxes: list[SandboxState] = field(default_factory=list)
    containers: dict[str, ContainerState] = field(default_factory=dict)


@dataclass
class _Run:
    """What the script of one container needs while it runs."""

    use: SimulatedUse = field(default_factory=SimulatedUse)
    log: str = ""
    ready_at: float = 0.0
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


def _scripted(spec: ContainerSpec, key: str) -> str | None:
    return scripted(spec.annotations, spec.name, key)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def simulated_info(options: FakeRuntimeOptions) -> RuntimeInfo:
    """What a simulated machine says of itself."""
    return RuntimeInfo(
        name="fake",
        version="1.0.0",
        os_image="mkube simulated node",
        kernel_version="0.0.0-fake",
        architecture="amd64",
        cpus=options.cpus,
        memory_bytes=options.memory_bytes,
    )


class FakeRuntime:
    """Implements ContainerRuntime and SimulatedHealth in memory."""

    def __init__(self, options: FakeRuntimeOptions = FakeRuntimeOptions()) -> None:
        self.options = options
        self.missing_images: set[str] = set()
        """References that cannot be pulled, besides everything under missing.invalid/ and tagged so."""
        self._pods: dict[str, _Pod] = {}
        self._runs: dict[str, _Run] = {}
        self._owners: dict[str, str] = {}
        self._images: dict[str, ImageState] = {}
        self._addresses = self._address_range()
        self._free: list[str] = []
        self._used: set[str] = set()
        self._listeners: list[asyncio.Queue[str]] = []

    async def info(self) -> RuntimeInfo:
        return simulated_info(self.options)

    async def list_pods(self) -> list[PodState]:
        return [self._state(pod) for pod in self._pods.values()]

    async def pod_state(self, pod_uid: str) -> PodState | None:
        pod = self._pods.get(pod_uid)
        return self._state(pod) if pod is not None else None

    async def start_sandbox(self, spec: SandboxSpec) -> SandboxState:
        pod = self._pods.setdefault(spec.pod.uid, _Pod(spec.pod))
        for sandbox in pod.sandboxes:
            if sandbox.attempt == spec.attempt and sandbox.is_running:
                return sandbox
        ips = () if spec.host_network else (self._take_address(spec.ip),)
        sandbox = SandboxState(
            id=ids.secret_hex(32), pod=spec.pod, attempt=spec.attempt, is_running=True,
            created_at=clock.seconds(), ips=ips,
        )  # fmt: skip
        pod.sandboxes.append(sandbox)
        self._owners[sandbox.id] = spec.pod.uid
        self._tell(spec.pod.uid)
        return sandbox

    async def start_container(self, spec: ContainerSpec, sandbox: SandboxState) -> ContainerState:
        pod = self._pods.get(spec.pod.uid)
        if pod is None or not any(s.id == sandbox.id and s.is_running for s in pod.sandboxes):
            raise RuntimeFailure("RunContainerError", f"sandbox {sandbox.id[:12]} is not running")
        for container in pod.containers.values():
            if (container.name, container.restart_count) == (spec.name, spec.restart_count):
                return container
        image = await self.image(spec.image)
        if image is None:
            raise RuntimeFailure("CreateContainerError", f"no such image: {spec.image}")
        now = clock.seconds()
        container = ContainerState(
            id=ids.secret_hex(32), pod=spec.pod, name=spec.name, restart_count=spec.restart_count, state="running",
            image=spec.image, image_id=image.id, spec_hash=spec.spec_hash, created_at=now, started_at=now,
        )  # fmt: skip
        pod.containers[container.id] = container
        self._owners[container.id] = spec.pod.uid
        self._begin_run(container, spec)
        self._tell(spec.pod.uid)
        return container

    async def stop_container(self, container_id: str, grace_seconds: float) -> None:
        self._exit(container_id, exit_code=137 if grace_seconds <= 0 else 143)

    async def remove_container(self, container_id: str) -> None:
        uid = self._owners.pop(container_id, "")
        self._end_run(container_id)
        pod = self._pods.get(uid)
        if pod is not None:
            pod.containers.pop(container_id, None)
            pod.sandboxes = [sandbox for sandbox in pod.sandboxes if sandbox.id != container_id]
            self._tell(uid)

    async def stop_sandboxes(self, pod_uid: str) -> None:
        pod = self._pods.get(pod_uid)
        if pod is None:
            return
        for container_id in list(pod.containers):
            self._exit(container_id, exit_code=137)
        for index, sandbox in enumerate(pod.sandboxes):
            self._give_back(sandbox)
            pod.sandboxes[index] = replace(sandbox, is_running=False, ips=())
        self._tell(pod_uid)

    async def remove_pod(self, pod_uid: str) -> None:
        await self.stop_sandboxes(pod_uid)
        pod = self._pods.pop(pod_uid, None)
        if pod is None:
            return
        for container_id in pod.containers:
            self._owners.pop(container_id, None)
            self._end_run(container_id)
        for sandbox in pod.sandboxes:
            self._owners.pop(sandbox.id, None)
        self._tell(pod_uid)

    async def events(self) -> AsyncIterator[str]:
        queue: asyncio.Queue[str] = asyncio.Queue()
        self._listeners.append(queue)
        try:
            yield ""
            while True:
                yield await queue.get()
        finally:
            self._listeners.remove(queue)

    async def image(self, reference: str) -> ImageState | None:
        if self._is_missing(reference):
            return None
        state = self._images.get(reference)
        if state is None:
            digest = "sha256:" + hashlib.sha256(reference.encode()).hexdigest()
            name = reference.partition("@")[0]
            state = ImageState(
                id=digest, tags=(name,), digests=(f"{name.rpartition(':')[0] or name}@{digest}",),
                size_bytes=1024 * 1024, architecture="amd64",
            )  # fmt: skip
            self._images[reference] = state
        return state

    async def pull(
        self, reference: str, credentials: tuple[RegistryCredentials, ...], progress: Callable[[str], None]
    ) -> ImageState:
        progress("100%")
        state = await self.image(reference)
        if state is None:
            raise RuntimeFailure("ErrImagePull", f'failed to pull and unpack image "{reference}": not found')
        return state

    async def images(self) -> list[ImageState]:
        return list(self._images.values())

    async def logs(self, container: ContainerState, request: LogRequest) -> AsyncIterator[bytes]:
        run = self._runs.get(container.id)
        if run is None:
            return
        text = log_text(run.log, container.started_at, request)
        if text:
            yield text
        if request.follow:
            await run.ended.wait()

    async def open_stream(self, container: ContainerState, request: StreamRequest) -> StreamSession:
        run = self._runs.get(container.id)
        if run is None or run.ended.is_set():
            raise RuntimeFailure("ContainerNotRunning", f'container "{container.name}" is not running')
        if request.command in (("cat",), ("sh",), ("/bin/sh",)) and request.stdin:
            return EchoSession()
        if request.command:
            return OutputSession.of_command(request.command)
        return OutputSession(run.log.encode(), until=run.ended)

    async def dial(self, sandbox: SandboxState, port: int, host: str = "127.0.0.1") -> ByteStream:
        if not sandbox.is_running:
            raise RuntimeFailure("SandboxNotRunning", f"sandbox {sandbox.id[:12]} is not running")
        return EchoStream()

    async def update_limits(self, container_id: str, limits: CgroupLimits) -> None:
        if container_id not in self._owners:
            raise RuntimeFailure("ContainerNotFound", f"no such container: {container_id}")

    async def stats(self) -> dict[str, dict[str, dict[str, float]]]:
        return self.simulated_stats(lambda _uid: {})

    def simulated_stats(
        self, annotations: Callable[[str], Mapping[str, str]]
    ) -> dict[str, dict[str, dict[str, float]]]:
        """SimulatedUsage: every container uses what `fake.mkube.io/cpu` and `fake.mkube.io/memory` say."""
        found: dict[str, dict[str, dict[str, float]]] = {}
        for uid, pod in self._pods.items():
            running = [c for c in pod.containers.values() if c.state == "running"]
            if running:
                script = annotations(uid)
                found[uid] = {c.name: self._runs[c.id].use.read(c, script) for c in running}
        return found

    async def close(self) -> None:
        for run in self._runs.values():
            for timer in run.timers:
                timer.cancel()

    def ready_at(self, container_id: str) -> float | None:
        """SimulatedHealth: when the container starts to count as ready; None when it is not known."""
        run = self._runs.get(container_id)
        return run.ready_at if run is not None else None

    def _state(self, pod: _Pod) -> PodState:
        return PodState(pod.ref, tuple(pod.sandboxes), tuple(pod.containers.values()))

    def _is_missing(self, reference: str) -> bool:
        if reference in self.missing_images or reference.startswith(MISSING_REGISTRY):
            return True
        return reference.rpartition(":")[2] in MISSING_TAGS

    def _begin_run(self, container: ContainerState, spec: ContainerSpec) -> None:
        run = self._runs[container.id] = _Run(log=_scripted(spec, "log") or "")
        loop = asyncio.get_running_loop()
        ready_after = _number(_scripted(spec, "ready-after-seconds"))
        if ready_after:
            run.ready_at = container.started_at + ready_after
            run.timers.append(loop.call_later(ready_after, self._tell, spec.pod.uid))
        code = _number(_scripted(spec, "exit-code"))
        run_seconds = _number(_scripted(spec, "run-seconds"))
        if run_seconds is not None or code is not None:
            run.timers.append(loop.call_later(run_seconds or 0.0, self._exit, container.id, int(code or 0)))

    def _exit(self, container_id: str, exit_code: int) -> None:
        uid = self._owners.get(container_id, "")
        pod = self._pods.get(uid)
        container = pod.containers.get(container_id) if pod is not None else None
        if pod is None or container is None or container.state == "exited":
            return
        pod.containers[container_id] = replace(
            container, state="exited", exit_code=exit_code, finished_at=clock.seconds()
        )
        run = self._runs[container_id]
        run.ended.set()
        for timer in run.timers:
            timer.cancel()
        run.timers.clear()
        self._tell(uid)

    def _end_run(self, container_id: str) -> None:
        run = self._runs.pop(container_id, None)
        if run is not None:
            run.ended.set()
            for timer in run.timers:
                timer.cancel()

    def _tell(self, pod_uid: str) -> None:
        for queue in self._listeners:
            queue.put_nowait(pod_uid)

    def _address_range(self) -> Iterator[str]:
        network = ipaddress.ip_network(self.options.pod_cidr)
        # The first two addresses are the network's own and the node's, as on a real pod bridge.
        return (str(network[index]) for index in range(2, network.num_addresses - 1))

    def _take_address(self, wanted: str) -> str:
        if wanted and wanted not in self._used and self._is_ours(wanted):
            if wanted in self._free:
                self._free.remove(wanted)
            self._used.add(wanted)
            return wanted
        for address in self._addresses:
            if address not in self._used:
                self._used.add(address)
                return address
        if not self._free:
            raise RuntimeFailure("FailedCreatePodSandBox", f"no address is free in {self.options.pod_cidr}")
        address = self._free.pop(0)
        self._used.add(address)
        return address

    def _is_ours(self, address: str) -> bool:
        return ipaddress.ip_address(address) in ipaddress.ip_network(self.options.pod_cidr)

    def _give_back(self, sandbox: SandboxState) -> None:
        for address in sandbox.ips:
            if address in self._used:
                self._used.discard(address)
                self._free.append(address)
