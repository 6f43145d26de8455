"""Keeps the current objects in memory, and stages writes against them before they are committed."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from minikube_py.store.protocol import (
    Change,
    ChangeType,
    Draft,
    Key,
    KeyExists,
    KeyNotFound,
    Page,
    Record,
    RevisionConflict,
)

FIRST_REVISION = 1
"""Where an empty store stands: clients read "0" as "any revision", so no list may answer it."""


@dataclass(frozen=True, slots=True)
class Write:
    """A write as it was asked for. draft None is a delete; expected None is a create."""

    key: Key
    draft: Draft | None
    expected: int | None


class _Shelf:
    """The objects of one resource in one namespace, names kept in order so that a list needs no sorting."""

    __slots__ = ("names", "records")

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.names: list[str] = []

    def put(self, record: Record) -> None:
        name = record.key.name
        if name not in self.records:
            insort(self.names, name)
        self.records[name] = record

    def remove(self, name: str) -> None:
        if self.records.pop(name, None) is not None:
            del self.names[bisect_left(self.names, name)]


class Ledger:
    """Current records by key, and the revision of the last one that was put."""

    def __init__(self, revision: int = 0) -> None:
        self.revision = revision
        self._resources: dict[str, dict[str, _Shelf]] = {}
        self._changed: dict[str, int] = {}

    def changed_at(self, resource: str) -> int:
        return self._changed.get(resource, 0)

    def get(self, key: Key) -> Record | None:
        shelf = self._resources.get(key.resource, {}).get(key.namespace)
        return shelf.records.get(key.name) if shelf else None

    def list(self, resource: str, namespace: str = "") -> Page:
        shelves = self._resources.get(resource, {})
        if namespace:
            wanted = [shelves[namespace]] if namespace in shelves else []
        else:
            wanted = [shelves[name] for name in sorted(shelves)]
        records = [shelf.records[name] for shelf in wanted for name in shelf.names]
        return Page(records, self.revision)

    def load(self, record: Record) -> None:
        """Put a record that was committed in an earlier life."""
        resource = record.key.resource
        shelves = self._resources.setdefault(resource, {})
        shelves.setdefault(record.key.namespace, _Shelf()).put(record)
        if record.revision > self._changed.get(resource, 0):
            self._changed[resource] = record.revision

    def apply(self, changes: Iterable[Change]) -> None:
        """Take committed changes over."""
        for change in changes:
            if change.type is ChangeType.DELETED:
                key = change.record.key
                shelf = self._resources[key.resource][key.namespace]
                shelf.remove(key.name)
                self._changed[key.resource] = change.revision
                if not shelf.names:
                    del self._resources[key.resource][key.namespace]
            else:
                self.load(change.record)
            self.revision = change.revision


class Stage:
    """Writes of one transaction, checked one after the other against the ledger and each other."""

    def __init__(self, ledger: Ledger, revision: int) -> None:
        self._ledger = ledger
        self._overlay: dict[Key, Record | None] = {}
        self.revision = revision

    def add(self, write: Write) -> Change:
        """The change this write makes. Raises KeyExists, KeyNotFound, RevisionConflict; then nothing is staged."""
        key = write.key
        current = self._overlay[key] if key in self._overlay else self._ledger.get(key)
        if write.expected is None:
            if current is not None:
                raise KeyExists(f"{key} exists")
        elif current is None:
            raise KeyNotFound(f"{key} does not exist")
        elif current.revision != write.expected:
            raise RevisionConflict(current)
        self.revision += 1
        change = self._change(key, write.draft, current)
        self._overlay[key] = None if change.type is ChangeType.DELETED else change.record
        return change

    def _change(self, key: Key, draft: Draft | None, current: Record | None) -> Change:
        if draft is None:
            assert current is not None
            return Change(self.revision, ChangeType.DELETED, tombstone(current, self.revision), current)
        record = make_record(key, draft, self.revision)
        kind = ChangeType.ADDED if current is None else ChangeType.MODIFIED
        return Change(self.revision, kind, record, current)


def make_record(key: Key, draft: Draft, revision: int) -> Record:
    digits = str(revision).encode()
    head, tail = draft.value
    start = len(head)
    data = b"".join((head, digits, tail))
    return Record(key, revision, draft.uid, data, start, start + len(digits), _shared(draft.labels), draft.fields)


def tombstone(record: Record, revision: int) -> Record:
    """The last state of a deleted object, at its deletion's revision."""
    data = record.at_revision(revision)
    end = record.rv_start + len(str(revision))
    return Record(record.key, revision, record.uid, data, record.rv_start, end, record.labels, record.fields)


_EMPTY: Mapping[str, str] = {}


def _shared(labels: Mapping[str, str]) -> Mapping[str, str]:
    """One empty mapping for the many objects without labels."""
    return labels or _EMPTY
