"""The container runtime that drives a Docker engine: a pause container per pod, and its containers joined to it."""

import asyncio
import math
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from minikube_py.client.node_connection import ByteStream, LogRequest, StreamRequest, StreamSession
from minikube_py.kubelet.network.protocol import PodNetwork
from minikube_py.kubelet.runtimes import docker_labels as label
from minikube_py.kubelet.runtimes.docker_config import (
    Joined,
    SandboxNetwork,
    container_config,
    limit_options,
    sandbox_config,
)
from minikube_py.kubelet.runtimes.docker_engine import DockerEngine, EngineError
from minikube_py.kubelet.runtimes.docker_events import pod_events
from minikube_py.kubelet.runtimes.docker_images import DockerImages
from minikube_py.kubelet.runtimes.docker_labels import Owner
from minikube_py.kubelet.runtimes.docker_launch import DockerLauncher, inspect_all, remove_container
from minikube_py.kubelet.runtimes.docker_states import (
    container_state,
    is_sandbox,
    pod_states,
    sandbox_state,
    start_error,
)
from minikube_py.kubelet.runtimes.docker_stats import container_stats
from minikube_py.kubelet.runtimes.docker_streams import open_attach, open_exec, read_logs
from minikube_py.kubelet.runtimes.namespace_dial import open_in_namespace
from minikube_py.kubelet.runtimes.pause_image import PAUSE_IMAGE, platform_architecture
from minikube_py.kubelet.runtimes.protocol import (
    CgroupLimits,
    ContainerSpec,
    ContainerState,
    ImageState,
    PodState,
    RegistryCredentials,
    RuntimeFailure,
    RuntimeInfo,
    SandboxSpec,
    SandboxState,
)
from minikube_py.kubelet.runtimes.seccomp_profiles import with_profile

_SANDBOX_STOP_SECONDS = 2.0


@dataclass(frozen=True)
class _SandboxFacts:
    """What joining or dialling a sandbox needs to know."""

    process_id: int
    shares_processes: bool
    runtime_handler: str


def _facts_of(inspected: Mapping[str, Any]) -> _SandboxFacts:
    return _SandboxFacts(
        process_id=int(inspected["State"]["Pid"]),
        shares_processes=inspected["Config"]["Labels"].get(label.SHARES_PROCESSES) == "true",
        runtime_handler=inspected["HostConfig"].get("Runtime") or "",
    )


class DockerRuntime:
    """A ContainerRuntime for one node. `network` must be started before the first sandbox."""

    def __init__(self, owner: Owner, network: PodNetwork, docker_host: str = "") -> None:
        self._owner = owner
        self._network = network
        self._engine = DockerEngine(docker_host)
        self._images = DockerImages(self._engine)
        self._launcher = DockerLauncher(self._engine)
        self._facts: dict[str, _SandboxFacts] = {}
        self._architectures: dict[str, str] = {}
        self._info: RuntimeInfo | None = None

    async def info(self) -> RuntimeInfo:
        found = await self._call("RuntimeUnavailable", lambda client: client.info())
        self._info = RuntimeInfo(
            name="docker",
            version=found["ServerVersion"],
            os_image=found["OperatingSystem"],
            kernel_version=found["KernelVersion"],
            architecture=platform_architecture(found["Architecture"]),
            cpus=int(found["NCPU"]),
            memory_bytes=int(found["MemTotal"]),
        )
        return self._info

    async def list_pods(self) -> list[PodState]:
        return pod_states(await self._inspect_all(self._owner.filters()))

    async def pod_state(self, pod_uid: str) -> PodState | None:
        states = pod_states(await self._inspect_pod(pod_uid))
        return states[0] if states else None

    async def _inspect_pod(self, pod_uid: str) -> list[dict[str, Any]]:
        return await self._inspect_all([*self._owner.filters(), f"{label.POD_UID}={pod_uid}"])

    async def _inspect_all(self, filters: list[str]) -> list[dict[str, Any]]:
        inspected: list[dict[str, Any]] = await self._call("RuntimeUnavailable", partial(inspect_all, filters=filters))
        return inspected

    async def start_sandbox(self, spec: SandboxSpec) -> SandboxState:
        await self._images.ensure_pause()
        ip = "" if spec.host_network else await self._network.reserve(spec.pod.uid, spec.ip)
        network = SandboxNetwork() if spec.host_network else SandboxNetwork(**self._network.sandbox_options(ip))  # type: ignore[arg-type]
        name = label.container_name(label.SANDBOX_CONTAINER, spec.pod, spec.attempt)
        config = sandbox_config(spec, self._owner, ip, network)
        try:
            inspected = await self._launch_sandbox(name, config)
            return await self._attach(inspected, spec)
        except (EngineError, RuntimeFailure) as error:
            await self.stop_sandboxes(spec.pod.uid)
            if ip:
                await self._network.detach("", ip)
            raise RuntimeFailure("CreatePodSandboxError", start_error(error.message)) from error

    async def _launch_sandbox(self, name: str, config: dict[str, Any]) -> dict[str, Any]:
        try:
            return await self._launcher.create_and_start(name, config)
        except EngineError as error:
            if error.status != 404 or PAUSE_IMAGE not in error.message:
                raise
        # Somebody has removed the pause image since it was looked for.
        self._images.forget_pause()
        await self._images.ensure_pause()
        return await self._launcher.create_and_start(name, config)

    async def _attach(self, inspected: dict[str, Any], spec: SandboxSpec) -> SandboxState:
        state = sandbox_state(inspected)
        facts = self._facts[state.id] = _facts_of(inspected)
        if not spec.host_network:
            await self._network.attach(state.id, facts.process_id, state.ips[0] if state.ips else "")
        return state

    async def start_container(self, spec: ContainerSpec, sandbox: SandboxState) -> ContainerState:
        facts = await self._sandbox_facts(sandbox.id)
        spec = await with_profile(spec)
        try:
            config = container_config(
                spec, self._owner, Joined(sandbox.id, facts.shares_processes, facts.runtime_handler)
            )
        except ValueError as error:
            raise RuntimeFailure("CreateContainerConfigError", str(error)) from error
        name = label.container_name(spec.name, spec.pod, spec.restart_count)
        try:
            inspected = await self._launcher.create(name, config)
        except EngineError as error:
            raise RuntimeFailure("CreateContainerError", error.message) from error
        await self._check_architecture(inspected, spec.image)
        if inspected["State"]["Status"] != "created" or inspected["State"].get("Error"):
            return container_state(inspected)
        try:
            return container_state(await self._launcher.start(name, config, inspected))
        except EngineError as error:
            raise RuntimeFailure("RunContainerError", start_error(error.message)) from error

    async def _check_architecture(self, inspected: Mapping[str, Any], reference: str) -> None:
        """Say it before the kernel does: `exec format error` in a log helps nobody."""
        image_id = str(inspected["Image"])
        if image_id not in self._architectures:
            image = await self._images.find(image_id)
            self._architectures[image_id] = image.architecture if image else ""
        made_for = self._architectures[image_id]
        info = self._info or await self.info()
        if made_for in ("", info.architecture) or _can_emulate(made_for, info.os_image):
            return
        await self.remove_container(inspected["Id"])
        raise RuntimeFailure(
            "ImageArchMismatch",
            f'image "{reference}" is built for linux/{made_for}, but this node runs linux/{info.architecture}',
        )

    async def _sandbox_facts(self, sandbox_id: str) -> _SandboxFacts:
        known = self._facts.get(sandbox_id)
        if known is None:
            inspected = await self._call("RuntimeUnavailable", lambda client: client.inspect_container(sandbox_id))
            known = self._facts[sandbox_id] = _facts_of(inspected)
        return known

    async def stop_container(self, container_id: str, grace_seconds: float) -> None:
        seconds = max(0, math.ceil(grace_seconds))
        try:
            # Waits for up to the grace period, so it holds no thread.
            await self._engine.request("POST", f"/containers/{container_id}/stop", {"t": str(seconds)})
        except EngineError as error:
            if error.status not in (304, 404):
                raise RuntimeFailure("KillContainerError", error.message) from error

    async def remove_container(self, container_id: str) -> None:
        self._facts.pop(container_id, None)
        await self._call("RemoveContainerError", partial(remove_container, container_id=container_id))

    async def stop_sandboxes(self, pod_uid: str) -> None:
        inspected = await self._inspect_pod(pod_uid)
        sandboxes = [one for one in inspected if is_sandbox(one)]
        # All at once: nothing graceful is left to do here, and each kill costs the engine some 60 ms.
        await asyncio.gather(
            *(
                self.stop_container(one["Id"], _SANDBOX_STOP_SECONDS if is_sandbox(one) else 0)
                for one in inspected
                if one["State"]["Running"]
            )
        )
        for one in sandboxes:
            self._facts.pop(one["Id"], None)
            await self._detach(one)

    async def _detach(self, inspected: Mapping[str, Any]) -> None:
        ip = inspected["Config"]["Labels"].get(label.POD_IP, "")
        if ip:
            await self._network.detach(inspected["Id"], ip)

    async def remove_pod(self, pod_uid: str) -> None:
        inspected = await self._inspect_pod(pod_uid)
        sandboxes = [one for one in inspected if is_sandbox(one)]
        others = [one["Id"] for one in inspected if not is_sandbox(one)]
        await asyncio.gather(*(self.remove_container(one) for one in others))
        for one in sandboxes:
            await self.remove_container(one["Id"])
            await self._detach(one)

    def events(self) -> AsyncIterator[str]:
        return pod_events(self._engine, self._owner)

    async def image(self, reference: str) -> ImageState | None:
        return await self._images.find(reference)

    async def pull(
        self, reference: str, credentials: tuple[RegistryCredentials, ...], progress: Callable[[str], None]
    ) -> ImageState:
        return await self._images.pull(reference, credentials, progress)

    async def unpack_image(self, image_id: str, directory: Path) -> None:
        await self._images.unpack(image_id, directory)

    async def images(self) -> list[ImageState]:
        try:
            return await self._images.all()
        except EngineError as error:
            raise RuntimeFailure("RuntimeUnavailable", error.message) from error

    async def logs(self, container: ContainerState, request: LogRequest) -> AsyncIterator[bytes]:
        try:
            is_tty = await self._is_tty(container.id)
            async for data in read_logs(self._engine, container.id, request, is_tty=is_tty):
                yield data
        except EngineError as error:
            raise RuntimeFailure("LogsUnavailable", error.message) from error

    async def open_stream(self, container: ContainerState, request: StreamRequest) -> StreamSession:
        try:
            if request.command:
                return await open_exec(self._engine, container.id, request)
            is_tty = await self._is_tty(container.id)
            return await open_attach(self._engine, container.id, request, is_tty=is_tty)
        except EngineError as error:
            raise RuntimeFailure("ExecError" if request.command else "AttachError", error.message) from error

    async def _is_tty(self, container_id: str) -> bool:
        inspected = await self._engine.lifecycle(lambda client: client.inspect_container(container_id))
        return bool(inspected["Config"]["Tty"])

    async def dial(self, sandbox: SandboxState, port: int, host: str = "127.0.0.1") -> ByteStream:
        facts = await self._sandbox_facts(sandbox.id)
        try:
            await self._engine.open()
            if self._engine.address.is_local_engine and os.geteuid() == 0:
                return await open_in_namespace(facts.process_id, host, port)
            return await open_in_namespace(0, sandbox.ips[0] if sandbox.ips else host, port)
        except OSError as error:
            raise RuntimeFailure("DialError", f"cannot connect to port {port} in the pod: {error.strerror}") from error

    async def update_limits(self, container_id: str, limits: CgroupLimits) -> None:
        try:
            await self._engine.request("POST", f"/containers/{container_id}/update", body=limit_options(limits))
        except EngineError as error:
            raise RuntimeFailure("ResizeError", error.message) from error

    async def stats(self) -> dict[str, dict[str, dict[str, float]]]:
        try:
            return await container_stats(self._engine, self._owner)
        except EngineError as error:
            raise RuntimeFailure("RuntimeUnavailable", error.message) from error

    async def close(self) -> None:
        await self._engine.close()

    async def _call(self, reason: str, call: Callable[[Any], Any]) -> Any:
        try:
            return await self._engine.lifecycle(call)
        except EngineError as error:
            raise RuntimeFailure(reason, error.message) from error


def _can_emulate(architecture: str, os_image: str) -> bool:
    """Docker Desktop and its like bring emulators; elsewhere the kernel lists them."""
    if "Docker Desktop" in os_image or "OrbStack" in os_image:
        return True
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(architecture, architecture)
    return os.path.exists(f"/proc/sys/fs/binfmt_misc/qemu-{machine}")
