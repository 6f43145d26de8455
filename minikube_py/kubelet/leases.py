"""Renews the Leases of all nodes in this process with one timer: the heartbeat of kube-node-lease."""

import asyncio
import logging
from dataclasses import dataclass

from minikube_py import clock
from minikube_py.client.protocol import SHARED_ANSWER, Client
from minikube_py.kubelet.kinds import LEASES
from minikube_py.objects.errors import AlreadyExists, ApiError, Conflict, NotFound, Object

log = logging.getLogger(__name__)

NAMESPACE = "kube-node-lease"
DURATION_SECONDS = 40
RENEW_SECONDS = 10.0


@dataclass
class _Holder:
    client: Client
    node_uid: str
    lease: Object | None = None
    is_healthy: bool = True


class LeaseTimer:
    """One for a process, however many nodes it has."""

    def __init__(self, renew_seconds: float = RENEW_SECONDS) -> None:
        self._renew_seconds = renew_seconds
        self._holders: dict[str, _Holder] = {}
        self._task: asyncio.Task[None] | None = None

    async def add(self, node_name: str, node_uid: str, client: Client) -> None:
        """Make or renew the node's Lease now, and every few seconds from now on."""
        holder = self._holders[node_name] = _Holder(client, node_uid)
        await self._renew(node_name, holder)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="node leases")

    def set_healthy(self, node_name: str, is_healthy: bool) -> None:
        """A node whose runtime is away lets its Lease run out."""
        if node_name in self._holders:
            self._holders[node_name].is_healthy = is_healthy

    def remove(self, node_name: str) -> None:
        self._holders.pop(node_name, None)
        if not self._holders and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._renew_seconds)
            for name, holder in list(self._holders.items()):
                if holder.is_healthy and name in self._holders:
                    await self._renew(name, holder)

    async def _renew(self, name: str, holder: _Holder) -> None:
        try:
            if holder.lease is None:
                holder.lease = await self._obtain(name, holder)
            lease = {**holder.lease, "spec": {**(holder.lease.get("spec") or {}), **_spec(name)}}
            holder.lease = await holder.client.update(LEASES, lease, options=SHARED_ANSWER)
        except (Conflict, NotFound):
            holder.lease = None  # somebody else wrote or removed it: read it again next time
        except (ApiError, OSError, TimeoutError) as error:
            log.warning("lease of node %s not renewed: %s", name, error)

    async def _obtain(self, name: str, holder: _Holder) -> Object:
        try:
            return await holder.client.get(LEASES, name, NAMESPACE)
        except NotFound:
            pass
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": holder.node_uid}
        lease: Object = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": NAMESPACE, "ownerReferences": [owner]},
            "spec": _spec(name),
        }
        try:
            return await holder.client.create(LEASES, lease, NAMESPACE)
        except AlreadyExists:
            return await holder.client.get(LEASES, name, NAMESPACE)


def _spec(name: str) -> Object:
    return {"holderIdentity": name, "leaseDurationSeconds": DURATION_SECONDS, "renewTime": clock.rfc3339_micro()}
