"""A kubelet stand-in: nodes that report, and pods that run, become ready, finish as annotated, and end when deleted."""

import asyncio
from contextlib import suppress
from typing import Any

from minikube_py import clock
from minikube_py.client.protocol import Client, DeleteOptions, PatchType, WriteOptions
from minikube_py.objects.errors import Conflict, NotFound, Object
from minikube_py.objects.meta import annotations, deep_copy, is_deleting, name, namespace, uid
from minikube_py.reconciling.informer import DELETED, InformerEvent, InformerSet
from minikube_py.resources.kind import GVR

PODS, NODES = GVR("", "v1", "pods"), GVR("", "v1", "nodes")
LEASES = GVR("coordination.k8s.io", "v1", "leases")
STATUS = WriteOptions(subresource="status")
RUN_SECONDS, EXIT_CODE = "fake.mkube.io/run-seconds", "fake.mkube.io/exit-code"
NEVER_READY = "stub.mkube.io/never-ready"


class NodeStub:
    """All nodes of a test. A node in `lost` neither reports nor runs anything."""

    def __init__(
        self, client: Client, informers: InformerSet, *, start_seconds: float = 1.0, heartbeats: bool = True
    ) -> None:
        self.client = client
        self.lost: set[str] = set()
        self.start_seconds = start_seconds
        self._informers = informers
        self._heartbeats = heartbeats
        self._seen: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._addresses = 0

    async def add_node(self, node: str, *, cpu: str = "32", memory: str = "256Gi", **metadata: Any) -> None:
        labels = {"kubernetes.io/hostname": node, **metadata.pop("labels", {})}
        made = await self.client.create(
            NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "labels": labels}, **metadata}
        )
        amounts = {"cpu": cpu, "memory": memory, "pods": "110"}
        status = {"capacity": amounts, "allocatable": amounts, "conditions": [_ready(made)]}
        await self._write(made, status)
        lease = {"metadata": {"name": node, "namespace": "kube-node-lease"}, "spec": {"holderIdentity": node}}
        await self.client.create(LEASES, lease, "kube-node-lease")
        assert self._group is not None
        if self._heartbeats:
            self._group.create_task(self._renew(node))

    async def run(self) -> None:
        pods = self._informers.informer(PODS)
        async with asyncio.TaskGroup() as group:
            self._group = group
            pods.subscribe(self._pod_changed)
            await asyncio.Event().wait()

    async def _renew(self, node: str) -> None:
        while True:
            await asyncio.sleep(10)
            if node in self.lost:
                continue
            with suppress(NotFound, Conflict):
                lease = deep_copy(await self.client.get(LEASES, node, "kube-node-lease"))
                lease["spec"]["renewTime"] = clock.rfc3339_micro()
                await self.client.update(LEASES, lease)
                current = await self.client.get(NODES, node)
                if any(c["type"] == "Ready" and c["status"] != "True" for c in current["status"]["conditions"]):
                    status = deep_copy(current["status"])
                    status["conditions"] = [_ready(current)]
                    await self._write(current, status)

    def _pod_changed(self, event: InformerEvent) -> None:
        pod = event.object
        assert self._group is not None
        if event.type == DELETED or not pod["spec"].get("nodeName") or pod["spec"]["nodeName"] in self.lost:
            return
        if is_deleting(pod):
            running = self._seen.pop(uid(pod), None)
            if running is not None:
                running.cancel()
            self._group.create_task(self._end(pod))
        elif uid(pod) not in self._seen:
            self._seen[uid(pod)] = self._group.create_task(self._live(pod))

    async def _live(self, pod: Object) -> None:
        await asyncio.sleep(self.start_seconds)
        notes = annotations(pod)
        self._addresses += 1
        ip = f"10.42.{self._addresses // 250}.{self._addresses % 250 + 1}"
        ready = NEVER_READY not in notes
        await self._set(pod, "Running", ready, {"podIP": ip, "podIPs": [{"ip": ip}], "startTime": clock.rfc3339()})
        if RUN_SECONDS in notes:
            await asyncio.sleep(float(notes[RUN_SECONDS]))
            code = int(notes.get(EXIT_CODE, "0"))
            await self._set(pod, "Failed" if code else "Succeeded", False, _terminated(pod, code))

    async def _set(self, pod: Object, phase: str, ready: bool, more: Object) -> None:
        with suppress(NotFound):
            now = clock.rfc3339()
            conditions = [
                {"type": kind, "status": "True" if ready else "False", "lastTransitionTime": now}
                for kind in ("Ready", "ContainersReady")
            ]
            patch = {"status": {"phase": phase, "conditions": conditions, **more}}

            await self.client.patch(
                PODS, name(pod), patch, namespace(pod), patch_type=PatchType.STRATEGIC, options=STATUS
            )

    async def _end(self, pod: Object) -> None:
        await asyncio.sleep(self.start_seconds / 2)
        with suppress(NotFound, Conflict):
            options = DeleteOptions(grace_seconds=0, uid=uid(pod))
            await self.client.delete(PODS, name(pod), namespace(pod), options=options)

    async def _write(self, node: Object, status: Object) -> None:
        await self.client.patch(NODES, name(node), {"status": status}, patch_type=PatchType.STRATEGIC, options=STATUS)


def _ready(node: Object) -> Object:
    now = clock.rfc3339()
    return {
        "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status",
        "lastHeartbeatTime": now, "lastTransitionTime": now,
    }  # fmt: skip


def _terminated(pod: Object, code: int) -> Object:
    now = clock.rfc3339()
    state = {
        "terminated": {
            "exitCode": code,
            "reason": "Error" if code else "Completed",
            "startedAt": now,
            "finishedAt": now,
        }
    }
    return {
        "containerStatuses": [
            {"name": c["name"], "image": c["image"], "imageID": "", "ready": False, "restartCount": 0, "state": state}
            for c in pod["spec"]["containers"]
        ]
    }
