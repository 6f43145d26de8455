"""Bounds the kept history of changes: by count, by size, and by age."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from minikube_py.store.protocol import Change


@dataclass(frozen=True)
class Retention:
    """How much history stays. Revisions older than that answer RevisionTrimmed."""

    max_changes: int = 10_000
    max_bytes: int = 32 * 1024 * 1024
    slice_size: int = 500


DEFAULT_RETENTION = Retention()


class History:
    """The changes that a watch can resume from, oldest first.

    `floor` is the newest revision that is gone: a watch may resume after it, but not after anything older.
    """

    def __init__(self, retention: Retention, floor: int = 0) -> None:
        self._retention = retention
        self._changes: deque[Change] = deque()
        self._bytes = 0
        self.floor = floor

    def __len__(self) -> int:
        return len(self._changes)

    def extend(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self._changes.append(change)
            self._bytes += len(change.record.data)

    def after(self, revision: int) -> list[Change]:
        """Changes newer than `revision`, oldest first."""
        newer: list[Change] = []
        for change in reversed(self._changes):
            if change.revision <= revision:
                break
            newer.append(change)
        newer.reverse()
        return newer

    @property
    def is_over(self) -> bool:
        return len(self._changes) > self._retention.max_changes or self._bytes > self._retention.max_bytes

    def trim_slice(self) -> list[Change]:
        """Drop at most one slice of what is past the bounds and return it."""
        dropped: list[Change] = []
        while self.is_over and self._changes and len(dropped) < self._retention.slice_size:
            change = self._changes.popleft()
            self._bytes -= len(change.record.data)
            self.floor = change.revision
            dropped.append(change)
        return dropped
