"""Keeps Events within bounds of their own: by age, by number and by size, those that were longest unchanged go first.

Every write starts an Event's time anew, as Kubernetes' lease on it does. Nothing runs while nothing is written and
nothing expires: one timer waits for the oldest.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from minikube_py import clock
from minikube_py.store.protocol import (
    Change,
    ChangeType,
    Key,
    KeyNotFound,
    Record,
    RevisionConflict,
    Store,
    StoreUnavailable,
    WatcherTooSlow,
)

log = logging.getLogger(__name__)

RESOURCE = "/events"
RETRY_SECONDS = 60.0
# Over the bounds by this part before anything is dropped: a drop costs a commit.
_SLACK = 0.02
_SLICE = 500


@dataclass(frozen=True)
class EventBounds:
    """How much stays. max_bytes counts the JSON text."""

    max_age_seconds: float = 7 * 24 * 3600.0
    max_events: int = 20_000
    max_bytes: int = 32 * 1024 * 1024


@dataclass(slots=True)
class _Kept:
    """One event. written is in seconds since the epoch; None until somebody needs it."""

    record: Record
    written: float | None


class EventRetention:
    """Follows the store's events; `run()` for as long as the store lives."""

    def __init__(self, store: Store, bounds: EventBounds | None = None) -> None:
        self._store = store
        self._bounds = bounds or EventBounds()
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._bytes = 0

    async def run(self) -> None:
        while True:
            page = self._store.list(RESOURCE)
            self._load(page.records)
            try:
                await self._follow(self._store.watch(RESOURCE, after=page.revision))
                return
            except WatcherTooSlow:
                continue

    def _load(self, records: Iterable[Record]) -> None:
        self._kept.clear()
        for record in sorted(records, key=lambda record: record.revision):
            self._kept[record.key] = _Kept(record, None)
        self._bytes = sum(len(kept.record.data) for kept in self._kept.values())

    async def _follow(self, changes: AsyncIterator[Sequence[Change]]) -> None:
        step: asyncio.Task[Sequence[Change]] | None = None
        try:
            while True:
                await self._drop_due()
                if step is None:
                    step = asyncio.ensure_future(anext(changes))
                await asyncio.wait((step,), timeout=self._seconds_to_expiry())
                if step.done():
                    batch, step = step.result(), None
                    for change in batch:
                        self._take(change)
        except StopAsyncIteration:
            return
        finally:
            if step is not None:
                step.cancel()
            await changes.aclose()  # type: ignore[attr-defined]

    def _take(self, change: Change) -> None:
        record = change.record
        self._forget(record.key)
        if change.type is not ChangeType.DELETED:
            self._kept[record.key] = _Kept(record, clock.seconds())
            self._bytes += len(record.data)

    def _forget(self, key: Key) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= len(kept.record.data)

    # -- what goes

    async def _drop_due(self) -> None:
        is_over = self._is_over(_SLACK)
        while self._kept and (self._is_over(0.0) if is_over else self._seconds_to_expiry() == 0.0):
            slice_ = list(self._due(is_over))
            results = await asyncio.gather(*(self._delete(record) for record in slice_), return_exceptions=True)
            for error in results:
                if isinstance(error, StoreUnavailable):
                    log.warning("events can't be dropped now: %s", error)
                    await asyncio.sleep(RETRY_SECONDS)
                    return
                if isinstance(error, BaseException):
                    raise error
            is_over = self._is_over(0.0)

    def _due(self, is_over: bool) -> Iterable[Record]:
        """The oldest events that must go, one slice at most."""
        count, size = len(self._kept), self._bytes
        now = clock.seconds()
        for number, kept in enumerate(self._kept.values()):
            is_extra = is_over and (count - number > self._bounds.max_events or size > self._bounds.max_bytes)
            if number == _SLICE or not (is_extra or self._expiry(kept) <= now):
                return
            size -= len(kept.record.data)
            yield kept.record

    def _is_over(self, slack: float) -> bool:
        bounds = self._bounds
        return len(self._kept) > bounds.max_events * (1 + slack) or self._bytes > bounds.max_bytes * (1 + slack)

    def _seconds_to_expiry(self) -> float | None:
        """Until the oldest event's time is over; None when there are no events."""
        oldest = next(iter(self._kept.values()), None)
        return None if oldest is None else max(0.0, self._expiry(oldest) - clock.seconds())

    def _expiry(self, kept: _Kept) -> float:
        if kept.written is None:
            kept.written = written_at(orjson.loads(kept.record.data))
        return kept.written + self._bounds.max_age_seconds

    async def _delete(self, record: Record) -> None:
        try:
            await self._store.delete(record.key, record.revision)
        except KeyNotFound:
            pass
        except RevisionConflict:
            pass  # it was written again, and the watch is about to say so
        self._forget(record.key)


def written_at(event: Any) -> float:
    """When a stored event was last written, in seconds since the epoch, as far as it tells itself."""
    metadata, series = event.get("metadata") or {}, event.get("series") or {}
    texts = [metadata.get("creationTimestamp"), event.get("lastTimestamp"), series.get("lastObservedTime")]
    texts += [entry.get("time") for entry in metadata.get("managedFields") or ()]
    moments = []
    for text in texts:
        try:
            moments.append(clock.parse(text or "").timestamp())
        except ValueError:
            continue
    # One with a time in the future would stay for ever.
    return min(max(moments, default=0.0), clock.seconds())
