"""Has the cloud add nodes for pods that fit nowhere, and gives empty ones back.

Source: the Cluster Autoscaler's FAQ and events. It looks when a pod can't be scheduled or a node of a group changes;
with nothing pending and no empty node there is no timer.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence

from minikube_py import clock
from minikube_py.client.protocol import DeleteOptions, PatchType
from minikube_py.cloud.protocol import CloudError, GrowthAnswer, GrowthQuestion, NodeGroup
from minikube_py.controllers.context import DAEMON_SETS, NODES, PODS, ControllerContext
from minikube_py.controllers.daemons.placement import daemon_pod, judge
from minikube_py.controllers.nodelifecycle import BY_NODE, by_node
from minikube_py.controllers.nodes.taints import NO_SCHEDULE, NOT_READY, ready_status, taints_of
from minikube_py.controllers.workloads.pods import is_finished
from minikube_py.objects.conditions import get_condition
from minikube_py.objects.errors import NotFound, Object
from minikube_py.objects.meta import annotations, controller_of, deep_copy, is_deleting, name, uid
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source, no_keys
from minikube_py.reconciling.informer import InformerEvent
from minikube_py.reconciling.recorder import NORMAL, EventRecorder
from minikube_py.reconciling.workqueue import WorkQueue

LEAVING_TAINT = "ToBeDeletedByClusterAutoscaler"
KEEP_ANNOTATION = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
_EVERYTHING = Key("", "")
_GATHER_SECONDS = 0.5
# Between the taint and the end of a node: a pod that was bound to it meanwhile keeps it.
_SETTLE_SECONDS = 1.0
# Pods below this priority are worth no node.
_LEAST_PRIORITY = -10


class ClusterAutoscaler:
    name = "clusterautoscaler"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("node-controller")
        cloud = context.options.cloud
        self._groups: Sequence[NodeGroup] = cloud.node_groups if cloud is not None else ()
        self._planner = context.options.growth
        self._unneeded_seconds = context.options.scale_down_unneeded_seconds
        self._pods = context.informers.informer(PODS, indexers={BY_NODE: by_node})
        self._nodes = context.informers.informer(NODES)
        self._daemon_sets = context.informers.informer(DAEMON_SETS)
        self._recorder = EventRecorder(self._client, "cluster-autoscaler")
        self._unneeded: dict[str, float] = {}
        self._leaving: dict[str, float] = {}
        self._told: dict[str, str] = {}
        self._queue: WorkQueue[Key] = WorkQueue()

    def bind(self, queue: WorkQueue[Key]) -> None:
        self._queue = queue
        if self._groups:
            queue.add(_EVERYTHING)  # a group may have fewer nodes than it should

    def sources(self) -> Sequence[Source]:
        if not self._groups:
            return ()
        return (
            Source(self._pods, self._pod_changed),
            Source(self._nodes, self._node_changed),
            Source(self._daemon_sets, no_keys),
        )

    def _pod_changed(self, event: InformerEvent) -> Iterable[Key]:
        """Changes of many pods at once are looked at together."""
        node = event.object["spec"].get("nodeName")
        if _is_unschedulable(event.object) or (node and self._group_of(node) is not None):
            self._queue.add_after(_EVERYTHING, _GATHER_SECONDS)
        return ()

    def _node_changed(self, event: InformerEvent) -> Iterable[Key]:
        if event.previous is None or _outlook(event.object) != _outlook(event.previous):
            self._queue.add_after(_EVERYTHING, _GATHER_SECONDS)
        return ()

    def _group_of(self, node_name: str) -> NodeGroup | None:
        return next((group for group in self._groups if node_name in group.node_names()), None)

    async def reconcile(self, key: Key) -> float | None:
        waits: list[float] = []
        for group in self._groups:
            missing = group.limits.fewest - len(group.node_names())
            if missing > 0:
                await group.grow(missing)
        pending = [pod for pod in self._pods.cache if _is_unschedulable(pod)]
        try:
            await self._scale_up(pending)
        except CloudError as error:
            for pod in pending:
                self._tell(pod, "FailedToScaleUpGroup", f"Scale-up failed: {error}")
            if error.retry_seconds is not None:
                waits.append(error.retry_seconds)
        for group in self._groups:
            waits += await self._scale_down(group)
        return min(waits, default=None)

    # --- more nodes ---------------------------------------------------------------------------------------------------

    async def _scale_up(self, pending: list[Object]) -> None:
        self._told = {one: text for one, text in self._told.items() if one in {uid(pod) for pod in pending}}
        refusals: dict[str, Counter[str]] = {uid(pod): Counter() for pod in pending}
        for group in self._groups:
            if not pending:
                return
            answer = self._ask(group, pending)
            before = len(group.node_names())
            if answer.count:
                await group.grow(answer.count)
            after, most = before + answer.count, group.limits.most
            for pod in pending:
                if uid(pod) in answer.helped:
                    text = f"pod triggered scale-up: [{{{group.id} {before}->{after} (max: {most})}}]"
                    self._tell(pod, "TriggeredScaleUp", text)
                elif uid(pod) in answer.reasons:
                    refusals[uid(pod)].update(answer.reasons[uid(pod)] or ("max node group size reached",))
            pending = [pod for pod in pending if uid(pod) in answer.reasons]
        for pod in pending:
            why = ", ".join(f"{count} {reason}" for reason, count in sorted(refusals[uid(pod)].items()))
            self._tell(pod, "NotTriggerScaleUp", f"pod didn't trigger scale-up: {why}")

    def _ask(self, group: NodeGroup, pending: Sequence[Object]) -> GrowthAnswer:
        assert self._planner is not None
        names = group.node_names()
        template = group.template()

        def new_node(number: int) -> Object:
            made = deep_copy(template)
            made["metadata"]["name"] = f"template-node-for-{group.id}-{number}"
            made["metadata"]["labels"]["kubernetes.io/hostname"] = made["metadata"]["name"]
            return made

        question = GrowthQuestion(
            pending=pending,
            new_node=new_node,
            on_new_node=self._daemons_on,
            coming=sum(1 for one in names if not self._is_usable(one)),
            most=max(group.limits.most - len(names), 0),
        )
        return self._planner.plan(question)

    def _daemons_on(self, node: Object) -> list[Object]:
        """The pods that DaemonSets would start on a new node."""
        pods = []
        for owner in self._daemon_sets.cache:
            if not is_deleting(owner) and judge(owner, node).should_run:
                pod = daemon_pod(owner, name(node), "")
                pod["metadata"].update(name=f"{name(owner)}-{name(node)}", uid=f"{uid(owner)}-{name(node)}")
                pods.append(pod)
        return pods

    def _is_usable(self, node_name: str) -> bool:
        node = self._nodes.cache.get("", node_name)
        if node is None or ready_status(node) != "True":
            return False
        return all(taint["key"] != NOT_READY for taint in taints_of(node))

    def _tell(self, pod: Object, reason: str, text: str) -> None:
        """Once for every new message, not for every look."""
        if self._told.get(uid(pod)) != text:
            self._told[uid(pod)] = text
            self._recorder.event(pod, NORMAL, reason, text)

    # --- fewer nodes --------------------------------------------------------------------------------------------------

    async def _scale_down(self, group: NodeGroup) -> list[float]:
        """Give back what has been empty for long enough; the seconds until the next node may go."""
        now = asyncio.get_running_loop().time()
        names = group.node_names()
        spare = len(names) - group.limits.fewest
        for node_name in names:
            if self._is_needed(node_name):
                self._unneeded.pop(node_name, None)
                await self._keep(node_name)
            else:
                self._unneeded.setdefault(node_name, now)
        waits: list[float] = []
        unneeded = sorted((since, one) for one, since in self._unneeded.items() if one in names)
        for since, node_name in unneeded[: max(spare, 0)]:
            left = since + self._unneeded_seconds - now
            if left <= 0:
                left = await self._remove(group, node_name, now)
            if left > 0:
                waits.append(left)
        return waits

    def _is_needed(self, node_name: str) -> bool:
        node = self._nodes.cache.get("", node_name)
        if node is None or annotations(node).get(KEEP_ANNOTATION) == "true":
            return True
        return any(
            not is_finished(pod) and not _is_daemon(pod) for pod in self._pods.cache.by_index(BY_NODE, node_name)
        )

    async def _keep(self, node_name: str) -> None:
        """A node that was to go has got a pod after all."""
        self._leaving.pop(node_name, None)
        node = self._nodes.cache.get("", node_name)
        if node is not None and _is_leaving(node):
            await self._set_taints(node, [taint for taint in taints_of(node) if taint["key"] != LEAVING_TAINT])

    async def _remove(self, group: NodeGroup, node_name: str, now: float) -> float:
        """First no new pods, then the end; the seconds until the next step, 0 when it is done."""
        node = self._nodes.cache.get("", node_name)
        if node is None:
            return 0
        if not _is_leaving(node):
            taint = {"key": LEAVING_TAINT, "value": str(int(clock.seconds())), "effect": NO_SCHEDULE}
            await self._set_taints(node, [*taints_of(node), taint])
            self._recorder.event(node, NORMAL, "ScaleDown", "marked the node as toBeDeleted/unschedulable")
        left = self._leaving.setdefault(node_name, now) + _SETTLE_SECONDS - now
        if left > 0:
            return left
        await group.give_back(node_name)
        self._leaving.pop(node_name, None)
        self._unneeded.pop(node_name, None)
        self._recorder.event(node, NORMAL, "ScaleDown", "node removed by cluster autoscaler")
        try:
            await self._client.delete(NODES, node_name, options=DeleteOptions(uid=uid(node)))
        except NotFound:
            return 0
        return 0

    async def _set_taints(self, node: Object, taints: Sequence[Object]) -> None:
        metadata = {"uid": uid(node), "resourceVersion": node["metadata"]["resourceVersion"]}
        patch = {"metadata": metadata, "spec": {"taints": list(taints) or None}}
        self._nodes.assume(await self._client.patch(NODES, name(node), patch, patch_type=PatchType.MERGE))


def _is_unschedulable(pod: Object) -> bool:
    """Whether a scheduler has said that the pod fits nowhere, and nobody makes room for it."""
    status = pod.get("status") or {}
    if pod["spec"].get("nodeName") or is_deleting(pod) or is_finished(pod) or status.get("nominatedNodeName"):
        return False
    if (pod["spec"].get("priority") or 0) < _LEAST_PRIORITY:
        return False
    condition = get_condition(status.get("conditions"), "PodScheduled")
    return condition is not None and condition["status"] == "False" and condition.get("reason") == "Unschedulable"


def _is_daemon(pod: Object) -> bool:
    reference = controller_of(pod)
    return reference is not None and reference["kind"] in ("DaemonSet", "Node")


def _is_leaving(node: Object) -> bool:
    return any(taint["key"] == LEAVING_TAINT for taint in taints_of(node))


def _outlook(node: Object) -> object:
    """What of a node makes a difference here."""
    spec = node.get("spec") or {}
    keep = annotations(node).get(KEEP_ANNOTATION)
    return ready_status(node), spec.get("taints"), spec.get("unschedulable"), keep
