"""Binds the unbound claims of a pod once its node is chosen, and waits until they are bound.

Source: pkg/scheduler/framework/plugins/volumebinding/binder.go. The volume controller finishes what is started here.
"""

import asyncio

from minikube_py.client.protocol import Client, PatchType
from minikube_py.objects.errors import Conflict, Object
from minikube_py.objects.meta import key, name, uid
from minikube_py.scheduler.claims import SELECTED_NODE, find_volume, is_bound, sort_claims
from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.views import CLAIMS, VOLUMES, CachedStorage

BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"


class VolumeBinder:
    def __init__(self, client: Client, storage: CachedStorage) -> None:
        self._client = client
        self._storage = storage

    async def bind(self, pod: PodInfo, node: NodeInfo, timeout_seconds: float = 600.0) -> None:
        """Raises ApiError or TimeoutError when a claim doesn't get its volume."""
        claims = sort_claims(pod, self._storage)
        if not claims.waiting:
            return
        taken: set[str] = set()
        for claim in claims.waiting:
            volume = find_volume(claim, self._storage.volumes(), node, taken)
            if volume is not None:
                taken.add(name(volume))
                await self._reserve(volume, claim)
            else:
                await self._select_node(claim, node)
        async with asyncio.timeout(timeout_seconds):
            for claim in claims.waiting:
                await self._wait_bound(claim)

    async def _reserve(self, volume: Object, claim: Object) -> None:
        namespace, claim_name = key(claim)
        reference = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": namespace,
            "name": claim_name,
            "uid": uid(claim),
        }
        metadata = {
            "resourceVersion": volume["metadata"]["resourceVersion"],
            "annotations": {BOUND_BY_CONTROLLER: "yes"},
        }
        patch = {"metadata": metadata, "spec": {"claimRef": reference}}
        patched = await self._client.patch(VOLUMES, name(volume), patch, patch_type=PatchType.MERGE)
        self._storage.all_volumes.assume(patched)

    async def _select_node(self, claim: Object, node: NodeInfo) -> None:
        namespace, claim_name = key(claim)
        chosen = (claim["metadata"].get("annotations") or {}).get(SELECTED_NODE)
        if chosen == node.name:
            return
        if chosen:
            raise Conflict(f'persistentvolumeclaim "{claim_name}" is being provisioned for node "{chosen}"')
        patch = {"metadata": {"annotations": {SELECTED_NODE: node.name}}}
        patched = await self._client.patch(CLAIMS, claim_name, patch, namespace, patch_type=PatchType.MERGE)
        self._storage.claims.assume(patched)

    async def _wait_bound(self, claim: Object) -> None:
        changed = asyncio.Event()
        unsubscribe = self._storage.claims.subscribe(lambda _event: changed.set())
        try:
            while True:
                changed.clear()
                current = self._storage.claim(*key(claim))
                if current is None or uid(current) != uid(claim):
                    raise Conflict(f'persistentvolumeclaim "{name(claim)}" was deleted')
                if is_bound(current):
                    return
                await changed.wait()
        finally:
            unsubscribe()
