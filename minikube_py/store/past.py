"""Lists a resource as it stood at an earlier revision: the current records, and the kept history walked backwards."""

from collections.abc import Sequence

from minikube_py.store.protocol import Change, Key, Record, Store, StoreUnavailable


async def list_at(store: Store, resource: str, namespace: str, revision: int) -> Sequence[Record]:
    """The records of a revision that has been, in (namespace, name) order. Raises RevisionTrimmed, WatcherTooSlow,
    StoreUnavailable.

    Soft changes that follow each other are one change of history: between them an object stands as it did before.
    """
    # Read in one step with the subscription's start: what it tells from here to there is what lies between.
    current = store.list(resource, namespace).records
    later = await _changes_since(store, resource, namespace, revision)
    if not later:
        return current
    state: dict[Key, Record] = {record.key: record for record in current}
    for change in reversed(later):
        if change.previous is None:
            state.pop(change.record.key, None)
        else:
            state[change.record.key] = change.previous
    return [state[key] for key in sorted(state)]


async def _changes_since(store: Store, resource: str, namespace: str, revision: int) -> list[Change]:
    """What happened after a revision and until now, oldest first."""
    until = store.revision
    changes = store.watch(resource, namespace, after=revision)
    found: list[Change] = []
    changes.nudge()  # what is there already comes before the empty batch
    try:
        async for batch in changes:
            if not batch or batch[-1].revision > until:
                found += [change for change in batch if change.revision <= until]
                return found
            found += batch
        raise StoreUnavailable("the store is closed")
    finally:
        await changes.aclose()
