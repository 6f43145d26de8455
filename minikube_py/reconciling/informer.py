"""Mirrors one selection of objects into a cache by list and watch, and tells subscribers what changed.

Writers may hand the answers of their own writes to `assume`, so that the next reconcile already sees them. That
replaces client-go's expectations: revisions are one ordered counter, so an assumed state is kept exactly until
the watch has caught up with it, and is ignored when the watch is already past it.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import NamedTuple, cast

from minikube_py import clock, ids
from minikube_py.client.protocol import EVERYTHING, Client, Selection, WatchEvent
from minikube_py.objects.errors import ApiError, Expired, Gone, Object
from minikube_py.reconciling.cache import Cache, IndexFn, Key, key_of
from minikube_py.resources.kind import GVR

log = logging.getLogger(__name__)

ADDED, MODIFIED, DELETED, BOOKMARK = "ADDED", "MODIFIED", "DELETED", "BOOKMARK"

_FIRST_DELAY_SECONDS = 0.2
_LONGEST_DELAY_SECONDS = 30.0
_HEALTHY_WATCH_SECONDS = 5.0


class InformerEvent(NamedTuple):
    """One change. previous is the state subscribers were last told of (None for ADDED).

    For DELETED, object is the last state of the object. All objects are shared: read-only.
    """

    type: str
    object: Object
    previous: Object | None


Handler = Callable[[InformerEvent], None]
Transform = Callable[[Object], Object]


def revision_of(obj: Object) -> int:
    """The resourceVersion as a number; 0 when there is none."""
    return int(obj["metadata"].get("resourceVersion") or 0)


class Informer:
    """One list and watch. Subscribers are called synchronously, in the order of the changes."""

    def __init__(
        self,
        client: Client,
        gvr: GVR,
        selection: Selection = EVERYTHING,
        *,
        indexers: Mapping[str, IndexFn] | None = None,
        transform: Transform | None = None,
    ) -> None:
        self.gvr = gvr
        self.selection = selection
        self.cache = Cache(indexers)
        self._client = client
        self._transform = transform
        self._handlers: list[Handler] = []
        self._synced = asyncio.Event()
        self._revision = ""
        # For every key whose cached state is an assumed one: the state that subscribers know.
        self._told: dict[Key, Object | None] = {}

    @property
    def has_synced(self) -> bool:
        """Whether the first list has been delivered."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        await self._synced.wait()

    def subscribe(self, handler: Handler) -> Callable[[], None]:
        """Call handler for every change from now on, and at once (ADDED) for what is there already.

        Returns a function that ends the subscription.
        """
        self._handlers.append(handler)
        for obj in list(self.cache):
            told = self._told.get(key_of(obj), obj)
            if told is not None:
                handler(InformerEvent(ADDED, told, None))

        def unsubscribe() -> None:
            if handler in self._handlers:
                self._handlers.remove(handler)

        return unsubscribe

    def assume(self, obj: Object) -> None:
        """Take the answer of a write into the cache ahead of the watch. The object must not be changed afterwards."""
        if not self._revision or revision_of(obj) <= int(self._revision):
            return
        if self._transform is not None:
            obj = self._transform(obj)
        key = key_of(obj)
        current = self.cache.get(*key)
        if current is not None and revision_of(current) >= revision_of(obj):
            return
        self.cache.put(obj)
        self._told.setdefault(key, current)

    def assume_deleting(self, obj: Object) -> None:
        """After a successful delete call: show the cached object as being deleted until the watch says more."""
        key = key_of(obj)
        current = self.cache.get(*key)
        if current is None or current["metadata"].get("uid") != obj["metadata"].get("uid"):
            return
        if current["metadata"].get("deletionTimestamp"):
            return
        metadata = {**current["metadata"], "deletionTimestamp": clock.rfc3339(), "deletionGracePeriodSeconds": 0}
        self.cache.put({**current, "metadata": metadata})
        self._told.setdefault(key, current)

    async def run(self) -> None:
        """List and watch for ever; nothing but cancellation ends it."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            started = loop.time()
            try:
                if not self._revision:
                    await self._relist()
                await self._follow()
            except (Expired, Gone):
                self._revision = ""
            except (ApiError, OSError, TimeoutError) as error:
                log.warning("watching %s: %s", "/".join(filter(None, self.gvr)), error)
                failures = max(failures, 1)
            if loop.time() - started > _HEALTHY_WATCH_SECONDS:
                failures = 0
            if failures:
                delay = min(_FIRST_DELAY_SECONDS * 2 ** (failures - 1), _LONGEST_DELAY_SECONDS)
                await asyncio.sleep(ids.jitter(delay, 0.5))
            failures += 1

    async def _relist(self) -> None:
        answer = await self._client.list(self.gvr, self.selection)
        items = [self._transform(item) for item in answer.items] if self._transform else answer.items
        listed = {key_of(item): item for item in items}
        self._revision = answer.resource_version
        for key in self.cache.keys():
            if key not in listed:
                self._take_removal(key, None)
        for item in items:
            self._take(item)
        self._synced.set()

    async def _follow(self) -> None:
        events = self._client.watch(self.gvr, self.selection, resource_version=self._revision, bookmarks=True)
        async with aclosing(cast(AsyncGenerator[WatchEvent, None], events)) as stream:
            async for event in stream:
                obj = event.object
                if event.type != BOOKMARK:
                    if self._transform is not None:
                        obj = self._transform(obj)
                    if event.type == DELETED:
                        self._take_removal(key_of(obj), obj)
                    else:
                        self._take(obj)
                self._revision = event.object["metadata"]["resourceVersion"]

    def _take(self, obj: Object) -> None:
        key = key_of(obj)
        current = self.cache.get(*key)
        told = self._told.pop(key, current)
        if current is not None and revision_of(current) > revision_of(obj):
            self._told[key] = obj  # an assumed state ahead of the watch stays
        else:
            self.cache.put(obj)
        if told is None:
            self._tell(InformerEvent(ADDED, obj, None))
        elif told["metadata"].get("uid") != obj["metadata"].get("uid"):
            self._tell(InformerEvent(DELETED, told, told))
            self._tell(InformerEvent(ADDED, obj, None))
        elif revision_of(told) != revision_of(obj):
            self._tell(InformerEvent(MODIFIED, obj, told))

    def _take_removal(self, key: Key, last: Object | None) -> None:
        current = self.cache.get(*key)
        told = self._told.pop(key, current)
        revision = revision_of(last) if last is not None else int(self._revision or 0)
        if current is not None and revision_of(current) > revision:
            self._told[key] = None  # a newer object of this name has been assumed
        else:
            self.cache.remove(key)
        if told is not None:
            self._tell(InformerEvent(DELETED, last if last is not None else told, told))

    def _tell(self, event: InformerEvent) -> None:
        for handler in tuple(self._handlers):
            handler(event)


class InformerSet:
    """Informers of one client, shared by everybody who asks for the same kind and selection."""

    def __init__(self, client: Client, *, transform: Transform | None = None) -> None:
        self._client = client
        self._transform = transform
        self._informers: dict[tuple[GVR, Selection], Informer] = {}
        self._tasks: dict[tuple[GVR, Selection], asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    def informer(
        self,
        gvr: GVR,
        selection: Selection = EVERYTHING,
        *,
        indexers: Mapping[str, IndexFn] | None = None,
    ) -> Informer:
        """The shared informer; it starts at once when the set is running."""
        key = (gvr, selection)
        found = self._informers.get(key)
        if found is None:
            found = Informer(self._client, gvr, selection, transform=self._transform)
            self._informers[key] = found
            if self._group is not None:
                self._start(key)
        for name, indexer in (indexers or {}).items():
            found.cache.add_indexer(name, indexer)
        return found

    def all(self) -> list[Informer]:
        return list(self._informers.values())

    def remove(self, gvr: GVR, selection: Selection = EVERYTHING) -> None:
        """Stop and forget one informer (a kind that is no longer served)."""
        self._informers.pop((gvr, selection), None)
        task = self._tasks.pop((gvr, selection), None)
        if task is not None:
            task.cancel()

    async def wait_synced(self) -> None:
        """Wait for every informer that is in the set now."""
        for informer in self.all():
            await informer.wait_synced()

    async def run(self) -> None:
        """Run all informers, also those added later, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for key in list(self._informers):
                    self._start(key)
                await asyncio.Event().wait()
        finally:
            self._group = None
            self._tasks.clear()

    def _start(self, key: tuple[GVR, Selection]) -> None:
        assert self._group is not None
        self._tasks[key] = self._group.create_task(self._informers[key].run(), name=f"informer {key[0].resource}")
