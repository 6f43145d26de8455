"""Answers the API server's questions about this node's pods: logs, exec, attach, port-forward, stats."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from minikube_py.client.node_connection import (
    ByteStream,
    ContainerAddress,
    LogRequest,
    StreamRequest,
    StreamSession,
)
from minikube_py.kubelet import pod_spec
from minikube_py.kubelet.runtimes.protocol import (
    ContainerRuntime,
    ContainerState,
    PodState,
    RuntimeFailure,
    SimulatedUsage,
)
from minikube_py.kubelet.stats_summary import summary
from minikube_py.kubelet.usage import Figures, UsageReader
from minikube_py.objects.errors import BadRequest, InternalError, NotFound, Object
from minikube_py.objects.meta import annotations


class NodeStreams:
    """Implements NodeConnection. find_pod gives the pod object of a uid, or None."""

    def __init__(self, node_name: str, runtime: ContainerRuntime, find_pod: Callable[[str], Object | None]) -> None:
        self._node_name = node_name
        self._runtime = runtime
        self._find_pod = find_pod
        self._usage = UsageReader(self._read_stats)

    async def logs(self, request: LogRequest) -> AsyncIterator[bytes]:
        container = await self._log_source(request)
        try:
            async for chunk in self._runtime.logs(container, request):
                yield chunk
        except RuntimeFailure as failure:
            raise InternalError.of(failure.message) from failure

    async def open_stream(self, request: StreamRequest) -> StreamSession:
        _, state = await self._pod(request.target)
        container = _newest(state, request.target.container)
        if container is None or container.state != "running":
            raise InternalError(f'unable to upgrade connection: container not found ("{request.target.container}")')
        try:
            return await self._runtime.open_stream(container, request)
        except RuntimeFailure as failure:
            raise InternalError.of(failure.message) from failure

    async def dial(self, pod_uid: str, port: int) -> ByteStream:
        state = await self._runtime.pod_state(pod_uid)
        sandbox = max(state.sandboxes, key=lambda s: s.attempt, default=None) if state is not None else None
        if sandbox is None or not sandbox.is_running:
            raise NotFound(f"pod sandbox of pod {pod_uid} is not running")
        try:
            return await self._runtime.dial(sandbox, port)
        except RuntimeFailure as failure:
            raise InternalError.of(failure.message) from failure

    async def stats(self) -> dict[str, Any]:
        """The runtime's figures under the names of the kubelet's /stats/summary."""
        return summary(self._node_name, await self.figures(), self._find_pod)

    async def figures(self) -> Figures:
        """{pod uid: {container: numbers}} with the use per second. Raises InternalError."""
        if isinstance(self._runtime, SimulatedUsage):
            return self._runtime.simulated_stats(self._annotations)
        return await self._usage.figures()

    async def _read_stats(self) -> Figures:
        try:
            return await self._runtime.stats()
        except RuntimeFailure as failure:
            raise InternalError.of(failure.message) from failure

    def _annotations(self, pod_uid: str) -> Mapping[str, str]:
        pod = self._find_pod(pod_uid)
        return annotations(pod) if pod is not None else {}

    async def _pod(self, target: ContainerAddress) -> tuple[Object, PodState | None]:
        pod = self._find_pod(target.pod_uid)
        if pod is None:
            raise NotFound(f'pod "{target.pod}_{target.namespace}" not found')
        return pod, await self._runtime.pod_state(target.pod_uid)

    async def _log_source(self, request: LogRequest) -> ContainerState:
        target = request.target
        pod, state = await self._pod(target)
        if pod_spec.find_container(pod, target.container) is None:
            raise BadRequest(f"container {target.container} is not valid for pod {target.pod}")
        attempts = _attempts(state, target.container)
        if request.previous:
            # The last attempt that has ended: the one before the running one, or the crashed one itself.
            ended = [c for c in attempts if c.state == "exited"]
            is_crashed = bool(attempts) and attempts[-1].state == "exited"
            usable = ended if not is_crashed or _is_restarting(pod, target.container) else ended[:-1]
            if not usable:
                text = f'previous terminated container "{target.container}" in pod "{target.pod}" not found'
                raise BadRequest(text)
            return usable[-1]
        if not attempts:
            reason = _waiting_reason(pod, target.container)
            raise BadRequest(f'container "{target.container}" in pod "{target.pod}" is waiting to start: {reason}')
        return attempts[-1]


def _attempts(state: PodState | None, name: str) -> list[ContainerState]:
    containers = state.containers if state is not None else ()
    return sorted((c for c in containers if c.name == name), key=lambda c: (c.restart_count, c.created_at))


def _newest(state: PodState | None, name: str) -> ContainerState | None:
    attempts = _attempts(state, name)
    return attempts[-1] if attempts else None


def _entry(pod: Object, name: str) -> Object:
    status = pod.get("status") or {}
    for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for entry in status.get(field) or ():
            if entry["name"] == name:
                return dict(entry)
    return {}


def _waiting_reason(pod: Object, name: str) -> str:
    waiting = (_entry(pod, name).get("state") or {}).get("waiting") or {}
    reason = waiting.get("reason") or "ContainerCreating"
    # A failed pull's own words help more than the name of the state.
    if reason in ("ErrImagePull", "ImagePullBackOff"):
        return "trying and failing to pull image"
    return str(reason)


def _is_restarting(pod: Object, name: str) -> bool:
    return "waiting" in (_entry(pod, name).get("state") or {})
