"""What every container runtime does alike; the fake one and Docker inherit these tests."""

import asyncio
import uuid
from contextlib import aclosing
from dataclasses import replace

import pytest

from minikube_py.kubelet.runtimes.protocol import (
    ContainerRuntime,
    ContainerSpec,
    PodRef,
    RuntimeFailure,
    SandboxSpec,
    SandboxState,
)

PATIENCE_SECONDS = 15


def new_pod(name: str = "web") -> PodRef:
    return PodRef(str(uuid.uuid4()), "default", name)


class RuntimeSuite:
    """Subclasses give the fixtures `runtime` and `image` (one that is present, and runs until it is told to end)."""

    async def start(self, runtime: ContainerRuntime, image: str) -> tuple[SandboxState, ContainerSpec]:
        pod = new_pod()
        sandbox = await runtime.start_sandbox(SandboxSpec(pod, pod.name))
        spec = ContainerSpec(pod, "main", image, command=("sleep", "1000"), spec_hash="h1")
        await runtime.start_container(spec, sandbox)
        return sandbox, spec

    async def test_a_started_pod_is_listed_with_its_address(self, runtime: ContainerRuntime, image: str) -> None:
        sandbox, spec = await self.start(runtime, image)
        assert len(sandbox.ips) == 1
        assert [one.pod for one in await runtime.list_pods()] == [spec.pod]
        state = await runtime.pod_state(spec.pod.uid)
        assert state is not None
        assert state.sandboxes == (sandbox,)
        container = state.containers[0]
        assert (container.name, container.restart_count, container.state) == ("main", 0, "running")
        assert (container.image, container.spec_hash, container.pod) == (image, "h1", spec.pod)
        assert container.created_at <= container.started_at
        assert container.finished_at == 0.0

    async def test_an_unknown_pod_has_no_state(self, runtime: ContainerRuntime, image: str) -> None:
        assert await runtime.pod_state("nothing") is None
        await runtime.stop_sandboxes("nothing")
        await runtime.remove_pod("nothing")

    async def test_starting_the_same_attempt_again_changes_nothing(self, runtime: ContainerRuntime, image: str) -> None:
        sandbox, spec = await self.start(runtime, image)
        assert await runtime.start_sandbox(SandboxSpec(spec.pod, spec.pod.name, ip=sandbox.ips[0])) == sandbox
        again = await runtime.start_container(spec, sandbox)
        state = await runtime.pod_state(spec.pod.uid)
        assert state is not None
        assert [one.id for one in state.containers] == [again.id]

    async def test_a_stopped_container_stays_with_its_end(self, runtime: ContainerRuntime, image: str) -> None:
        _, spec = await self.start(runtime, image)
        state = await runtime.pod_state(spec.pod.uid)
        assert state is not None
        container_id = state.containers[0].id
        await runtime.stop_container(container_id, 0)
        await runtime.stop_container(container_id, 0)
        state = await runtime.pod_state(spec.pod.uid)
        assert state is not None
        ended = state.containers[0]
        assert (ended.state, ended.id) == ("exited", container_id)
        assert ended.finished_at >= ended.started_at > 0
        await runtime.stop_container("no-such-container", 0)

    async def test_the_next_attempt_is_another_container(self, runtime: ContainerRuntime, image: str) -> None:
        sandbox, spec = await self.start(runtime, image)
        state = await runtime.pod_state(spec.pod.uid)
        assert state is not None
        await runtime.stop_container(state.containers[0].id, 0)
        second = await runtime.start_container(replace(spec, restart_count=1), sandbox)
        state = await runtime.pod_state(spec.pod.uid)
        assert state is not None
        assert [(one.restart_count, one.state) for one in state.containers] == [(0, "exited"), (1, "running")]
        assert state.containers[-1].id == second.id
        await runtime.remove_container(state.containers[0].id)
        await runtime.remove_container(state.containers[0].id)
        state = await runtime.pod_state(spec.pod.uid)
        assert state is not None
        assert [one.restart_count for one in state.containers] == [1]

    async def test_stopped_sandboxes_keep_dead_containers(self, runtime: ContainerRuntime, image: str) -> None:
        _, spec = await self.start(runtime, image)
        await runtime.stop_sandboxes(spec.pod.uid)
        await runtime.stop_sandboxes(spec.pod.uid)
        state = await runtime.pod_state(spec.pod.uid)
        assert state is not None
        assert [(one.is_running, one.ips) for one in state.sandboxes] == [(False, ())]
        assert [one.state for one in state.containers] == ["exited"]

    async def test_a_new_sandbox_attempt_can_keep_the_address(self, runtime: ContainerRuntime, image: str) -> None:
        sandbox, spec = await self.start(runtime, image)
        await runtime.stop_sandboxes(spec.pod.uid)
        second = await runtime.start_sandbox(SandboxSpec(spec.pod, "web", attempt=1, ip=sandbox.ips[0]))
        assert second.ips == sandbox.ips
        state = await runtime.pod_state(spec.pod.uid)
        assert state is not None
        assert [(one.attempt, one.is_running) for one in state.sandboxes] == [(0, False), (1, True)]

    async def test_pods_have_different_addresses(self, runtime: ContainerRuntime, image: str) -> None:
        first, _ = await self.start(runtime, image)
        second, _ = await self.start(runtime, image)
        assert first.ips != second.ips

    async def test_a_removed_pod_is_gone(self, runtime: ContainerRuntime, image: str) -> None:
        _, spec = await self.start(runtime, image)
        await runtime.remove_pod(spec.pod.uid)
        await runtime.remove_pod(spec.pod.uid)
        assert await runtime.list_pods() == []

    async def test_a_host_network_pod_has_no_address_of_its_own(self, runtime: ContainerRuntime, image: str) -> None:
        pod = new_pod()
        sandbox = await runtime.start_sandbox(SandboxSpec(pod, "host", host_network=True))
        assert (sandbox.ips, sandbox.is_running) == ((), True)

    async def test_events_name_the_pod(self, runtime: ContainerRuntime, image: str) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), aclosing(runtime.events()) as events:
            first = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)
            _, spec = await self.start(runtime, image)
            seen = await first
            while seen != spec.pod.uid:
                assert seen == ""
                seen = await anext(events)

    async def test_a_container_without_its_image_fails(self, runtime: ContainerRuntime, image: str) -> None:
        pod = new_pod()
        sandbox = await runtime.start_sandbox(SandboxSpec(pod, pod.name))
        with pytest.raises(RuntimeFailure) as failure:
            await runtime.start_container(ContainerSpec(pod, "main", "missing.invalid/none:1"), sandbox)
        assert failure.value.reason == "CreateContainerError"
        assert "such image" in failure.value.message

    async def test_images(self, runtime: ContainerRuntime, image: str) -> None:
        found = await runtime.image(image)
        assert found is not None
        assert found.id.startswith("sha256:")
        assert found.id in [one.id for one in await runtime.images()]
        assert await runtime.image("missing.invalid/none:1") is None
        with pytest.raises(RuntimeFailure) as failure:
            await runtime.pull("missing.invalid/none:1", (), lambda text: None)
        assert failure.value.reason in ("ErrImagePull", "RegistryUnavailable")

    async def test_info_describes_the_machine(self, runtime: ContainerRuntime, image: str) -> None:
        info = await runtime.info()
        assert info.cpus > 0
        assert info.memory_bytes > 0
        assert info.architecture in ("amd64", "arm64")
