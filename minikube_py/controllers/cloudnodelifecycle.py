"""Deletes nodes whose machine the cloud has no more, and taints those whose machine is shut down.

Source: k8s.io/cloud-provider controllers/nodelifecycle. The cloud is asked only about nodes that are not ready.
"""

from collections.abc import Iterable, Sequence

from minikube_py import clock
from minikube_py.client.protocol import DeleteOptions, PatchType
from minikube_py.controllers.context import NODES, ControllerContext
from minikube_py.controllers.nodes.taints import NO_SCHEDULE, ready_status, taints_of
from minikube_py.objects.errors import NotFound, Object
from minikube_py.objects.meta import is_deleting, key, name, uid
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import DELETED, InformerEvent
from minikube_py.reconciling.recorder import NORMAL, EventRecorder

SHUT_DOWN = "node.cloudprovider.kubernetes.io/shutdown"


def _is_shut_down(node: Object) -> bool:
    return any(taint["key"] == SHUT_DOWN for taint in taints_of(node))


class CloudNodeLifecycleController:
    name = "cloud-node-lifecycle"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("node-controller")
        self._cloud = context.options.cloud
        self._nodes = context.informers.informer(NODES)
        self._recorder = EventRecorder(self._client, "cloud-node-lifecycle-controller")

    def sources(self) -> Sequence[Source]:
        if self._cloud is None or self._cloud.instances is None:
            return ()
        return (Source(self._nodes, self._doubtful),)

    def _doubtful(self, event: InformerEvent) -> Iterable[Key]:
        node = event.object
        if event.type != DELETED and (ready_status(node) in ("False", "Unknown") or _is_shut_down(node)):
            yield key(node)

    async def reconcile(self, key: Key) -> float | None:
        node = self._nodes.cache.get(*key)
        if node is None or is_deleting(node) or self._cloud is None or self._cloud.instances is None:
            return None
        if ready_status(node) == "True":
            if _is_shut_down(node):
                await self._set_taints(node, [taint for taint in taints_of(node) if taint["key"] != SHUT_DOWN])
            return None
        if not await self._cloud.instances.exists(node):
            text = f"Deleting node {name(node)} because it does not exist in the cloud provider"
            self._recorder.event(node, NORMAL, "DeletingNode", text)
            try:
                await self._client.delete(NODES, name(node), options=DeleteOptions(uid=uid(node)))
            except NotFound:
                return None
        elif await self._cloud.instances.is_shut_down(node) and not _is_shut_down(node):
            taint = {"key": SHUT_DOWN, "effect": NO_SCHEDULE, "timeAdded": clock.rfc3339()}
            await self._set_taints(node, [*taints_of(node), taint])
        return None

    async def _set_taints(self, node: Object, taints: Sequence[Object]) -> None:
        metadata = {"uid": uid(node), "resourceVersion": node["metadata"]["resourceVersion"]}
        patch = {"metadata": metadata, "spec": {"taints": list(taints) or None}}
        self._nodes.assume(await self._client.patch(NODES, name(node), patch, patch_type=PatchType.MERGE))
