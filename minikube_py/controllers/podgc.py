"""Removes pods nobody will: of nodes that are gone or out of service, those never bound, and too many finished ones.

Source: pkg/controller/podgc.
"""

from collections.abc import Iterable, Sequence

from minikube_py import clock
from minikube_py.client.protocol import DeleteOptions, PatchType, WriteOptions
from minikube_py.controllers.context import NODES, PODS, ControllerContext
from minikube_py.controllers.nodelifecycle import BY_NODE, by_node
from minikube_py.controllers.nodes.taints import ready_status, taints_of
from minikube_py.controllers.workloads.pods import is_finished
from minikube_py.objects.conditions import observed
from minikube_py.objects.errors import NotFound, Object
from minikube_py.objects.meta import is_deleting, key, name, namespace, uid
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import DELETED, InformerEvent

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
_QUARANTINE_SECONDS = 40.0
_STATUS = WriteOptions(subresource="status")


class PodGarbageCollector:
    name = "podgc"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("pod-garbage-collector")
        self._kept = context.options.terminated_pods_kept
        self._nodes = context.informers.informer(NODES)
        self._pods = context.informers.informer(PODS, indexers={BY_NODE: by_node})
        self._suspects: set[str] = set()
        self._finished = 0

    def sources(self) -> Sequence[Source]:
        return Source(self._nodes, self._node_changed), Source(self._pods, self._pod_changed)

    def _node_changed(self, event: InformerEvent) -> Iterable[Key]:
        pods = self._pods.cache.by_index
        if event.type == DELETED:
            yield from (key(pod) for pod in pods(BY_NODE, name(event.object)))
        elif _is_out_of_service(event.object):
            yield from (key(pod) for pod in pods(BY_NODE, name(event.object)) if is_deleting(pod))

    def _pod_changed(self, event: InformerEvent) -> Iterable[Key]:
        pod, previous = event.object, event.previous
        now = event.type != DELETED and is_finished(pod)
        before = previous is not None and is_finished(previous)
        self._finished += int(now) - int(before)
        if event.type == DELETED:
            self._suspects.discard(uid(pod))
            return
        node = pod["spec"].get("nodeName")
        host = self._nodes.cache.get("", node) if node else None
        if (is_deleting(pod) and not node) or (node and host is None):
            yield key(pod)
        elif is_deleting(pod) and host is not None and _is_out_of_service(host):
            yield key(pod)
        if now and not before and self._kept and self._finished > self._kept:
            yield Key("", "")  # stands for the finished pods as a whole

    async def reconcile(self, pod_key: Key) -> float | None:
        if pod_key == Key("", ""):
            await self._trim_finished()
            return None
        pod = self._pods.cache.get(*pod_key)
        if pod is None:
            return None
        node = pod["spec"].get("nodeName")
        if not node:
            if is_deleting(pod):
                await self._delete(pod)
            return None
        host = self._nodes.cache.get("", node)
        if host is not None:
            self._suspects.discard(uid(pod))
            if is_deleting(pod) and _is_out_of_service(host):
                # Its kubelet will never say that the pod has ended.
                await self._fail(pod, [])
                await self._delete(pod)
            return None
        if uid(pod) not in self._suspects:
            # A node that is registered again soon keeps its pods.
            self._suspects.add(uid(pod))
            return _QUARANTINE_SECONDS
        if await self._node_exists(node):
            return None
        await self._fail(pod, [_target(pod)])
        await self._delete(pod)
        return None

    async def _node_exists(self, node: str) -> bool:
        try:
            await self._client.get(NODES, node)
        except NotFound:
            return False
        return True

    async def _fail(self, pod: Object, conditions: Sequence[Object]) -> None:
        if is_finished(pod):
            return
        status = {"phase": "Failed", **({"conditions": list(conditions)} if conditions else {})}
        patch = {"metadata": {"uid": uid(pod)}, "status": status}
        await self._client.patch(
            PODS, name(pod), patch, namespace(pod), patch_type=PatchType.STRATEGIC, options=_STATUS
        )

    async def _trim_finished(self) -> None:
        finished = [pod for pod in self._pods.cache if is_finished(pod) and not is_deleting(pod)]
        finished.sort(key=lambda pod: (pod["metadata"].get("creationTimestamp", ""), name(pod)))
        for pod in finished[: max(len(finished) - self._kept, 0)]:
            await self._delete(pod)

    async def _delete(self, pod: Object) -> None:
        try:
            options = DeleteOptions(grace_seconds=0, uid=uid(pod))
            await self._client.delete(PODS, name(pod), namespace(pod), options=options)
        except NotFound:
            return


def _is_out_of_service(node: Object) -> bool:
    """Whether the node is lost, and its administrator says that it is really off (KEP-2268)."""
    return ready_status(node) != "True" and any(taint["key"] == OUT_OF_SERVICE for taint in taints_of(node))


def _target(pod: Object) -> Object:
    return {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByPodGC",
        "message": "PodGC: node no longer exists",
        "lastTransitionTime": clock.rfc3339(),
        **observed(pod),
    }
