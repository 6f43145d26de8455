"""A store that lives and dies with the process: for tests, CI and `--datastore-endpoint memory://`."""

from collections.abc import AsyncIterator, Sequence

from minikube_py.store.ledger import Ledger, Stage, Write
from minikube_py.store.protocol import Change, Draft, Key, Page, Record, RevisionTrimmed
from minikube_py.store.retention import History, Retention
from minikube_py.store.watch_hub import WatchHub


class MemoryStore:
    """Implements store.protocol.Store. A write is done, published and answered in one step of the loop."""

    def __init__(self, retention: Retention | None = None) -> None:
        self._ledger = Ledger()
        self._history = History(retention or Retention())
        self._hub = WatchHub()

    @property
    def revision(self) -> int:
        return self._ledger.revision

    def get(self, key: Key) -> Record | None:
        return self._ledger.get(key)

    def list(self, resource: str, namespace: str = "") -> Page:
        return self._ledger.list(resource, namespace)

    def _write(self, write: Write) -> Change:
        change = Stage(self._ledger, self._ledger.revision).add(write)
        self._ledger.apply((change,))
        self._history.extend((change,))
        if self._history.is_over:
            self._history.trim_slice()
        self._hub.publish((change,))
        return change

    async def create(self, key: Key, draft: Draft) -> Record:
        return self._write(Write(key, draft, None)).record

    async def update(self, key: Key, draft: Draft, expected: int) -> Record:
        return self._write(Write(key, draft, expected)).record

    async def delete(self, key: Key, expected: int) -> Change:
        return self._write(Write(key, None, expected))

    def watch(self, resource: str, namespace: str = "", after: int | None = None) -> AsyncIterator[Sequence[Change]]:
        if after is None:
            return self._hub.subscribe(resource, namespace, ())
        if after < self._history.floor:
            raise RevisionTrimmed(self._history.floor)
        return self._hub.subscribe(resource, namespace, self._history.after(after))

    async def trim(self) -> int:
        return len(self._history.trim_slice())
