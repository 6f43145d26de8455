"""Says which writes are soft state: kept in memory first, since a crash that loses them costs nothing."""

from collections.abc import Callable

from minikube_py.store.protocol import Draft, Key, Record

SoftPredicate = Callable[[Key, Draft | None, Record | None], bool]
"""(key, new state, current record) -> True when the write may wait for the disk. Creates and deletes must not."""


def nothing_is_soft(_key: Key, _draft: Draft | None, _current: Record | None) -> bool:
    return False


def leases_are_soft(key: Key, draft: Draft | None, current: Record | None) -> bool:
    """Renewals of Leases: heartbeats and users' leader elections."""
    return key.resource == "coordination.k8s.io/leases" and draft is not None and current is not None
