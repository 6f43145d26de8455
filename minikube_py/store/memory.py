"""A store that lives and dies with the process: for tests, CI and `--datastore-endpoint memory://`."""

from minikube_py.store.ledger import FIRST_REVISION, Ledger, Stage, Write
from minikube_py.store.protocol import Change, Changes, Draft, Key, Page, Record, RevisionTrimmed, StoreUnavailable
from minikube_py.store.retention import DEFAULT_RETENTION, History, Retention
from minikube_py.store.soft import SoftPredicate, is_soft_change, nothing_is_soft
from minikube_py.store.watch_hub import WatchHub


class MemoryStore:
    """Implements store.protocol.Store. A write is done, published and answered in one step of the loop."""

    def __init__(self, retention: Retention = DEFAULT_RETENTION, is_soft: SoftPredicate = nothing_is_soft) -> None:
        self._ledger = Ledger(FIRST_REVISION)
        self._history = History(retention)
        self._hub = WatchHub()
        self._is_soft = is_soft
        self._is_closed = False

    async def close(self) -> None:
        """End every watch; later writes are refused."""
        self._is_closed = True
        self._hub.close()

    @property
    def revision(self) -> int:
        return self._ledger.revision

    def get(self, key: Key) -> Record | None:
        return self._ledger.get(key)

    def list(self, resource: str, namespace: str = "") -> Page:
        return self._ledger.list(resource, namespace)

    def changed_at(self, resource: str) -> int:
        return self._ledger.changed_at(resource)

    def _write(self, write: Write) -> Change:
        if self._is_closed:
            raise StoreUnavailable("the store is closed")
        change = Stage(self._ledger, self._ledger.revision).add(write)
        self._ledger.apply((change,))
        self._history.add((change,), is_soft=is_soft_change(self._is_soft, write, change))
        if self._history.is_over:
            self._history.trim_slice()
        if write.draft is not None and write.draft.on_commit is not None:
            write.draft.on_commit(change.record)
        self._hub.publish((change,))
        return change

    async def create(self, key: Key, draft: Draft) -> Record:
        return self._write(Write(key, draft, None)).record

    async def update(self, key: Key, draft: Draft, expected: int) -> Record:
        return self._write(Write(key, draft, expected)).record

    async def delete(self, key: Key, expected: int) -> Change:
        return self._write(Write(key, None, expected))

    def watch(self, resource: str, namespace: str = "", after: int | None = None) -> Changes:
        if after is None:
            return self._hub.subscribe(resource, namespace, self.revision)
        if after < self._history.floor:
            raise RevisionTrimmed(self._history.floor)
        subscription = self._hub.subscribe(resource, namespace, after)
        subscription.prime(self._history.after(after), None)
        return subscription

    async def trim(self) -> int:
        return self._history.trim_slice()
