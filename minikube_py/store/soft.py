"""Says which writes are soft state: kept in memory first, since a crash that loses them costs nothing.

Only updates can be soft. A soft change has its own revision and reaches every watcher; on disk and in the history the
soft changes of one object that follow each other are one change, the last.
"""

from collections.abc import Callable

from minikube_py.store.ledger import Write
from minikube_py.store.protocol import Change, Draft, Key, Record

SoftPredicate = Callable[[Key, Draft, Record], bool]
"""(key, new state, current record) -> True when this update may wait for the disk."""


def nothing_is_soft(_key: Key, _draft: Draft, _current: Record) -> bool:
    return False


def leases_are_soft(key: Key, _draft: Draft, _current: Record) -> bool:
    """Renewals of Leases: heartbeats and users' leader elections."""
    return key.resource == "coordination.k8s.io/leases"


def is_soft_change(predicate: SoftPredicate, write: Write, change: Change) -> bool:
    if write.draft is None or write.expected is None or change.previous is None:
        return False
    return predicate(write.key, write.draft, change.previous)
