"""Bounds the kept history of changes: by count, by size, and by age."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from minikube_py import clock
from minikube_py.store.protocol import Change, Key


@dataclass(frozen=True)
class Retention:
    """How much history stays. Revisions older than that answer RevisionTrimmed.

    max_bytes counts superseded states (the current ones are kept anyway). slice_size is how many changes one trim
    drops, and how far history may run over before it is trimmed at all: a trim costs a commit.
    """

    max_changes: int = 10_000
    max_bytes: int = 32 * 1024 * 1024
    max_age_seconds: float = 24 * 3600.0
    slice_size: int = 500


DEFAULT_RETENTION = Retention()

_OVERHEAD_BYTES = 200


class Kept(NamedTuple):
    """One change of the history. change is None when only the database has it (from before this start)."""

    change: Change | None
    size: int
    created: float


class History:
    """The changes that a watch can resume from, oldest first.

    `floor` is the newest revision that is gone: a watch may resume after it, but not after anything older.
    Soft changes to one object that follow each other count as one, the newest: a heartbeat must not push out history
    that somebody needs. `unsettled` holds those, each with the last settled state as its `previous`.
    """

    def __init__(
        self, retention: Retention = DEFAULT_RETENTION, floor: int = 0, inherited: Iterable[tuple[int, Kept]] = ()
    ) -> None:
        self._retention = retention
        self._kept: OrderedDict[int, Kept] = OrderedDict(inherited)
        self._bytes = sum(kept.size for kept in self._kept.values())
        self._last_inherited = next(reversed(self._kept), 0)
        self.floor = floor
        self.unsettled: dict[Key, Change] = {}

    def add(self, changes: Sequence[Change], *, is_soft: bool = False) -> None:
        """Take committed (or, when soft, only published) changes over."""
        now = clock.seconds()
        for change in changes:
            before = self.unsettled.pop(change.record.key, None)
            if is_soft:
                if before is not None:
                    self._forget(before.revision)
                    change = replace(change, previous=before.previous)
                self.unsettled[change.record.key] = change
            size = _OVERHEAD_BYTES + (len(change.previous.data) if change.previous else 0)
            self._kept[change.revision] = Kept(change, size, now)
            self._bytes += size

    def settle(self) -> None:
        """The soft changes so far are on disk: what follows starts from them."""
        self.unsettled.clear()

    def _forget(self, revision: int) -> None:
        kept = self._kept.pop(revision, None)
        if kept is not None:
            self._bytes -= kept.size

    def after(self, revision: int) -> list[Change]:
        """Changes of this life newer than `revision`, oldest first."""
        newer: list[Change] = []
        for number in reversed(self._kept):
            change = self._kept[number].change
            if number <= revision or change is None:
                break
            newer.append(change)
        newer.reverse()
        return newer

    def is_inherited_after(self, revision: int) -> bool:
        """Are there changes newer than `revision` that only the database has?"""
        return revision < self._last_inherited

    @property
    def last_inherited(self) -> int:
        return self._last_inherited

    def _is_over_by(self, slack: int) -> bool:
        limits = self._retention
        if len(self._kept) > limits.max_changes + slack or self._bytes > limits.max_bytes * (1.1 if slack else 1):
            return True
        oldest = next(iter(self._kept.values()), None)
        age = clock.seconds() - oldest.created if oldest is not None else 0
        return age > limits.max_age_seconds * (1.1 if slack else 1)

    @property
    def is_over(self) -> bool:
        """Is a trim worth its commit?"""
        return self._is_over_by(self._retention.slice_size)

    @property
    def is_far_over(self) -> bool:
        """Must a trim go ahead of waiting writes?"""
        return len(self._kept) > self._retention.max_changes + 8 * self._retention.slice_size

    def trim_slice(self) -> int:
        """Drop at most one slice of what is past the bounds; how many were dropped."""
        dropped = 0
        while self._kept and dropped < self._retention.slice_size and self._is_over_by(0):
            self.floor, kept = self._kept.popitem(last=False)
            self._bytes -= kept.size
            dropped += 1
        return dropped
