"""Streams changes: from a revision or with the initial state first, selected, with bookmarks and an end."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from minikube_py import ids
from minikube_py.apiserver.call import ApiCall
from minikube_py.apiserver.query_options import check_watch_options, number, revision
from minikube_py.apiserver.records import LeftRecord
from minikube_py.apiserver.request_info import is_true
from minikube_py.apiserver.selecting import RecordSelection, selection_of
from minikube_py.objects.errors import Expired, Object
from minikube_py.resources.kind import ResourceKind
from minikube_py.store.protocol import Change, Changes, ChangeType, Record, RevisionTrimmed, WatcherTooSlow

BOOKMARK_SECONDS = 60.0
_INITIAL_BATCH = 256
_MIN_TIMEOUT_SECONDS = 1800
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Event(NamedTuple):
    """One event of a watch. A bookmark has no record; `revision` is the object's resourceVersion."""

    type: str
    revision: int
    record: Record | None
    is_initial_end: bool = False


@dataclass(frozen=True)
class WatchOptions:
    """start: None for the current state first, else the revision to go on from."""

    selection: RecordSelection
    start: int | None
    bookmarks: bool
    sends_initial_events: bool
    timeout_seconds: float


def read_options(call: ApiCall) -> WatchOptions:
    query = call.query
    text = query.get("resourceVersion") or ""
    asked = revision(text)
    bookmarks = is_true(query.get("allowWatchBookmarks"))
    initial = query.get("sendInitialEvents")
    check_watch_options(query)
    sends_initial = is_true(initial)
    start = None if sends_initial or (text in ("", "0") and initial is None) else asked
    if initial is not None and not sends_initial and text in ("", "0"):
        start = call.context.store.revision
    number(query, "limit")  # has no meaning here, and is no less a number for it
    timeout = number(query, "timeoutSeconds") or _MIN_TIMEOUT_SECONDS + ids.pick(_MIN_TIMEOUT_SECONDS)
    return WatchOptions(selection_of(call), start, bookmarks, sends_initial, timeout)


class _Pulse:
    """Nudges a watch that has had nothing for a while, and when its time is over.

    One timer, that looks when it fires how things are: moving it with every event would cost more than the event.
    """

    def __init__(self, changes: Changes, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._changes = changes
        self._end = self._loop.time() + seconds
        self._next = 0.0
        self.put_off()
        self._timer = self._loop.call_at(self._next, self._fire)

    def put_off(self) -> None:
        """There was an event."""
        self._next = min(self._loop.time() + BOOKMARK_SECONDS, self._end)

    @property
    def is_over(self) -> bool:
        return self._loop.time() >= self._end

    def _fire(self) -> None:
        if self._loop.time() >= self._next:
            self.put_off()
            self._changes.nudge()
        if not self.is_over:
            self._timer = self._loop.call_at(self._next, self._fire)

    def stop(self) -> None:
        self._timer.cancel()


class Watch:
    """A running watch. It listens from the moment it is made, so nothing is lost before the first step.

    Iterate over `batches()`; close with aclose(). Raises Expired here when the revision is too old, and while
    iterating when the watcher is too slow.
    """

    def __init__(self, call: ApiCall, options: WatchOptions) -> None:
        store, kind, namespace = call.context.store, call.kind, call.info.namespace
        self.gvr = kind.gvr
        self._is_outdated = False
        self._conversions = call.context.conversions
        self._open_custom = call.context.custom_watches
        self._store = store
        self._kind = kind
        self._options = options
        self._seen = options.start if options.start is not None else 0
        self._initial: Sequence[Record] = ()
        after = options.start
        if after is None:
            page = store.list(kind.store_resource, namespace)
            self._initial, after = page.records, page.revision
            if not self._is_converted_first:
                self._initial = list(options.selection.choose(page.records))
            self._seen = page.revision
        try:
            self._changes = store.watch(kind.store_resource, namespace, after)
        except RevisionTrimmed as error:
            raise Expired(f"too old resource version: {after} ({error.oldest})") from None
        if kind.custom:
            self._open_custom.add(self)

    def end(self, *, is_outdated: bool) -> None:
        """Its kind is gone, or outdated: served in another way from now on, in which clients watch on."""
        self._is_outdated = is_outdated
        self._changes.end()

    async def batches(self) -> AsyncIterator[list[Event]]:
        """Batches of events until the watch's time is over."""
        if self._options.start is None:
            initial = await self._take_initial()
            for start in range(0, len(initial), _INITIAL_BATCH):
                if self._is_outdated:
                    return
                part = initial[start : start + _INITIAL_BATCH]
                yield await self._ready([Event("ADDED", r.revision, r) for r in part])
            if self._options.sends_initial_events and self._options.bookmarks:
                yield [Event("BOOKMARK", self._seen, None, is_initial_end=True)]
        pulse = _Pulse(self._changes, self._options.timeout_seconds)
        try:
            async for batch in self._changes:
                if self._is_outdated:
                    return
                if batch:
                    events = await self._select(batch)
                    if events:
                        pulse.put_off()
                        yield await self._ready(events)
                elif not pulse.is_over and self._options.bookmarks and self._store.revision > self._seen:
                    self._seen = self._store.revision
                    yield [Event("BOOKMARK", self._seen, None)]
                if pulse.is_over:
                    return
        except WatcherTooSlow as error:
            raise Expired(str(error)) from None
        finally:
            pulse.stop()
            await self.aclose()

    async def endless(self) -> AsyncIterator[list[Event]]:
        """Batches of changes until closed: for watchers in the process, which need neither bookmarks nor a time limit,
        so that nothing runs while nothing changes.
        """
        first = [Event("ADDED", r.revision, r) for r in await self._take_initial()]
        if first:
            yield await self._ready(first)
        try:
            async for batch in self._changes:
                if self._is_outdated:
                    return
                events = await self._select(batch)
                if events:
                    yield await self._ready(events)
        except WatcherTooSlow as error:
            raise Expired(str(error)) from None
        finally:
            await self.aclose()

    async def _ready(self, events: list[Event]) -> list[Event]:
        """The events, once their objects can be read in this version."""
        if self._kind.custom:
            await self._conversions.ready(self._kind, [e.record for e in events if e.record is not None])
        return events

    @property
    def _is_converted_first(self) -> bool:
        """Fields of a custom kind are those of the version that is watched: they can be read once it was converted."""
        return self._kind.custom and not self._options.selection.fields.is_empty

    async def _take_initial(self) -> Sequence[Record]:
        initial, self._initial = self._initial, ()
        if not self._is_converted_first:
            return initial
        await self._conversions.ready(self._kind, initial)
        return list(self._options.selection.choose(initial))

    async def _select(self, changes: Sequence[Change]) -> list[Event]:
        self._seen = changes[-1].revision
        selection = self._options.selection
        if self._kind.custom:
            changes = [_read_as_it_was(change) for change in changes]
        if selection.is_all:
            return [Event(c.type, c.revision, c.record) for c in changes]
        if self._is_converted_first:
            states = [state for change in changes for state in (change.previous, change.record) if state is not None]
            await self._conversions.ready(self._kind, states)
        events = (transition(selection, change) for change in changes)
        return [event for event in events if event is not None]

    async def aclose(self) -> None:
        self._open_custom.discard(self)
        await self._changes.aclose()


def transition(selection: RecordSelection, change: Change) -> Event | None:
    """What a change means to a watcher with selectors: objects appear when they begin to match, and vanish."""
    before = change.previous is not None and selection.matches(change.previous)
    if change.type is ChangeType.DELETED:
        return Event("DELETED", change.revision, change.record) if before else None
    after = selection.matches(change.record)
    if after:
        return Event("MODIFIED" if before else "ADDED", change.revision, change.record)
    if before and change.previous is not None:
        return Event("DELETED", change.revision, _left(change.previous, change.revision))
    return None


def _read_as_it_was(change: Change) -> Change:
    """A deleted custom object was written before its deletion's revision, so perhaps for another schema."""
    if change.type is not ChangeType.DELETED or change.previous is None:
        return change
    return Change(change.revision, change.type, _left(change.previous, change.revision), change.previous)


def _left(record: Record, revision: int) -> Record:
    """The last state that could be seen, at the revision at which that ceased."""
    data = record.at_revision(revision)
    start, end = record.rv_start, record.rv_start + len(str(revision))
    return LeftRecord(record.key, revision, record.uid, data, start, end, record.labels, record.fields, record.revision)


def bookmark(kind: ResourceKind, event: Event) -> Object:
    """The object of a BOOKMARK event."""
    metadata: Object = {"resourceVersion": str(event.revision), "creationTimestamp": None}
    if event.is_initial_end:
        metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
    return {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}


def open_watch(call: ApiCall) -> Watch:
    return Watch(call, read_options(call))
