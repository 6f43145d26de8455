"""Feeds what informers report into the scheduler's snapshot and queue, and wakes pods that a change may help."""

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager

from minikube_py.objects.errors import Object
from minikube_py.reconciling.informer import DELETED, InformerEvent, InformerSet
from minikube_py.resources.kind import GVR
from minikube_py.scheduler.framework import Change, Wake
from minikube_py.scheduler.pod_info import PodInfo, read_pod
from minikube_py.scheduler.profile import DEFAULT_SCHEDULER
from minikube_py.scheduler.queue import SchedulingQueue
from minikube_py.scheduler.snapshot import Snapshot
from minikube_py.scheduler.views import CLAIMS, STORAGE_CLASSES, VOLUMES

_PODS = GVR("", "v1", "pods")
_NODES = GVR("", "v1", "nodes")
_NAMESPACES = GVR("", "v1", "namespaces")


class ChangeFeed:
    """assumed holds the pods that were given a node which the watch has not confirmed yet.

    schedulers: the names whose pods are put into the queue.
    """

    def __init__(
        self, informers: InformerSet, snapshot: Snapshot, queue: SchedulingQueue, schedulers: Collection[str]
    ) -> None:
        self.assumed: dict[str, PodInfo] = {}
        self._snapshot = snapshot
        self._queue = queue
        self._schedulers = schedulers
        self._handlers: dict[GVR, Callable[[InformerEvent], None]] = {
            _NAMESPACES: self._namespace_changed,
            _NODES: self._node_changed,
            CLAIMS: self._storage_changed,
            VOLUMES: self._storage_changed,
            STORAGE_CLASSES: self._storage_changed,
            _PODS: self._pod_changed,
        }
        self._informers = {gvr: informers.informer(gvr) for gvr in self._handlers}

    @contextmanager
    def following(self) -> Iterator[None]:
        """Follow the informers within the block."""
        with ExitStack() as stack:
            for gvr, handler in self._handlers.items():
                stack.callback(self._informers[gvr].subscribe(handler))
            yield

    async def wait_synced(self) -> None:
        for informer in self._informers.values():
            await informer.wait_synced()

    # --- pods ---------------------------------------------------------------------------------------------------------

    def _pod_changed(self, event: InformerEvent) -> None:
        pod, previous = event.object, event.previous
        uid = pod["metadata"]["uid"]
        if event.type == DELETED or _is_finished(pod):
            self._pod_gone(uid, pod)
        elif pod["spec"].get("nodeName"):
            self._pod_assigned(pod, previous)
        elif uid not in self.assumed:
            self._pod_pending(pod, previous)

    def _pod_gone(self, uid: str, pod: Object) -> None:
        self.assumed.pop(uid, None)
        self._queue.remove(uid)
        known = self._snapshot.pods.get(uid)
        if known is not None:
            self._snapshot.remove_pod(uid)
            self._queue.wake(Change(Wake.POD_GONE, pod=known))
        elif (pod.get("status") or {}).get("nominatedNodeName"):
            self._queue.wake(Change(Wake.POD_GONE, pod=read_pod(pod)))
        self._unnominate(uid)

    def _unnominate(self, uid: str) -> None:
        for pods in list(self._snapshot.nominated.values()):
            if uid in pods:
                self._snapshot.nominate(pods[uid], "")

    def _pod_assigned(self, pod: Object, previous: Object | None) -> None:
        uid = pod["metadata"]["uid"]
        was_assumed = self.assumed.pop(uid, None)
        known = self._snapshot.pods.get(uid)
        self._queue.remove(uid)
        if was_assumed is not None or known is None:
            self._unnominate(uid)
        if known is not None and was_assumed is None and previous is not None and _same_for_scheduling(pod, previous):
            known.obj = pod
            return
        if known is not None and known is was_assumed and _is_as_assumed(pod, known):
            known.obj = pod
            self._queue.wake(Change(Wake.POD_ADDED, pod=known))
            return
        info = read_pod(pod)
        self._snapshot.add_pod(info)
        if known is None or was_assumed is not None:
            self._queue.wake(Change(Wake.POD_ADDED, pod=info))
        elif previous is not None and pod["metadata"].get("labels") != previous["metadata"].get("labels"):
            self._queue.wake(Change(Wake.POD_LABELS))
        else:
            self._queue.wake(Change(Wake.POD_GONE, pod=info))  # resized, or now being deleted: it may need less

    def _pod_pending(self, pod: Object, previous: Object | None) -> None:
        spec, uid = pod["spec"], pod["metadata"]["uid"]
        ours = scheduler_of(pod) in self._schedulers
        if not ours or spec.get("schedulingGates") or pod["metadata"].get("deletionTimestamp"):
            self._queue.remove(uid)
            return
        info = read_pod(pod)
        if previous is not None and _same_for_scheduling(pod, previous) and self._queue.refresh(info):
            return
        self._snapshot.nominate(info, info.nominated)
        self._queue.put(info)

    # --- the rest -----------------------------------------------------------------------------------------------------

    def _node_changed(self, event: InformerEvent) -> None:
        node, previous = event.object, event.previous
        if event.type == DELETED:
            self._snapshot.remove_node(node["metadata"]["name"])
            self._queue.wake(Change(Wake.NODE_GONE))
            return
        name = node["metadata"]["name"]
        if previous is None:
            self._snapshot.set_node(node)
            self._queue.wake(Change(Wake.NODE_ADDED, node=self._snapshot.nodes[name]))
            return
        spec, old_spec = node.get("spec") or {}, previous.get("spec") or {}
        status, old_status = node.get("status") or {}, previous.get("status") or {}
        wakes = []
        if status.get("allocatable") != old_status.get("allocatable"):
            wakes.append(Wake.NODE_ROOM)
        if node["metadata"].get("labels") != previous["metadata"].get("labels"):
            wakes.append(Wake.NODE_LABELS)
        if spec.get("taints") != old_spec.get("taints") or spec.get("unschedulable") != old_spec.get("unschedulable"):
            wakes.append(Wake.NODE_TAINTS)
        if wakes or status.get("images") != old_status.get("images"):
            self._snapshot.set_node(node)
        for wake in wakes:
            self._queue.wake(Change(wake, node=self._snapshot.nodes[name]))

    def _namespace_changed(self, event: InformerEvent) -> None:
        metadata = event.object["metadata"]
        labels = None if event.type == DELETED else metadata.get("labels") or {}
        self._snapshot.counts.set_namespace(metadata["name"], labels)
        self._queue.wake(Change(Wake.NAMESPACE))

    def _storage_changed(self, event: InformerEvent) -> None:
        is_claim = event.object.get("kind") == "PersistentVolumeClaim"
        self._queue.wake(Change(Wake.STORAGE, claim=event.object if is_claim else None))


def scheduler_of(pod: Object) -> str:
    """The name of the scheduler that the pod wants."""
    return pod["spec"].get("schedulerName") or DEFAULT_SCHEDULER


def _is_finished(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _same_for_scheduling(pod: Object, previous: Object) -> bool:
    new, old = pod["metadata"], previous["metadata"]
    if new.get("labels") != old.get("labels") or new.get("deletionTimestamp") != old.get("deletionTimestamp"):
        return False
    if _held_resources(pod) != _held_resources(previous):
        return False
    return bool(pod["spec"] == previous["spec"])


def _is_as_assumed(pod: Object, known: PodInfo) -> bool:
    """Whether binding changed nothing about the pod but its node, which is the one that was chosen."""
    was = known.obj
    if pod["spec"].get("nodeName") != known.node_name or pod["metadata"].get("deletionTimestamp"):
        return False
    if pod["metadata"].get("labels") != was["metadata"].get("labels") or _held_resources(pod) != _held_resources(was):
        return False
    return bool(pod["spec"] == {**was["spec"], "nodeName": known.node_name})


def _held_resources(pod: Object) -> list[object]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return [(s.get("allocatedResources"), s.get("resources")) for s in statuses]
