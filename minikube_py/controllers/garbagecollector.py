"""Deletes objects whose owners are gone, and carries out foreground and orphaning deletions, over every served kind.

Source: pkg/controller/garbagecollector. Keys are UIDs (with namespace ''). An owner that the graph holds exactly as
the reference names it counts as existing without a call: when it goes, its deletion looks at the dependents again.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from minikube_py.client.protocol import DeleteOptions, PatchType
from minikube_py.controllers.context import ControllerContext
from minikube_py.controllers.garbage.graph import FOREGROUND, ORPHAN, Graph, Node, node_of, uids
from minikube_py.objects.errors import MethodNotAllowed, NotFound, Object
from minikube_py.objects.meta import is_deleting, uid
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import DELETED, Informer, InformerEvent, InformerSet
from minikube_py.reconciling.workqueue import WorkQueue
from minikube_py.resources.kind import ResourceKind

log = logging.getLogger(__name__)

_NEEDED_VERBS = {"list", "watch", "delete"}
_IGNORED = {("", "Event"), ("events.k8s.io", "Event")}
# How long the graph may lag behind an owner that a live read has found.
_RECHECK_SECONDS = 5.0
_LONGEST_SYNC_SECONDS = 30.0


@dataclass
class _Owners:
    """The owner references of an object by the state of their owners."""

    solid: list[Object] = field(default_factory=list)
    dangling: list[Object] = field(default_factory=list)
    waiting: list[Object] = field(default_factory=list)
    recheck: bool = False


def _metadata_only(obj: Object) -> Object:
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "ownerReferences", "finalizers", "deletionTimestamp")
    return {"metadata": {name: metadata[name] for name in kept if name in metadata}}


class GarbageCollector:
    name = "garbagecollector"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("generic-garbage-collector")
        self._kinds = context.kinds
        self._graph = Graph()
        self._informers = InformerSet(self._client, transform=_metadata_only)
        self._watched: dict[str, tuple[ResourceKind, Informer]] = {}
        self._by_kind: dict[tuple[str, str], ResourceKind] = {}
        self._ready = asyncio.Event()
        self._kinds_changed = asyncio.Event()
        self._queue: WorkQueue[Key] = WorkQueue()

    def bind(self, queue: WorkQueue[Key]) -> None:
        self._queue = queue

    def sources(self) -> Sequence[Source]:
        return ()

    async def run(self) -> None:
        """Watch all kinds, and follow kinds that come and go."""
        self._kinds.subscribe(lambda *_: self._kinds_changed.set())
        self._follow_kinds()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informers.run(), name="garbage collector informers")
            with suppress(TimeoutError):
                # One kind that can't be listed must not keep all others from being collected.
                async with asyncio.timeout(_LONGEST_SYNC_SECONDS):
                    await self._informers.wait_synced()
            self._ready.set()
            while True:
                await self._kinds_changed.wait()
                self._kinds_changed.clear()
                self._follow_kinds()

    def _follow_kinds(self) -> None:
        wanted: dict[str, ResourceKind] = {}
        self._by_kind.clear()
        for kind in self._kinds.all():
            self._by_kind.setdefault((kind.group, kind.kind), kind)
            if _NEEDED_VERBS <= set(kind.verbs) and (kind.group, kind.kind) not in _IGNORED:
                wanted.setdefault(kind.store_resource, kind)
        for resource in self._watched.keys() - wanted.keys():
            kind, informer = self._watched.pop(resource)
            self._informers.remove(kind.gvr)
            # The objects of a kind that is no longer served are gone as far as anybody can see.
            for obj in informer.cache:
                self._enqueue(self._graph.remove(uid(obj)))
        for resource, kind in wanted.items():
            if resource not in self._watched:
                informer = self._informers.informer(kind.gvr)
                self._watched[resource] = kind, informer
                informer.subscribe(self._handler(kind))

    def _handler(self, kind: ResourceKind) -> Any:
        def handle(event: InformerEvent) -> None:
            if event.type == DELETED:
                self._enqueue(self._graph.remove(uid(event.object)))
            else:
                self._enqueue(self._graph.put(node_of(kind, event.object)))

        return handle

    def _enqueue(self, concerned: set[str]) -> None:
        for one in concerned:
            self._queue.add(Key("", one))

    async def reconcile(self, key: Key) -> float | None:
        await self._ready.wait()
        node = self._graph.get(key.name)
        if node is None:
            return None
        if node.orphans_dependents:
            await self._orphan(node)
        elif node.deletes_dependents:
            await self._delete_dependents(node)
        elif not node.is_deleting and node.owners:
            return await self._delete_if_garbage(node)
        return None

    # --- the owner's side ---------------------------------------------------------------------------------------------

    async def _orphan(self, node: Node) -> None:
        await asyncio.gather(
            *(self._drop_owners(dependent, {node.uid}) for dependent in self._graph.dependents(node.uid))
        )
        await self._drop_finalizer(node, ORPHAN)

    async def _delete_dependents(self, node: Node) -> None:
        blocking = self._graph.blocking(node.uid)
        if not blocking:
            await self._drop_finalizer(node, FOREGROUND)
            return
        for dependent in blocking:
            if not dependent.is_deleting:
                self._queue.add(Key("", dependent.uid))

    # --- the dependent's side -----------------------------------------------------------------------------------------

    async def _delete_if_garbage(self, node: Node) -> float | None:
        latest = await self._live(node)
        if latest is None:
            return None
        node = node_of(node.kind, latest)
        if node.is_deleting:
            return None
        owners = await self._classify(node)
        gone = uids(owners.dangling) | uids(owners.waiting)
        if owners.solid:
            if gone:
                await self._drop_owners(node, gone)
        elif owners.waiting and self._graph.dependents(node.uid):
            if any(dependent.deletes_dependents for dependent in self._graph.dependents(node.uid)):
                # A circle: the dependent waits for this object's owner as well. Let nobody wait for this one.
                await self._unblock_owners(node)
            await self._delete(node, latest, "Foreground")
        elif gone:
            await self._delete(node, latest, _propagation(node))
        return _RECHECK_SECONDS if owners.recheck else None

    async def _classify(self, node: Node) -> _Owners:
        found = _Owners()
        for ref in node.owners:
            owner = self._graph.knows_owner(node, ref)
            if owner is not None:
                (found.waiting if owner.deletes_dependents else found.solid).append(ref)
                continue
            kind = self._by_kind.get((ref["apiVersion"].rpartition("/")[0], ref["kind"]))
            if kind is None or (kind.namespaced and not node.namespace):
                # An unknown kind may be served again; a cluster-scoped object can't have a namespaced owner at all.
                # Neither proves that the owner is gone.
                found.solid.append(ref)
                continue
            live = await self._live_owner(kind, ref, node.namespace)
            if live is None:
                found.dangling.append(ref)
            elif is_deleting(live) and FOREGROUND in (live["metadata"].get("finalizers") or ()):
                found.waiting.append(ref)
            else:
                found.solid.append(ref)
                found.recheck = found.recheck or kind.store_resource in self._watched
        return found

    async def _live_owner(self, kind: ResourceKind, ref: Object, namespace: str) -> Object | None:
        try:
            live = await self._client.get(kind.gvr, ref["name"], namespace if kind.namespaced else "")
        except NotFound:
            return None
        return live if uid(live) == ref["uid"] else None

    async def _live(self, node: Node) -> Object | None:
        try:
            live = await self._client.get(node.kind.gvr, node.name, node.namespace)
        except NotFound:
            return None
        return live if uid(live) == node.uid else None

    # --- writing ------------------------------------------------------------------------------------------------------

    async def _delete(self, node: Node, latest: Object, propagation: str) -> None:
        options = DeleteOptions(
            uid=node.uid, resource_version=latest["metadata"]["resourceVersion"], propagation=propagation
        )
        try:
            await self._client.delete(node.kind.gvr, node.name, node.namespace, options=options)
        except MethodNotAllowed as error:
            log.debug("%s %s can't be deleted: %s", node.kind.kind, node.name, error)
        except NotFound:
            return

    async def _drop_finalizer(self, node: Node, finalizer: str) -> None:
        live = await self._live(node)
        if live is not None and finalizer in (live["metadata"].get("finalizers") or ()):
            kept = [one for one in live["metadata"]["finalizers"] if one != finalizer]
            await self._patch_metadata(node, live, {"finalizers": kept})

    async def _drop_owners(self, node: Node, gone: set[str]) -> None:
        live = await self._live(node)
        references = (live["metadata"].get("ownerReferences") or []) if live is not None else []
        kept = [ref for ref in references if ref["uid"] not in gone]
        if live is not None and len(kept) != len(references):
            await self._patch_metadata(node, live, {"ownerReferences": kept})

    async def _unblock_owners(self, node: Node) -> None:
        live = await self._live(node)
        if live is None:
            return
        references = [{**ref, "blockOwnerDeletion": False} for ref in live["metadata"].get("ownerReferences") or ()]
        await self._patch_metadata(node, live, {"ownerReferences": references})

    async def _patch_metadata(self, node: Node, live: Object, change: Object) -> None:
        metadata = {**change, "uid": node.uid, "resourceVersion": live["metadata"]["resourceVersion"]}
        with suppress(NotFound):
            await self._client.patch(
                node.kind.gvr, node.name, {"metadata": metadata}, node.namespace, patch_type=PatchType.MERGE
            )


def _propagation(node: Node) -> str:
    if ORPHAN in node.finalizers:
        return "Orphan"
    return "Foreground" if FOREGROUND in node.finalizers else "Background"
