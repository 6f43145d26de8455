"""Deletes pods from nodes whose NoExecute taints they don't tolerate, or no longer.

Source: pkg/controller/tainteviction. The time a pod may stay runs on the loop's clock, and a timer that comes late
(the process was asleep) gives nodes time to report first.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from minikube_py.client.protocol import DeleteOptions
from minikube_py.controllers.context import NODES, PODS, ControllerContext
from minikube_py.controllers.nodelifecycle import BY_NODE, by_node
from minikube_py.controllers.nodes.taints import NO_EXECUTE, eviction_delay, taints_of
from minikube_py.controllers.workloads.writing import write_status
from minikube_py.objects.conditions import observed, set_condition
from minikube_py.objects.errors import NotFound, Object
from minikube_py.objects.meta import deep_copy, is_deleting, key, name, namespace, uid
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import ADDED, MODIFIED, InformerEvent
from minikube_py.reconciling.recorder import NORMAL, EventRecorder

_LATE_SECONDS = 5.0
_SECOND_CHANCE_SECONDS = 60.0


@dataclass
class _Stay:
    """Since when a pod stands on a tainted node, and when it is to be looked at again (loop time)."""

    since: float
    due: float


class TaintEvictionController:
    name = "tainteviction"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("node-controller")
        self._nodes = context.informers.informer(NODES)
        self._pods = context.informers.informer(PODS, indexers={BY_NODE: by_node})
        self._recorder = EventRecorder(self._client, "taint-eviction-controller")
        self._stays: dict[str, _Stay] = {}

    def sources(self) -> Sequence[Source]:
        return Source(self._pods, self._pod_changed), Source(self._nodes, self._node_changed)

    def _pod_changed(self, event: InformerEvent) -> Iterable[Key]:
        pod, previous = event.object, event.previous
        if event.type not in (ADDED, MODIFIED):
            self._stays.pop(uid(pod), None)
            return
        if not pod["spec"].get("nodeName"):
            return
        if previous is not None and _placement(previous) == _placement(pod):
            return
        if self._taints(pod) or uid(pod) in self._stays:
            yield key(pod)

    def _node_changed(self, event: InformerEvent) -> Iterable[Key]:
        before = _no_execute(event.previous) if event.previous is not None else []
        if event.type in (ADDED, MODIFIED) and _no_execute(event.object) != before:
            for pod in self._pods.cache.by_index(BY_NODE, name(event.object)):
                yield key(pod)

    def _taints(self, pod: Object) -> list[Object]:
        node = self._nodes.cache.get("", pod["spec"].get("nodeName", ""))
        return _no_execute(node) if node is not None else []

    async def reconcile(self, pod_key: Key) -> float | None:
        pod = self._pods.cache.get(*pod_key)
        if pod is None or is_deleting(pod):
            return None
        taints = self._taints(pod)
        if not taints:
            if self._stays.pop(uid(pod), None) is not None:
                text = f"Cancelling deletion of Pod {pod_key.namespace}/{pod_key.name}"
                self._recorder.event(pod, NORMAL, "TaintManagerEviction", text)
            return None
        delay = eviction_delay(pod["spec"].get("tolerations") or (), taints)
        if delay is None:
            self._stays.pop(uid(pod), None)
            return None
        if delay > 0:
            left = self._seconds_left(pod, delay)
            if left > 0:
                return left
        await self._evict(pod)
        self._stays.pop(uid(pod), None)
        return None

    def _seconds_left(self, pod: Object, delay: float) -> float:
        now = asyncio.get_running_loop().time()
        stay = self._stays.setdefault(uid(pod), _Stay(now, now + delay))
        if now - stay.due > _LATE_SECONDS:
            stay.since = now + _SECOND_CHANCE_SECONDS - delay
        stay.due = stay.since + delay
        return stay.due - now

    async def _evict(self, pod: Object) -> None:
        text = f"Marking for deletion Pod {namespace(pod)}/{name(pod)}"
        self._recorder.event(pod, NORMAL, "TaintManagerEviction", text)
        status = deep_copy(pod.get("status") or {})
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            **observed(pod),
        }
        try:
            if set_condition(status.setdefault("conditions", []), condition):
                await write_status(self._client, self._pods, pod, status)
            await self._client.delete(PODS, name(pod), namespace(pod), options=DeleteOptions(uid=uid(pod)))
        except NotFound:
            return


def _no_execute(node: Object) -> list[Object]:
    return [taint for taint in taints_of(node) if taint.get("effect") == NO_EXECUTE]


def _placement(pod: Object) -> object:
    return pod["spec"].get("nodeName"), pod["spec"].get("tolerations"), is_deleting(pod)
