"""What every container runtime must do, over the fake one and over a real Docker engine."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import docker
import pytest

from minikube_py.client.node_connection import ContainerAddress, LogRequest, StreamRequest
from minikube_py.kubelet.images import PULL_FAILURES
from minikube_py.kubelet.runtimes.fake import FakeRuntime
from minikube_py.kubelet.runtimes.protocol import (
    CgroupLimits,
    ContainerRuntime,
    ContainerSpec,
    ContainerState,
    PodRef,
    RuntimeFailure,
    SandboxSpec,
    SandboxState,
)
from tests.docker.node import running_node
from tests.support.images import TEST_IMAGE, ensure_test_image

PATIENCE_SECONDS = 20.0
_NUMBERS = itertools.count()


@dataclass
class Bench:
    """One runtime and how a container is told what to do on it."""

    runtime: ContainerRuntime
    is_fake: bool
    started: list[str] = field(default_factory=list)

    async def sandbox(self, **more: Any) -> SandboxState:
        number = next(_NUMBERS)
        ref = PodRef(f"00000000-0000-4000-8000-{number:012d}", "ns", f"pod-{number}")
        self.started.append(ref.uid)
        return await self.runtime.start_sandbox(SandboxSpec(ref, ref.name, **more))

    def spec(self, sandbox: SandboxState, *, says: str = "", ends: int | None = None, **more: Any) -> ContainerSpec:
        """A container that prints a line, then ends with a code, or runs on."""
        last = "exec sleep 1000" if ends is None else f"exit {ends}"
        trap = "trap 'exit 0' TERM; " if ends is None else ""
        script = f"{trap}echo {says}; " if says else trap
        notes = {"fake.mkube.io/log": says} if says else {}
        if ends is not None:
            notes |= {"fake.mkube.io/exit-code": str(ends), "fake.mkube.io/run-seconds": "0"}
        base = ContainerSpec(
            sandbox.pod, "main", TEST_IMAGE, command=("sh", "-c", script + last), annotations=notes, spec_hash="h1"
        )
        return replace(base, **more)

    async def run(self, sandbox: SandboxState, **more: Any) -> ContainerState:
        return await self.runtime.start_container(self.spec(sandbox, **more), sandbox)

    async def newest(self, sandbox: SandboxState) -> ContainerState:
        state = await self.runtime.pod_state(sandbox.pod.uid)
        assert state is not None
        return state.containers[-1]

    async def ended(self, sandbox: SandboxState) -> ContainerState:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for uid in self.runtime.events():
                if uid in ("", sandbox.pod.uid) and (await self.newest(sandbox)).state == "exited":
                    break
        return await self.newest(sandbox)

    async def log(self, container: ContainerState, **options: Any) -> str:
        request = LogRequest(address(container), **options)
        return b"".join([chunk async for chunk in self.runtime.logs(container, request)]).decode()


def address(container: ContainerState) -> ContainerAddress:
    return ContainerAddress(container.pod.namespace, container.pod.name, container.pod.uid, container.name)


@asynccontextmanager
async def fake_bench() -> AsyncIterator[Bench]:
    runtime = FakeRuntime()
    yield Bench(runtime, is_fake=True)
    await runtime.close()


@asynccontextmanager
async def docker_bench() -> AsyncIterator[Bench]:
    client = docker.APIClient(version="auto")
    await asyncio.to_thread(ensure_test_image, client)
    client.close()
    async with running_node() as node:
        yield Bench(node.runtime, is_fake=False)


BENCHES: dict[str, Callable[[], Any]] = {"fake": fake_bench, "docker": docker_bench}


@pytest.fixture(params=["fake", pytest.param("docker", marks=pytest.mark.docker)])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with BENCHES[request.param]() as made:
        yield made


async def test_info_describes_the_machine(bench: Bench) -> None:
    info = await bench.runtime.info()
    assert info.cpus > 0
    assert info.memory_bytes > 0
    assert info.name
    assert info.architecture in ("amd64", "arm64", "arm", "386", "riscv64", "s390x", "ppc64le")


async def test_sandboxes_have_addresses_of_their_own(bench: Bench) -> None:
    first, second = await bench.sandbox(), await bench.sandbox()
    assert first.is_running
    assert len({*first.ips, *second.ips}) == 2
    listed = {state.pod.uid: state for state in await bench.runtime.list_pods()}
    assert listed[first.pod.uid].sandboxes[0].ips == first.ips


async def test_starting_a_sandbox_again_gives_the_same(bench: Bench) -> None:
    first = await bench.sandbox()
    again = await bench.runtime.start_sandbox(SandboxSpec(first.pod, first.pod.name))
    assert (again.id, again.ips) == (first.id, first.ips)


async def test_a_container_runs_and_is_described(bench: Bench) -> None:
    sandbox = await bench.sandbox()
    container = await bench.run(sandbox)
    assert (container.name, container.state, container.restart_count) == ("main", "running", 0)
    assert container.image_id.startswith("sha256:")
    assert container.created_at >= sandbox.created_at
    found = await bench.newest(sandbox)
    assert (found.id, found.pod, found.spec_hash) == (container.id, sandbox.pod, "h1")
    assert found.started_at > 0


async def test_starting_a_container_again_gives_the_same(bench: Bench) -> None:
    sandbox = await bench.sandbox()
    first, second = await bench.run(sandbox), await bench.run(sandbox)
    assert first.id == second.id


@pytest.mark.parametrize("code", [0, 3])
async def test_exit_codes(bench: Bench, code: int) -> None:
    sandbox = await bench.sandbox()
    await bench.run(sandbox, ends=code)
    ended = await bench.ended(sandbox)
    assert (ended.state, ended.exit_code) == ("exited", code)
    assert ended.finished_at >= ended.started_at > 0


async def test_attempts_are_kept_side_by_side(bench: Bench) -> None:
    sandbox = await bench.sandbox()
    await bench.run(sandbox, ends=1)
    await bench.ended(sandbox)
    await bench.run(sandbox, restart_count=1)
    state = await bench.runtime.pod_state(sandbox.pod.uid)
    assert state is not None
    assert [(c.restart_count, c.state) for c in state.containers] == [(0, "exited"), (1, "running")]
    await bench.runtime.remove_container(state.containers[0].id)
    state = await bench.runtime.pod_state(sandbox.pod.uid)
    assert state is not None
    assert [c.restart_count for c in state.containers] == [1]


async def test_stopping_is_safe_to_repeat(bench: Bench) -> None:
    sandbox = await bench.sandbox()
    container = await bench.run(sandbox)
    await bench.runtime.stop_container(container.id, 0)
    await bench.runtime.stop_container(container.id, 0)
    await bench.runtime.stop_container("0" * 64, 0)
    assert (await bench.newest(sandbox)).exit_code == 137


async def test_stopped_sandboxes_leave_dead_containers_and_free_the_address(bench: Bench) -> None:
    sandbox = await bench.sandbox()
    container = await bench.run(sandbox, says="last words", ends=0)
    await bench.ended(sandbox)
    await bench.runtime.stop_sandboxes(sandbox.pod.uid)
    state = await bench.runtime.pod_state(sandbox.pod.uid)
    assert state is not None
    assert not state.sandboxes[-1].is_running
    assert state.sandboxes[-1].ips == ()
    assert await bench.log(container) == "last words\n"
    again = await bench.runtime.start_sandbox(SandboxSpec(sandbox.pod, "h", attempt=1, ip=sandbox.ips[0]))
    assert again.ips == sandbox.ips


async def test_removed_pods_are_gone(bench: Bench) -> None:
    sandbox = await bench.sandbox()
    await bench.run(sandbox)
    await bench.runtime.remove_pod(sandbox.pod.uid)
    await bench.runtime.remove_pod(sandbox.pod.uid)
    assert await bench.runtime.pod_state(sandbox.pod.uid) is None


async def test_events_name_the_pod(bench: Bench) -> None:
    sandbox = await bench.sandbox()
    container = await bench.run(sandbox)
    seen: list[str] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with aclosing(cast(Any, bench.runtime.events())) as events:
            async for uid in events:
                seen.append(uid)
                if uid == "":
                    await bench.runtime.stop_container(container.id, 0)
                elif uid == sandbox.pod.uid and (await bench.newest(sandbox)).state == "exited":
                    break
    assert seen[0] == ""


async def test_logs_with_options(bench: Bench) -> None:
    sandbox = await bench.sandbox()
    container = await bench.run(sandbox, says="hello", ends=0)
    await bench.ended(sandbox)
    assert await bench.log(container) == "hello\n"
    assert await bench.log(container, tail_lines=0) == ""
    assert await bench.log(container, limit_bytes=3) == "hel"
    assert (await bench.log(container, timestamps=True)).endswith("Z hello\n")
    assert await bench.log(container, follow=True) == "hello\n"
    assert await bench.log(container, since_time="2999-01-01T00:00:00Z") == ""


async def test_exec_echoes_and_fails(bench: Bench) -> None:
    sandbox = await bench.sandbox()
    container = await bench.run(sandbox)
    session = await bench.runtime.open_stream(container, StreamRequest(address(container), ("echo", "a", "b")))
    chunk = await session.receive()
    assert chunk is not None
    assert (chunk.channel, chunk.data) == (1, b"a b\n")
    assert await session.receive() is None
    assert (await session.result()).exit_code == 0
    await session.close()
    failing = await bench.runtime.open_stream(container, StreamRequest(address(container), ("false",)))
    assert await failing.receive() is None
    assert (await failing.result()).exit_code == 1
    await failing.close()


async def test_exec_takes_input(bench: Bench) -> None:
    sandbox = await bench.sandbox()
    container = await bench.run(sandbox)
    request = StreamRequest(address(container), ("cat",), stdin=True)
    session = await bench.runtime.open_stream(container, request)
    await session.send(b"ping")
    chunk = await session.receive()
    assert chunk is not None
    assert chunk.data == b"ping"
    await session.close_stdin()
    assert await session.receive() is None
    assert (await session.result()).exit_code == 0
    await session.close()


async def test_exec_needs_a_running_container(bench: Bench) -> None:
    sandbox = await bench.sandbox()
    await bench.run(sandbox, ends=0)
    ended = await bench.ended(sandbox)
    with pytest.raises(RuntimeFailure):
        await bench.runtime.open_stream(ended, StreamRequest(address(ended), ("true",)))


async def test_images(bench: Bench) -> None:
    found = await bench.runtime.image(TEST_IMAGE)
    assert found is not None
    assert found.id.startswith("sha256:")
    assert found.id in {image.id for image in await bench.runtime.images()}
    assert await bench.runtime.image("missing.invalid/nothing:1") is None
    with pytest.raises(RuntimeFailure) as caught:
        await bench.runtime.pull("missing.invalid/nothing:1", (), lambda text: None)
    assert caught.value.reason in PULL_FAILURES


async def test_limits_can_change(bench: Bench) -> None:
    sandbox = await bench.sandbox()
    container = await bench.run(sandbox, limits=CgroupLimits(cpu_shares=128))
    await bench.runtime.update_limits(container.id, CgroupLimits(cpu_shares=256))
    assert (await bench.newest(sandbox)).state == "running"
    with pytest.raises(RuntimeFailure):
        await bench.runtime.update_limits("0" * 64, CgroupLimits(cpu_shares=2))


async def test_container_needs_its_sandbox(bench: Bench) -> None:
    sandbox = await bench.sandbox()
    await bench.runtime.stop_sandboxes(sandbox.pod.uid)
    with pytest.raises(RuntimeFailure):
        await bench.run(sandbox)
