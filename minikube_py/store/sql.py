"""The durable store: memory answers reads and watches, one writer task commits to SQLite in groups.

A write is answered once its transaction is on disk and its change is published. Commit and publication belong to the
writer task alone: a caller that is cancelled meanwhile changes nothing for the watchers.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from minikube_py.store.archive import Archive
from minikube_py.store.backup import copy_database
from minikube_py.store.cipher import Cipher, make_key, read_key
from minikube_py.store.data_directory import DataDirectory
from minikube_py.store.database import Database, LoadedState
from minikube_py.store.ledger import Ledger, Stage, Write
from minikube_py.store.protocol import (
    Change,
    Changes,
    Draft,
    IndexFunction,
    Key,
    Page,
    Record,
    RevisionTrimmed,
    StoreError,
    StoreUnavailable,
)
from minikube_py.store.retention import DEFAULT_RETENTION, History, Retention
from minikube_py.store.rows import RowCodec
from minikube_py.store.soft import SoftPredicate, is_soft_change, nothing_is_soft
from minikube_py.store.sqlite_file import open_database
from minikube_py.store.watch_hub import WatchHub

log = logging.getLogger(__name__)

REVISION_BLOCK = 10_000
"""How far ahead revisions are reserved on disk; soft writes use them up without a commit."""

SOFT_FLUSH_SECONDS = 30.0
_MAX_BATCH = 1000


@dataclass(frozen=True)
class SqlStoreOptions:
    retention: Retention = DEFAULT_RETENTION
    is_soft: SoftPredicate = nothing_is_soft
    encrypted_resources: frozenset[str] = frozenset()
    soft_flush_seconds: float = SOFT_FLUSH_SECONDS


@dataclass(frozen=True)
class OpenedDatabase:
    """A database file that is checked, at this program's schema, and loaded; `thread` is the one that may touch it."""

    path: Path
    database: Database
    codec: RowCodec
    loaded: LoadedState
    thread: ThreadPoolExecutor


def _open_database(
    directory: DataDirectory, index: IndexFunction, encrypted: frozenset[str], thread: ThreadPoolExecutor
) -> OpenedDatabase:
    """Raises StoreError with one sentence for the user."""
    database = Database(open_database(directory.database))
    try:
        cipher = _cipher(database, directory, encrypted)
        codec = RowCodec(cipher, index)
        return OpenedDatabase(directory.database, database, codec, database.load(codec), thread)
    except BaseException:
        database.close()
        raise


def _cipher(database: Database, directory: DataDirectory, encrypted: frozenset[str]) -> Cipher:
    """The cipher of the key file. A key is made for a new database only: another one would lose every Secret."""
    expected = database.key_fingerprint()
    key = read_key(directory.secrets_key)
    if key is None and expected:
        raise StoreError(
            f"the key file {directory.secrets_key} is missing, and the Secrets in {directory.database} "
            "can't be read without it: put it back"
        )
    cipher = Cipher(key or make_key(directory.secrets_key), encrypted)
    if not expected:
        database.set_key_fingerprint(cipher.fingerprint)
    elif expected != cipher.fingerprint:
        raise StoreError(
            f"the key file {directory.secrets_key} is not the one that {directory.database} was written with: "
            "put the right one back"
        )
    return cipher


@asynccontextmanager
async def open_sql_store(
    directory: DataDirectory, index: IndexFunction, options: SqlStoreOptions
) -> AsyncIterator["SqlStore"]:
    """The store of a data directory, held for this process alone. Raises StoreError with one sentence for the user."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="store")
    loop = asyncio.get_running_loop()
    directory.acquire()
    try:
        opened = await loop.run_in_executor(
            thread, _open_database, directory, index, options.encrypted_resources, thread
        )
        store = SqlStore(opened, options)
        store.start()
        try:
            yield store
        finally:
            await store.close()
    finally:
        thread.shutdown(wait=False)
        directory.release()


@dataclass(slots=True)
class _Waiting:
    write: Write
    answer: "asyncio.Future[Change]"


@dataclass(slots=True)
class _Batch:
    """Writes that were checked: what they change, what each caller will be told, and whether it can wait."""

    changes: list[Change] = field(default_factory=list)
    outcomes: list[tuple["asyncio.Future[Change]", Change | StoreError]] = field(default_factory=list)
    on_commit: list[tuple[Callable[[Record], None], Record]] = field(default_factory=list)
    is_soft: bool = True

    def answer(self) -> None:
        for future, outcome in self.outcomes:
            if future.done():
                continue
            if isinstance(outcome, StoreError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def refuse(self, error: StoreError) -> None:
        self.outcomes = [(f, o if isinstance(o, StoreError) else error) for f, o in self.outcomes]
        self.answer()


class SqlStore:
    """Implements store.protocol.Store over one Database. Made by `store.catalog.open_store`."""

    def __init__(self, opened: OpenedDatabase, options: SqlStoreOptions) -> None:
        loaded = opened.loaded
        self._path = opened.path
        self._database = opened.database
        self._thread = opened.thread
        self._archive = Archive(opened.path, opened.codec)
        self._options = options
        self._ledger = Ledger(loaded.revision)
        for record in loaded.records:
            self._ledger.load(record)
        self.quarantined: Sequence[str] = tuple(loaded.quarantined)
        self._history = History(options.retention, loaded.floor, loaded.inherited)
        self._hub = WatchHub()
        self._allocated = loaded.revision
        self._reserved = loaded.revision
        self._queue: list[_Waiting] = []
        self._has_work = asyncio.Event()
        self._flush_timer: asyncio.TimerHandle | None = None
        self._must_flush = False
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False

    # -- life

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._write_forever(), name="store-writer")

    @property
    def writer_task(self) -> "asyncio.Task[None]":
        """Ends only by close() or a bug; whoever runs the store watches it."""
        assert self._task is not None
        return self._task

    async def close(self) -> None:
        """Write what waits, give back unused revisions, end the watches, close the database."""
        self._is_closing = True
        self._must_flush = bool(self._history.unsettled)
        self._has_work.set()
        try:
            if self._task is not None:
                await self._task
            await self._in_thread(partial(self._database.give_back, self._allocated))
        except StoreUnavailable as error:
            log.warning("%s", error)  # the next start skips the rest of the reserved block
        finally:
            self._cancel_flush_timer()
            self._hub.close()
            await self._in_thread(self._database.close)

    async def back_up(self, target: Path) -> None:
        """A consistent copy of the database as of the last commit; writes go on meanwhile."""
        await asyncio.to_thread(copy_database, self._path, target)

    # -- reading

    @property
    def revision(self) -> int:
        return self._ledger.revision

    def get(self, key: Key) -> Record | None:
        return self._ledger.get(key)

    def list(self, resource: str, namespace: str = "") -> Page:
        return self._ledger.list(resource, namespace)

    def changed_at(self, resource: str) -> int:
        return self._ledger.changed_at(resource)

    def watch(self, resource: str, namespace: str = "", after: int | None = None) -> Changes:
        if after is None:
            return self._hub.subscribe(resource, namespace, self.revision)
        history = self._history
        if after < history.floor:
            raise RevisionTrimmed(history.floor)
        subscription = self._hub.subscribe(resource, namespace, after)
        older = None
        if history.is_inherited_after(after):
            older = partial(self._archive.read, resource, namespace, after, history.last_inherited)
        subscription.prime(history.after(after), older)
        return subscription

    # -- writing

    async def create(self, key: Key, draft: Draft) -> Record:
        return (await self._submit(Write(key, draft, None))).record

    async def update(self, key: Key, draft: Draft, expected: int) -> Record:
        return (await self._submit(Write(key, draft, expected))).record

    async def delete(self, key: Key, expected: int) -> Change:
        return await self._submit(Write(key, None, expected))

    async def _submit(self, write: Write) -> Change:
        if self._task is None or self._task.done() or self._is_closing:
            raise StoreUnavailable("the store is closed")
        answer: asyncio.Future[Change] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(write, answer))
        self._has_work.set()
        return await answer

    async def _write_forever(self) -> None:
        try:
            while True:
                await self._has_work.wait()
                self._has_work.clear()
                while self._queue or self._must_flush:
                    batch, self._queue = self._queue[:_MAX_BATCH], self._queue[_MAX_BATCH:]
                    await self._write_batch(self._check(batch))
                    if self._history.is_far_over:
                        await self._trim_quietly()
                if self._is_closing:
                    return
                if self._history.is_over:
                    await self._trim_quietly()
                    self._has_work.set()
        finally:
            for waiting in self._queue:
                if not waiting.answer.done():
                    waiting.answer.set_exception(StoreUnavailable("the store is closed"))

    def _check(self, waiting: Sequence[_Waiting]) -> _Batch:
        """Check each write against memory and the writes before it; a caller that left before this point is dropped."""
        batch = _Batch()
        # Revisions of a commit that failed are not given out again: it may come back after a power cut.
        stage = Stage(self._ledger, self._allocated)
        for item in waiting:
            if item.answer.done():
                continue
            try:
                change = stage.add(item.write)
            except StoreError as error:
                batch.outcomes.append((item.answer, error))
                continue
            batch.changes.append(change)
            batch.outcomes.append((item.answer, change))
            if item.write.draft is not None and item.write.draft.on_commit is not None:
                batch.on_commit.append((item.write.draft.on_commit, change.record))
            batch.is_soft = batch.is_soft and is_soft_change(self._options.is_soft, item.write, change)
        self._allocated = stage.revision
        if stage.revision > self._reserved:
            batch.is_soft = False
        return batch

    async def _write_batch(self, batch: _Batch) -> None:
        can_wait = batch.is_soft and not self._must_flush
        if not can_wait:
            try:
                await self._commit(batch.changes)
            except StoreUnavailable as error:
                self._must_flush = False
                self._start_flush_timer()
                batch.refuse(error)
                return
            except BaseException as error:  # a bug, or the loop's end: nobody may wait for ever
                batch.refuse(StoreUnavailable(f"the store's writer failed: {error!r}"))
                raise
        # From here to the end nothing waits: no reader sees a state that its watchers don't.
        self._ledger.apply(batch.changes)
        self._history.add(batch.changes, is_soft=can_wait)
        for tell, record in batch.on_commit:
            tell(record)
        self._hub.publish(batch.changes)
        batch.answer()
        self._start_flush_timer()

    async def _commit(self, changes: Sequence[Change]) -> None:
        """Commit the changes with everything soft that waits; the reserved revision moves a block ahead if needed."""
        to_write = [*self._history.unsettled.values(), *changes]
        if not to_write and self._allocated <= self._reserved:
            self._must_flush = False
            return
        reserved = 0
        if self._allocated > self._reserved - REVISION_BLOCK // 2:
            reserved = self._allocated + REVISION_BLOCK
        await self._in_thread(partial(self._database.commit, to_write, reserved))
        self._reserved = reserved or self._reserved
        self._must_flush = False
        self._history.settle()
        self._cancel_flush_timer()

    def _start_flush_timer(self) -> None:
        if self._history.unsettled and self._flush_timer is None:
            loop = asyncio.get_running_loop()
            self._flush_timer = loop.call_later(self._options.soft_flush_seconds, self._flush_now)

    def _cancel_flush_timer(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None

    def _flush_now(self) -> None:
        self._flush_timer = None
        self._must_flush = True
        self._has_work.set()

    # -- history

    async def trim(self) -> int:
        dropped = self._history.trim_slice()
        if dropped:
            await self._in_thread(partial(self._database.trim, self._history.floor))
        return dropped

    async def _trim_quietly(self) -> None:
        """Nobody waits for this one; what a failed trim leaves on disk goes with the next."""
        try:
            await self.trim()
        except StoreUnavailable as error:
            log.warning("%s", error)

    async def _in_thread(self, call: Callable[[], None]) -> None:
        """Run in the writer's thread and wait for it even when cancelled: a commit under way is never abandoned."""
        future = asyncio.get_running_loop().run_in_executor(self._thread, call)
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise
