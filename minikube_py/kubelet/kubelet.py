"""Runs one node: watches its pods, gives each a worker, passes runtime events on, registers the node, cleans up."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minikube_py.client.node_connection import ByteStream, LogRequest, StreamRequest, StreamSession
from minikube_py.client.protocol import Client
from minikube_py.kubelet import pod_spec
from minikube_py.kubelet.assembly import NodeParts, assemble
from minikube_py.kubelet.kinds import SERVICES
from minikube_py.kubelet.leases import LeaseTimer
from minikube_py.kubelet.metrics.pages import NodeMetrics
from minikube_py.kubelet.network.protocol import PodNetwork
from minikube_py.kubelet.node_object import MOST_PODS
from minikube_py.kubelet.node_source import NodeSource, OwnNode
from minikube_py.kubelet.node_status import NodeSettings, NodeStatus
from minikube_py.kubelet.pod_admission import refusal, resize_refusal
from minikube_py.kubelet.pod_source import OwnPods, PodSource
from minikube_py.kubelet.pod_worker import PodWorker
from minikube_py.kubelet.runtimes.protocol import ContainerRuntime, PodState, RuntimeFailure
from minikube_py.kubelet.streams import NodeStreams
from minikube_py.objects.errors import InternalError, Object
from minikube_py.reconciling.informer import DELETED, InformerEvent, InformerSet

log = logging.getLogger(__name__)

_RUNTIME_RETRY_SECONDS = 2.0
_ADOPTION_SECONDS = 10.0


def _addresses_in_use(states: Iterable[PodState]) -> dict[str, str]:
    """Pod address to sandbox id, of all sandboxes that run."""
    return {
        ip: sandbox.id for state in states for sandbox in state.sandboxes if sandbox.is_running for ip in sandbox.ips
    }


@dataclass(frozen=True)
class KubeletOptions:
    """What a node is made from.

    data_dir None: a simulated node, which writes nothing to disk. informers: shared with other parts of this process
    (its client must be allowed to list Services and nodes); None for informers of the node's own identity.
    network: started by the kubelet with the addresses that are in use; its owner closes it, and the runtime.
    """

    node_name: str
    client: Client
    runtime: ContainerRuntime
    data_dir: Path | None = None
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    addresses: tuple[str, ...] = ()
    pod_cidr: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    most_pods: int = MOST_PODS
    is_pod_network_routed: bool = True
    volumes_dir: Path | None = None
    """Where local volumes are kept; None: below data_dir."""

    informers: InformerSet | None = None
    network: PodNetwork | None = None
    leases: LeaseTimer | None = None


class Kubelet:
    """One node. `run` until cancelled; pods run on when it ends. Also the node's NodeConnection."""

    def __init__(self, options: KubeletOptions, pods: PodSource | None = None, node: NodeSource | None = None) -> None:
        """pods, node: shares of watches over all pods and all nodes; None for watches of its own."""
        self.options = options
        self._runtime = options.runtime
        self._workers: dict[str, PodWorker] = {}
        self.network_started = asyncio.Event()
        self._adopted = asyncio.Event()
        self._own_informers = InformerSet(options.client)
        shared = options.informers or self._own_informers
        services = shared.informer(SERVICES)
        self._pods = pods or OwnPods(self._own_informers, options.node_name)
        node = node or OwnNode(self._own_informers, options.node_name)
        settings = NodeSettings(
            name=options.node_name,
            data_dir=options.data_dir,
            addresses=options.addresses,
            pod_cidr=options.pod_cidr,
            extra_labels=dict(options.labels),
            most_pods=options.most_pods,
        )
        leases = options.leases or LeaseTimer()
        self.status = NodeStatus(settings, options.client, options.runtime, node, leases)
        parts = NodeParts(
            node_name=options.node_name,
            client=options.client,
            runtime=options.runtime,
            data_dir=options.data_dir,
            volumes_dir=options.volumes_dir,
            cluster_dns=options.cluster_dns,
            cluster_domain=options.cluster_domain,
            is_pod_network_routed=options.is_pod_network_routed,
            informers=self._own_informers,
            services=services,
            status=self.status,
            pod_changed=self._pod_changed,
            objects_changed=self._objects_changed,
            resize_refusal=self._resize_refusal,
        )
        self._services, self._volumes_cleaner = assemble(parts)
        self._streams = NodeStreams(options.node_name, options.runtime, self._find_pod)
        self._metrics = NodeMetrics(
            node_name=options.node_name,
            runtime=options.runtime,
            operations=self._services.operations,
            pods=lambda: {uid: worker.pod for uid, worker in self._workers.items()},
            figures=self._streams.figures,
            probes=lambda: self._services.health.counts,
            volume_path=self._services.volumes.path_of,
        )

    async def run(self) -> None:
        """Until cancelled. Raises when a part of the kubelet fails for good."""
        unsubscribe: Callable[[], None] = lambda: None  # noqa: E731
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._own_informers.run(), name=f"informers of {self.options.node_name}")
                group.create_task(self.status.run(), name=f"status of {self.options.node_name}")
                await self._pods.wait_synced()
                await self.status.registered.wait()
                states = {state.pod.uid: state for state in await self._list_runtime()}
                if self.options.network is not None:
                    await self.options.network.start(_addresses_in_use(states.values()))
                self.network_started.set()
                unsubscribe = self._subscribe(states)
                self._adopted.set()
                await self._clean_up_orphans(states)
                group.create_task(self._follow_runtime(), name=f"runtime events of {self.options.node_name}")
        finally:
            for worker in self._workers.values():
                worker.close()
            unsubscribe()

    async def logs(self, request: LogRequest) -> AsyncIterator[bytes]:
        await self._has_adopted()
        async for part in self._streams.logs(request):
            yield part

    async def open_stream(self, request: StreamRequest) -> StreamSession:
        await self._has_adopted()
        return await self._streams.open_stream(request)

    async def dial(self, pod_uid: str, port: int) -> ByteStream:
        await self._has_adopted()
        return await self._streams.dial(pod_uid, port)

    async def stats(self) -> dict[str, Any]:
        return await self._streams.stats()

    async def remove_volume(self, handle: str) -> None:
        try:
            await self._services.volumes.remove_local(handle)
        except (OSError, ValueError) as error:
            raise InternalError.of(f"the volume {handle} cannot be removed: {error}") from error

    async def page(self, path: str) -> str:
        return await self._metrics.page(path)

    async def _has_adopted(self) -> None:
        """A kubelet that has just started knows its pods in a moment; until then nobody is told that they are gone."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_ADOPTION_SECONDS):
                await self._adopted.wait()

    def _find_pod(self, uid: str) -> Object | None:
        worker = self._workers.get(uid)
        return worker.pod if worker is not None else None

    def _subscribe(self, states: Mapping[str, PodState]) -> Callable[[], None]:
        """Take in the pods that are there, with what the runtime has of them, then follow the changes."""
        mine = self._pods.list()
        for pod in sorted(mine, key=lambda p: str(p["metadata"].get("creationTimestamp") or "")):
            self._add(pod, states.get(pod["metadata"]["uid"]))
        return self._pods.subscribe(self._told)

    def _told(self, event: InformerEvent) -> None:
        pod = event.object
        worker = self._workers.get(pod["metadata"]["uid"])
        if event.type == DELETED:
            if worker is not None:
                worker.removed()
        elif worker is not None:
            if (pod.get("status") or {}).get("phase") == "Running":
                self._services.operations.pod_runs(pod["metadata"]["uid"])
            worker.update(pod)
        else:
            self._add(pod, None)

    def _add(self, pod: Object, state: PodState | None) -> None:
        uid = pod["metadata"]["uid"]
        worker = PodWorker(pod, self._services, self._ended, state)
        if state is None and not pod_spec.is_terminal(pod) and not pod_spec.is_deleting(pod):
            self._services.operations.pod_seen(uid)
            others = [w.pod for w in self._workers.values() if w.holds_resources]
            refused = refusal(pod, self.status.node, others, self.status.allocatable)
            if refused is not None:
                self._services.event(pod, "Warning", refused.reason, refused.message.removeprefix("Pod was rejected: "))
                worker.end(refused)
        self._workers[uid] = worker
        worker.wake()

    def _ended(self, uid: str) -> None:
        self._workers.pop(uid, None)
        self._services.operations.pod_left(uid)
        for worker in self._workers.values():
            if worker.waits_for_room:
                worker.wake()

    def _resize_refusal(self, pod: Object) -> tuple[str, str] | None:
        uid = pod["metadata"]["uid"]
        others = [w.pod for w in self._workers.values() if w.holds_resources and w.uid != uid]
        return resize_refusal(pod, others, self.status.allocatable)

    def _pod_changed(self, uid: str) -> None:
        worker = self._workers.get(uid)
        if worker is not None:
            worker.wake()

    def _objects_changed(self, uid: str) -> None:
        worker = self._workers.get(uid)
        if worker is not None:
            worker.objects_changed()

    async def _list_runtime(self) -> list[PodState]:
        while True:
            try:
                states = await self._runtime.list_pods()
            except RuntimeFailure as failure:
                self.status.report(f"container runtime is down: {failure.message}")
                await asyncio.sleep(_RUNTIME_RETRY_SECONDS)
                continue
            self.status.report("")
            return states

    async def _clean_up_orphans(self, states: Mapping[str, PodState]) -> None:
        """Remove what the runtime and the disk still have of pods that the API no longer knows."""
        for uid, state in states.items():
            if uid not in self._workers:
                log.info("removing pod %s/%s, which is no longer in the API", state.pod.namespace, state.pod.name)
                try:
                    await self._runtime.stop_sandboxes(uid)
                    await self._runtime.remove_pod(uid)
                except RuntimeFailure as failure:
                    log.warning("pod %s not removed: %s", uid, failure)
        if self._volumes_cleaner is not None:
            await self._volumes_cleaner(set(self._workers))

    async def _follow_runtime(self) -> None:
        is_first = True
        while True:
            try:
                async for uid in self._runtime.events():
                    if uid:
                        worker = self._workers.get(uid)
                        if worker is not None:
                            worker.runtime_changed()
                    elif is_first:
                        is_first = False  # the list that the start was made from is not older than this
                    else:
                        await self._look_at_everything()
            except RuntimeFailure as failure:
                self.status.report(f"container runtime is down: {failure.message}")
            await asyncio.sleep(_RUNTIME_RETRY_SECONDS)

    async def _look_at_everything(self) -> None:
        states = {state.pod.uid: state for state in await self._list_runtime()}
        await self._clean_up_orphans(states)
        for worker in list(self._workers.values()):
            worker.runtime_returned()
