"""Registers the node and keeps its status: written when something changed, and every five minutes as a heartbeat."""

import asyncio
import logging
import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from minikube_py.client.protocol import Client, PatchType, WriteOptions
from minikube_py.kubelet import node_object
from minikube_py.kubelet.kinds import NODES
from minikube_py.kubelet.leases import LeaseTimer
from minikube_py.kubelet.node_object import NodeMachine
from minikube_py.kubelet.node_source import NodeSource
from minikube_py.kubelet.runtimes.protocol import ContainerRuntime, ImageState, RuntimeFailure
from minikube_py.objects.errors import AlreadyExists, ApiError, NotFound, Object
from minikube_py.reconciling.informer import DELETED, InformerEvent

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 300.0

_STATUS = WriteOptions(subresource="status", is_answer_shared=True)
_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 0.2, 10.0
SIMULATED_STORAGE = 1024**4


@dataclass(frozen=True)
class NodeSettings:
    """How the node presents itself. addresses () means the address of the default route, looked up again and again."""

    name: str
    data_dir: Path | None = None
    addresses: tuple[str, ...] = ()
    pod_cidr: str = ""
    extra_labels: dict[str, str] = field(default_factory=dict)
    most_pods: int = node_object.MOST_PODS


class NodeStatus:
    """One node's registration, status and Lease."""

    def __init__(
        self,
        settings: NodeSettings,
        client: Client,
        runtime: ContainerRuntime,
        nodes: NodeSource,
        leases: LeaseTimer,
    ) -> None:
        self._settings = settings
        self._client = client
        self._runtime = runtime
        self._nodes = nodes
        self._leases = leases
        self._machine: NodeMachine | None = None
        self._images: list[ImageState] = []
        self._node: Object | None = None
        self._trouble = ""
        self._look = asyncio.Event()
        self.registered = asyncio.Event()

    @property
    def addresses(self) -> tuple[str, ...]:
        return self._machine.addresses if self._machine is not None else self._settings.addresses

    @property
    def memory_bytes(self) -> int:
        return self._machine.info.memory_bytes if self._machine is not None else 0

    @property
    def node(self) -> Object | None:
        """The Node as the API has it."""
        return self._nodes.get() or self._node

    @property
    def allocatable(self) -> dict[str, str]:
        status = (self.node or {}).get("status") or {}
        found = status.get("allocatable")
        return dict(found) if found else node_object.allocatable(self._machine) if self._machine is not None else {}

    def report(self, trouble: str) -> None:
        """Say that the node cannot run pods now, and why; '' when it can."""
        if trouble != self._trouble:
            self._trouble = trouble
            self._leases.set_healthy(self._settings.name, not trouble)
            self._look.set()

    def images_changed(self) -> None:
        self._look.set()

    async def run(self) -> None:
        """Register, then keep the status until cancelled."""
        await self._until_done(self._register)
        unsubscribe = self._nodes.subscribe(self._told)
        loop = asyncio.get_running_loop()
        heartbeat_at = loop.time() + HEARTBEAT_SECONDS
        try:
            while True:
                try:
                    async with asyncio.timeout_at(heartbeat_at):
                        await self._look.wait()
                except TimeoutError:
                    heartbeat_at = loop.time() + HEARTBEAT_SECONDS
                    await self._until_done(lambda: self._write(is_heartbeat=True))
                    continue
                self._look.clear()
                await self._until_done(lambda: self._write(is_heartbeat=False))
        finally:
            unsubscribe()
            self._leases.remove(self._settings.name)

    def _told(self, event: InformerEvent) -> None:
        """Others may change the status (extended resources); the kubelet completes or repairs it."""
        if event.object["metadata"]["name"] != self._settings.name:
            return
        if event.type == DELETED:
            self._node = None
            return
        before = (event.previous or {}).get("status") or {}
        after = event.object.get("status") or {}
        if any(before.get(k) != after.get(k) for k in ("capacity", "allocatable")):
            self._look.set()

    async def _until_done(self, step: Callable[[], object]) -> None:
        delay = _FIRST_RETRY_SECONDS
        while True:
            try:
                await step()  # type: ignore[misc]
                return
            except (ApiError, OSError, TimeoutError, RuntimeFailure) as error:
                log.warning("node %s: %s", self._settings.name, error)
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_RETRY_SECONDS)

    async def _register(self) -> None:
        self._machine = await self._look_at_machine()
        name = self._settings.name
        wanted = node_object.new_node(name, self._machine)
        status = node_object.node_status(self._machine, self._images, self._trouble)
        try:
            self._node = await self._client.create(NODES, {**wanted, "status": status})
        except AlreadyExists:
            self._node = await self._client.get(NODES, name)
            await self._repair_labels(wanted)
        await self._write(is_heartbeat=False)
        await self._leases.add(name, self._node["metadata"]["uid"], self._client)
        self.registered.set()

    async def _repair_labels(self, wanted: Object) -> None:
        assert self._node is not None
        present = self._node["metadata"].get("labels") or {}
        missing = {k: v for k, v in wanted["metadata"]["labels"].items() if present.get(k) != v}
        patch: Object = {"metadata": {"labels": missing}} if missing else {}
        if wanted["spec"] and not (self._node.get("spec") or {}).get("podCIDR"):
            patch["spec"] = wanted["spec"]
        if patch:
            self._node = await self._client.patch(NODES, self._settings.name, patch)

    async def _write(self, *, is_heartbeat: bool) -> None:
        node = self.node
        if node is None or self._machine is None:
            return
        if is_heartbeat or self.registered.is_set():
            self._machine = await self._look_at_machine()
        old = node.get("status") or {}
        new = node_object.node_status(self._machine, self._images, self._trouble)
        patch = node_object.status_patch(old, new)
        if is_heartbeat:
            patch |= node_object.heartbeat(old, new)
        if not patch:
            return
        try:
            self._node = await self._client.patch(
                NODES, self._settings.name, {"status": patch}, patch_type=PatchType.STRATEGIC, options=_STATUS
            )
        except NotFound:
            self._node = None  # deleted by the user: it stays away until the kubelet starts again
            return
        self._nodes.assume(self._node)

    async def _look_at_machine(self) -> NodeMachine:
        info = await self._runtime.info()
        self._images = await self._runtime.images()
        settings = self._settings
        storage, machine_id, boot_id = SIMULATED_STORAGE, settings.name, settings.name
        hostname = settings.name
        addresses = settings.addresses
        if settings.data_dir is not None:
            storage, machine_id, boot_id = await asyncio.to_thread(_read_host, settings.data_dir)
            addresses = addresses or (default_address(),)
        return NodeMachine(
            info=info,
            addresses=addresses or ("127.0.0.1",),
            hostname=hostname,
            storage_bytes=storage,
            machine_id=machine_id,
            boot_id=boot_id,
            extra_labels=settings.extra_labels,
            most_pods=settings.most_pods,
            pod_cidr=settings.pod_cidr,
        )


def default_address() -> str:
    """The address that this host uses towards others; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _read_host(data_dir: Path) -> tuple[int, str, str]:
    existing = next((p for p in (data_dir, *data_dir.parents) if p.exists()), Path(os.sep))
    return (
        shutil.disk_usage(existing).total,
        _first_line(Path("/etc/machine-id")),
        _first_line(Path("/proc/sys/kernel/random/boot_id")),
    )


def _first_line(path: Path) -> str:
    try:
        return path.read_text().partition("\n")[0].strip()
    except OSError:
        return ""
