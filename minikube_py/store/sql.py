"""The durable store: memory answers reads and watches, one writer task commits to SQLite in groups.

A write is answered once its transaction is on disk and its change is published. Commit and publication belong to the
writer task alone: a caller that is cancelled meanwhile changes nothing for the watchers.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from minikube_py.store.database import Database, LoadedState
from minikube_py.store.ledger import Ledger, Stage, Write
from minikube_py.store.protocol import Change, Draft, Key, Page, Record, RevisionTrimmed, StoreError
from minikube_py.store.retention import DEFAULT_RETENTION, History, Retention
from minikube_py.store.soft import SoftPredicate, nothing_is_soft
from minikube_py.store.watch_hub import WatchHub

log = logging.getLogger(__name__)

REVISION_BLOCK = 10_000
"""How far ahead of the last commit revisions are reserved; soft writes use them up without touching the disk."""

SOFT_FLUSH_SECONDS = 30.0


@dataclass(frozen=True)
class SqlStoreOptions:
    retention: Retention = DEFAULT_RETENTION
    is_soft: SoftPredicate = nothing_is_soft


@dataclass(slots=True)
class _Waiting:
    write: Write
    answer: "asyncio.Future[Change]"


class SqlStore:
    """Implements store.protocol.Store over one Database. Made by `store.catalog.open_store`."""

    def __init__(
        self, database: Database, loaded: LoadedState, writer: ThreadPoolExecutor, options: SqlStoreOptions
    ) -> None:
        self._database = database
        self._thread = writer
        self._options = options
        self._ledger = Ledger(loaded.revision)
        for record in loaded.records:
            self._ledger.load(record)
        self._history = History(options.retention, loaded.floor)
        self._history.extend(loaded.history)
        self._hub = WatchHub()
        self._reserved = loaded.revision
        self._queue: list[_Waiting] = []
        self._has_work = asyncio.Event()
        self._unflushed: list[Change] = []
        self._flush_timer: asyncio.TimerHandle | None = None
        self._must_flush = False
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False

    # -- life

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._write_forever(), name="store-writer")

    @property
    def writer_task(self) -> "asyncio.Task[None]":
        """Ends only by close() or a failed disk; whoever runs the store watches it."""
        assert self._task is not None
        return self._task

    async def close(self) -> None:
        """Write what waits, give back unused revisions, close the database."""
        self._is_closing = True
        self._must_flush = True
        self._has_work.set()
        if self._task is not None:
            await self._task
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        await self._in_thread(lambda: self._database.close(self._ledger.revision))

    # -- reading

    @property
    def revision(self) -> int:
        return self._ledger.revision

    def get(self, key: Key) -> Record | None:
        return self._ledger.get(key)

    def list(self, resource: str, namespace: str = "") -> Page:
        return self._ledger.list(resource, namespace)

    def watch(self, resource: str, namespace: str = "", after: int | None = None) -> AsyncIterator[Sequence[Change]]:
        if after is None:
            return self._hub.subscribe(resource, namespace, ())
        if after < self._history.floor:
            raise RevisionTrimmed(self._history.floor)
        return self._hub.subscribe(resource, namespace, self._history.after(after))

    # -- writing

    async def create(self, key: Key, draft: Draft) -> Record:
        return (await self._submit(Write(key, draft, None))).record

    async def update(self, key: Key, draft: Draft, expected: int) -> Record:
        return (await self._submit(Write(key, draft, expected))).record

    async def delete(self, key: Key, expected: int) -> Change:
        return await self._submit(Write(key, None, expected))

    async def _submit(self, write: Write) -> Change:
        if self._task is None or self._task.done() or self._is_closing:
            raise StoreError("the store is closed")
        answer: asyncio.Future[Change] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(write, answer))
        self._has_work.set()
        return await answer

    async def _write_forever(self) -> None:
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            batch, self._queue = self._queue, []
            if batch or self._must_flush:
                try:
                    await self._write_batch(batch)
                except BaseException as error:
                    self._refuse([*batch, *self._queue], error)
                    raise
            if self._is_closing and not self._queue:
                return
            if not self._queue and self._history.is_over:
                await self.trim()

    async def _write_batch(self, batch: Sequence[_Waiting]) -> None:
        stage = Stage(self._ledger, self._ledger.revision)
        done: list[tuple[_Waiting, Change | StoreError]] = []
        changes: list[Change] = []
        needs_disk = self._must_flush
        for waiting in batch:
            write = waiting.write
            try:
                change = stage.add(write)
            except StoreError as error:
                done.append((waiting, error))
                continue
            needs_disk = needs_disk or not self._options.is_soft(write.key, write.draft, change.previous)
            changes.append(change)
            done.append((waiting, change))
        if stage.revision > self._reserved:
            needs_disk = True
        if needs_disk:
            await self._flush(changes, stage.revision)
        else:
            self._keep_for_later(changes)
        self._publish(changes)
        for waiting, result in done:
            if waiting.answer.cancelled():
                continue
            if isinstance(result, StoreError):
                waiting.answer.set_exception(result)
            else:
                waiting.answer.set_result(result)

    async def _flush(self, changes: Sequence[Change], revision: int) -> None:
        """Commit the changes with everything soft that waits; the reserved revision moves a block ahead if needed."""
        if revision + REVISION_BLOCK // 2 > self._reserved:
            self._reserved = revision + REVISION_BLOCK
        to_write = [*self._unflushed, *changes]
        reserved = self._reserved
        await self._in_thread(lambda: self._database.commit(to_write, reserved))
        self._unflushed.clear()
        self._must_flush = False
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None

    def _keep_for_later(self, changes: Sequence[Change]) -> None:
        self._unflushed.extend(changes)
        if changes and self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(SOFT_FLUSH_SECONDS, self._flush_now)

    def _flush_now(self) -> None:
        self._flush_timer = None
        self._must_flush = True
        self._has_work.set()

    def _publish(self, changes: Sequence[Change]) -> None:
        self._ledger.apply(changes)
        self._history.extend(changes)
        self._hub.publish(changes)

    def _refuse(self, batch: Sequence[_Waiting], error: BaseException) -> None:
        for waiting in batch:
            if not waiting.answer.done():
                waiting.answer.set_exception(StoreError(f"the database can't be written: {error}"))

    async def trim(self) -> int:
        dropped = self._history.trim_slice()
        if dropped:
            floor = self._history.floor
            await self._in_thread(lambda: self._database.trim(floor))
        return len(dropped)

    async def _in_thread(self, call: Callable[[], None]) -> None:
        """Run in the writer's thread and wait for it even when cancelled: a commit under way is never abandoned."""
        future = asyncio.get_running_loop().run_in_executor(self._thread, call)
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise
