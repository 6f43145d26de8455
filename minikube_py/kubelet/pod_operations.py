"""The slow steps of a pod's life as coroutines: set up, start a sandbox, start and stop containers, end the pod."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from minikube_py.kubelet import pod_spec
from minikube_py.kubelet.pod_plan import StartContainer, StartSandbox
from minikube_py.kubelet.pod_spec import SIDECAR, PodContainer
from minikube_py.kubelet.runtimes.protocol import ContainerState, PodState, RuntimeFailure, SandboxState
from minikube_py.kubelet.services import PodServices, StartedPod
from minikube_py.objects.errors import Object
from minikube_py.reconciling.recorder import NORMAL, WARNING


@dataclass
class StartProgress:
    """What others may see of a start under way. is_interruptible: ending the pod may cancel it at this point."""

    is_interruptible: bool = True
    text: str = ""


@dataclass
class PodOperations:
    """Operations on one pod. hooks_run remembers the containers whose preStop hook has run."""

    services: PodServices
    hooks_run: set[str] = field(default_factory=set)

    async def start_sandbox(self, pod: Object, action: StartSandbox) -> SandboxState:
        try:
            with self.services.operations.timed("run_podsandbox"):
                spec = await self.services.specs.sandbox(pod, action.attempt, action.ip)
                return await self.services.runtime.start_sandbox(spec)
        except RuntimeFailure as failure:
            text = f"Failed to create pod sandbox: {failure.message}"
            self.services.event(pod, WARNING, "FailedCreatePodSandBox", text)
            raise

    async def start_container(
        self, started: StartedPod, action: StartContainer, progress: StartProgress, changed: Callable[[], None]
    ) -> ContainerState:
        """Pull, create, start, run the postStart hook. Raises RuntimeFailure with the waiting reason."""
        services, container = self.services, action.container

        def show(text: str) -> None:
            progress.text = f"Pulling {text}" if text else ""
            changed()

        image = await services.images.ensure(started.pod, container, show)
        try:
            spec = await services.specs.container(started, container, action.restart_count, image)
        except RuntimeFailure as failure:
            services.event(started.pod, WARNING, "Failed", f"Error: {failure.message}", container)
            raise
        progress.is_interruptible = False
        for container_id in action.remove:
            with services.operations.timed("remove_container"):
                await services.runtime.remove_container(container_id)
        try:
            with services.operations.timed("start_container"):
                state = await services.runtime.start_container(spec, started.sandbox)
        except RuntimeFailure as failure:
            services.event(started.pod, WARNING, "Failed", f"Error: {failure.message}", container)
            raise
        services.event(started.pod, NORMAL, "Created", "Container created", container)
        services.event(started.pod, NORMAL, "Started", "Container started", container)
        hook = (container.spec.get("lifecycle") or {}).get("postStart")
        if hook:
            progress.is_interruptible = True
            changed()
            await self._post_start(started, container, state, hook)
        return state

    async def _post_start(
        self, started: StartedPod, container: PodContainer, state: ContainerState, hook: Object
    ) -> None:
        try:
            await self.services.hooks.run(started, container, state, hook)
        except RuntimeFailure as failure:
            self.services.event(started.pod, WARNING, "FailedPostStartHook", "PostStartHook failed", container)
            grace = pod_spec.grace_seconds(started.pod)
            await self.stop_container(started, container, state, grace, "FailedPostStartHook")
            raise RuntimeFailure("PostStartHookError", failure.message) from failure

    async def stop_container(
        self,
        started: StartedPod | None,
        container: PodContainer | None,
        state: ContainerState,
        grace: int,
        message: str,
    ) -> None:
        """preStop hook, then the stop signal with what is left of the grace period, then the kill."""
        pod = started.pod if started is not None else None
        if pod is not None and container is not None:
            self.services.event(pod, NORMAL, "Killing", message or f"Stopping container {state.name}", container)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        hook = ((container.spec.get("lifecycle") or {}) if container is not None else {}).get("preStop")
        if hook and started is not None and container is not None and grace > 0 and state.id not in self.hooks_run:
            self.hooks_run.add(state.id)
            await self._pre_stop(started, container, state, hook, grace)
        left = deadline - loop.time()
        if grace > 0:
            left = max(left, min(pod_spec.MINIMUM_GRACE_SECONDS, grace))
        with self.services.operations.timed("stop_container"):
            await self.services.runtime.stop_container(state.id, max(left, 0.0))

    async def _pre_stop(
        self, started: StartedPod, container: PodContainer, state: ContainerState, hook: Object, grace: int
    ) -> None:
        try:
            async with asyncio.timeout(grace):
                await self.services.hooks.run(started, container, state, hook)
        except (RuntimeFailure, TimeoutError):
            self.services.event(started.pod, WARNING, "FailedPreStopHook", "PreStopHook failed", container)

    async def end_pod(self, pod: Object, state: PodState | None, grace: int) -> None:
        """Stop the containers, sidecars after the others in reverse order, then the sandbox and its network."""
        if state is None:
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        started = self._started(pod, state)
        running = [c for c in state.containers if c.state == "running"]
        known = {c.name: c for c in pod_spec.all_containers(pod)}
        sidecars = [c.name for c in pod_spec.init_containers(pod) if c.kind == SIDECAR]
        first = [c for c in running if c.name not in sidecars]
        await self._stop_all(started, known, first, grace)
        for name in reversed(sidecars):
            left = max(int(deadline - loop.time()), min(grace, pod_spec.MINIMUM_GRACE_SECONDS))
            await self._stop_all(started, known, [c for c in running if c.name == name], left)
        with self.services.operations.timed("stop_podsandbox"):
            await self.services.runtime.stop_sandboxes(pod["metadata"]["uid"])

    async def _stop_all(
        self,
        started: StartedPod | None,
        known: dict[str, PodContainer],
        containers: Iterable[ContainerState],
        grace: int,
    ) -> None:
        async with asyncio.TaskGroup() as group:
            for state in containers:
                text = f"Stopping container {state.name}"
                group.create_task(self.stop_container(started, known.get(state.name), state, grace, text))

    def _started(self, pod: Object, state: PodState) -> StartedPod | None:
        sandbox = max(state.sandboxes, key=lambda s: s.attempt, default=None)
        return StartedPod(pod, sandbox, self.services.host_ips()) if sandbox is not None else None
