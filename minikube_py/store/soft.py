"""Says which writes are soft state: kept in memory first, since a crash that loses them costs nothing.

Only updates can be soft. A soft change has its own revision and reaches every watcher; on disk and in the history the
soft changes of one object that follow each other are one change, the last.
"""

from collections.abc import Callable
from typing import Any

import orjson

from minikube_py.store.ledger import Write
from minikube_py.store.protocol import Change, Draft, Key, Record

SoftPredicate = Callable[[Key, Draft, Record], bool]
"""(key, new state, current record) -> True when this update may wait for the disk."""


def nothing_is_soft(_key: Key, _draft: Draft, _current: Record) -> bool:
    return False


def heartbeats_are_soft(key: Key, draft: Draft, current: Record) -> bool:
    """Renewals of Leases, and updates of Nodes that move nothing but the conditions' heartbeat times."""
    if key.resource == "coordination.k8s.io/leases":
        return True
    if key.resource != "/nodes":
        return False
    return bool(_without_heartbeat(b"".join(draft.value)) == _without_heartbeat(current.data))


def _without_heartbeat(data: bytes) -> Any:
    node = orjson.loads(data)
    for name in ("resourceVersion", "managedFields"):
        node.get("metadata", {}).pop(name, None)
    for condition in node.get("status", {}).get("conditions") or ():
        condition.pop("lastHeartbeatTime", None)
    return node


def is_soft_change(predicate: SoftPredicate, write: Write, change: Change) -> bool:
    if write.draft is None or write.expected is None or change.previous is None:
        return False
    return predicate(write.key, write.draft, change.previous)
