"""Notices nodes whose kubelet fell silent, says so in their conditions and taints, and marks their pods not ready.

Source: pkg/controller/nodelifecycle. Silence is measured on the loop's clock since the last sign of life that this
process saw. When the process itself was not running (a sleeping laptop, a stopped process), the count starts again.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from minikube_py import clock
from minikube_py.client.protocol import PatchType, Selection
from minikube_py.controllers.context import LEASES, NODES, PODS, ControllerContext
from minikube_py.controllers.nodes.eviction_rules import ZoneHealth, zone_of
from minikube_py.controllers.nodes.taints import ready_status, taints_of, wanted_taints
from minikube_py.controllers.workloads.pods import is_ready
from minikube_py.controllers.workloads.writing import write_status
from minikube_py.objects.conditions import get_condition
from minikube_py.objects.errors import NotFound, Object
from minikube_py.objects.meta import deep_copy, is_deleting, name, uid
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import ADDED, DELETED, InformerEvent
from minikube_py.reconciling.recorder import NORMAL, WARNING, EventRecorder
from minikube_py.reconciling.workqueue import WorkQueue

LEASE_NAMESPACE = "kube-node-lease"
BY_NODE = "node"
_WATCHED_CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
# A timer this late, or clocks this far apart, mean that the process was not running.
_GAP_SECONDS = 5.0


def by_node(pod: Object) -> Iterable[str]:
    """Index of pods by the node they are bound to."""
    node = pod["spec"].get("nodeName")
    return (node,) if node else ()


@dataclass
class _Signs:
    """The last sign of life: on the loop's clock and on the wall's, and when the next check is due."""

    seen: float
    wall: float
    due: float = float("inf")


class NodeLifecycleController:
    name = "nodelifecycle"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("node-controller")
        self._options = context.options
        self._nodes = context.informers.informer(NODES)
        self._leases = context.informers.informer(LEASES, Selection(namespace=LEASE_NAMESPACE))
        self._pods = context.informers.informer(PODS, indexers={BY_NODE: by_node})
        self._recorder = EventRecorder(self._client, "node-controller")
        self._signs: dict[str, _Signs] = {}
        self._health = ZoneHealth()
        self._zones: set[tuple[str, str]] = set()
        self._queue: WorkQueue[Key] = WorkQueue()

    def bind(self, queue: WorkQueue[Key]) -> None:
        self._queue = queue

    def sources(self) -> Sequence[Source]:
        return (
            Source(self._nodes, self._node_changed),
            Source(self._leases, self._lease_changed),
            Source(self._pods, self._pod_came),
        )

    # --- signs of life ------------------------------------------------------------------------------------------------

    def _alive(self, node: str) -> None:
        signs = self._signs.get(node)
        now = asyncio.get_running_loop().time()
        if signs is None:
            self._signs[node] = _Signs(now, clock.seconds())
        else:
            signs.seen, signs.wall = now, clock.seconds()

    def _lease_changed(self, event: InformerEvent) -> Iterable[Key]:
        if event.type != DELETED:
            self._alive(name(event.object))
        return ()

    def _node_changed(self, event: InformerEvent) -> Iterable[Key]:
        node, previous = event.object, event.previous
        if event.type == DELETED:
            self._signs.pop(name(node), None)
            self._note(node, NORMAL, "RemovingNode", f"Removing Node {name(node)} from Controller")
        elif previous is None:
            self._alive(name(node))
            self._note(node, NORMAL, "RegisteredNode", f"Registered Node {name(node)} in Controller")
        elif _heartbeats(node) != _heartbeats(previous):
            self._alive(name(node))
        # One node's state can switch eviction on or off for the others.
        self._health.note(name(node), None if event.type == DELETED else node)
        zones = self._health.evicting_zones()
        if zones != self._zones:
            self._zones = zones
            yield from (Key("", name(one)) for one in self._nodes.cache)
        yield Key("", name(node))

    def _note(self, node: Object, type_: str, reason: str, text: str) -> None:
        self._recorder.event(node, type_, reason, f"Node {name(node)} event: {text}")

    def _pod_came(self, event: InformerEvent) -> Iterable[Key]:
        """A pod that turns up ready on a lost node."""
        pod = event.object
        node = self._nodes.cache.get("", pod["spec"].get("nodeName", ""))
        if event.type == ADDED and node is not None and ready_status(node) in ("False", "Unknown") and is_ready(pod):
            yield Key("", name(node))

    # --- one node -----------------------------------------------------------------------------------------------------

    async def reconcile(self, key: Key) -> float | None:
        node = self._nodes.cache.get(*key)
        if node is None:
            return None
        again = None
        silent_for = self._silent_seconds(key.name)
        known = bool(ready_status(node))
        grace = self._options.node_monitor_grace_seconds if known else self._options.node_startup_grace_seconds
        if silent_for < grace:
            again = self._check_after(key.name, grace - silent_for)
        elif ready_status(node) != "Unknown":
            node = await self._mark_unknown(node)
        await self._set_taints(node)
        if ready_status(node) in ("False", "Unknown"):
            await self._mark_pods(node)
        return again

    def _silent_seconds(self, node: str) -> float:
        now, wall = asyncio.get_running_loop().time(), clock.seconds()
        signs = self._signs.setdefault(node, _Signs(now, wall))
        late = now - signs.due > _GAP_SECONDS
        apart = abs((wall - signs.wall) - (now - signs.seen)) > _GAP_SECONDS
        if late or apart:
            signs.seen, signs.wall = now, wall
        signs.due = float("inf")
        return now - signs.seen

    def _check_after(self, node: str, seconds: float) -> float:
        self._signs[node].due = asyncio.get_running_loop().time() + seconds
        return seconds

    async def _mark_unknown(self, node: Object) -> Object:
        status = deep_copy(node.get("status") or {})
        conditions = status.setdefault("conditions", [])
        now = clock.rfc3339()
        was_ready = ready_status(node) == "True"
        for type_ in _WATCHED_CONDITIONS:
            current = get_condition(conditions, type_)
            if current is None:
                made = {
                    "type": type_,
                    "status": "Unknown",
                    "reason": "NodeStatusNeverUpdated",
                    "message": "Kubelet never posted node status.",
                    "lastHeartbeatTime": node["metadata"].get("creationTimestamp", now),
                    "lastTransitionTime": now,
                }
                conditions.append(made)
            elif current["status"] != "Unknown":
                current.update(
                    status="Unknown",
                    reason="NodeStatusUnknown",
                    message="Kubelet stopped posting node status.",
                    lastTransitionTime=now,
                )
        written = await write_status(self._client, self._nodes, node, status)
        self._health.note(name(node), written)
        if was_ready:
            text = f"Node {name(node)} status is now: NodeNotReady"
            self._recorder.event(node, NORMAL, "NodeNotReady", text)
        return written

    async def _set_taints(self, node: Object) -> None:
        if is_deleting(node):
            return
        may_evict = zone_of(node) in self._health.evicting_zones()
        wanted = wanted_taints(node, may_evict=may_evict, now=clock.rfc3339())
        if wanted == list(taints_of(node)):
            return
        patch = {
            "metadata": {"uid": uid(node), "resourceVersion": node["metadata"]["resourceVersion"]},
            "spec": {"taints": wanted or None},
        }
        self._nodes.assume(await self._client.patch(NODES, name(node), patch, patch_type=PatchType.MERGE))

    async def _mark_pods(self, node: Object) -> None:
        for pod in self._pods.cache.by_index(BY_NODE, name(node)):
            if not is_ready(pod):
                continue
            status = deep_copy(pod["status"])
            condition = get_condition(status["conditions"], "Ready")
            assert condition is not None
            condition.update(status="False", lastTransitionTime=clock.rfc3339())
            try:
                await write_status(self._client, self._pods, pod, status)
            except NotFound:
                continue
            self._recorder.event(pod, WARNING, "NodeNotReady", "Node is not ready")


def _heartbeats(node: Object) -> list[tuple[str | None, str | None]]:
    conditions = (node.get("status") or {}).get("conditions") or ()
    # The controller's own verdict is no sign of life.
    return [
        (c.get("type"), c.get("lastHeartbeatTime"))
        for c in conditions
        if c.get("reason") not in ("NodeStatusUnknown", "NodeStatusNeverUpdated")
    ]
