"""The store's contract: objects under (resource, namespace, name), one revision counter, and a watch."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol


class Key(NamedTuple):
    """Where an object lives. resource is `group/plural`; namespace is '' for cluster-scoped objects."""

    resource: str
    namespace: str
    name: str


class Value(NamedTuple):
    """JSON bytes with a hole for the revision: the stored bytes are head + str(revision) + tail."""

    head: bytes
    tail: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """One stored revision of one object.

    data is the whole JSON text; data[rv_start:rv_end] are the digits of its resourceVersion.
    labels and fields are the index that selectors are answered from.
    """

    key: Key
    revision: int
    uid: str
    data: bytes
    rv_start: int
    rv_end: int
    labels: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)

    def at_revision(self, revision: int) -> bytes:
        """The JSON text with another resourceVersion in it (a DELETED event carries the deletion's)."""
        return self.data[: self.rv_start] + str(revision).encode() + self.data[self.rv_end :]


@dataclass(frozen=True, slots=True)
class Draft:
    """What a writer hands in: the value with its hole, and the index of it.

    on_commit is told of the record once it is durable, before anybody else hears of it. It must not raise.
    """

    value: Value
    uid: str
    labels: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    on_commit: Callable[[Record], None] | None = None


class ChangeType(StrEnum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Change:
    """One committed write. For DELETED, record is the last state with data already at the deletion's revision.

    previous is the state before (None for ADDED); it is what selector transitions are decided on.
    """

    revision: int
    type: ChangeType
    record: Record
    previous: Record | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """The answer to a list: records in (namespace, name) order, and the revision they stand at."""

    records: Sequence[Record]
    revision: int


class StoreError(Exception):
    """Every error a store call can end in."""


class KeyNotFound(StoreError):
    pass


class KeyExists(StoreError):
    pass


class RevisionConflict(StoreError):
    """The object is not at the expected revision; `current` is what is stored now."""

    def __init__(self, current: Record) -> None:
        super().__init__(f"{current.key} is at revision {current.revision}")
        self.current = current


class RevisionTrimmed(StoreError):
    """The revision asked for is older than the kept history; `oldest` is the first that can be resumed from."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"history starts at revision {oldest}")
        self.oldest = oldest


class WatcherTooSlow(StoreError):
    """The watcher's buffer overflowed; it must list again."""


class StoreUnavailable(StoreError):
    """The write could not be made durable (disk full, store closed); nothing of it was published. Worth a retry."""


IndexFunction = Callable[[Key, bytes], tuple[str, Mapping[str, str], Mapping[str, str]]]
"""(key, JSON text) -> (uid, labels, fields): how a store rebuilds the index when it loads from disk."""


class Changes(Protocol):
    """A stream of batches of changes, in order and without end. Raises WatcherTooSlow while iterating."""

    def __aiter__(self) -> AsyncIterator[Sequence[Change]]: ...

    async def __anext__(self) -> Sequence[Change]: ...

    def nudge(self) -> None:
        """Whoever waits for the next batch, or does so next, gets an empty one, with no task of its own for that."""
        ...

    def end(self) -> None:
        """No more changes will come: the iteration ends after those already here."""
        ...

    async def aclose(self) -> None: ...


class Store(Protocol):
    """get and list answer from memory and never wait; writes return once they are durable and published."""

    @property
    def revision(self) -> int:
        """The revision of the last published write."""
        ...

    def get(self, key: Key) -> Record | None: ...

    def list(self, resource: str, namespace: str = "") -> Page:
        """All records of a resource, or of one namespace of it."""
        ...

    def changed_at(self, resource: str) -> int:
        """The revision of the newest change to a resource, 0 when there was never an object: to keep what is made of
        all its objects for as long as it holds."""
        ...

    async def create(self, key: Key, draft: Draft) -> Record:
        """Raises KeyExists."""
        ...

    async def update(self, key: Key, draft: Draft, expected: int) -> Record:
        """Raises KeyNotFound, RevisionConflict."""
        ...

    async def delete(self, key: Key, expected: int) -> Change:
        """Raises KeyNotFound, RevisionConflict."""
        ...

    def watch(self, resource: str, namespace: str = "", after: int | None = None) -> Changes:
        """Changes with revision > after; None means from now on.

        The subscription starts when the call returns, not at the first step, so that list-then-watch has no gap.
        Raises RevisionTrimmed here, WatcherTooSlow while iterating. Close the iterator with aclose().
        """
        ...

    async def trim(self) -> int:
        """Drop history past the retention bounds in one small slice; the number of changes dropped (0: done)."""
        ...
