"""Lists the datastores by the scheme of --datastore-endpoint, and opens one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from minikube_py.store.memory import MemoryStore
from minikube_py.store.protocol import IndexFunction, Store, StoreError
from minikube_py.store.retention import DEFAULT_RETENTION, Retention
from minikube_py.store.soft import SoftPredicate, nothing_is_soft

HISTORY_AT_START = 1000
ENCRYPTED_RESOURCES = ("/secrets",)


@dataclass(frozen=True)
class StoreSettings:
    """data_dir is the cluster's; the database is `<data_dir>/db/state.db`."""

    data_dir: Path
    index: IndexFunction
    retention: Retention = DEFAULT_RETENTION
    is_soft: SoftPredicate = nothing_is_soft


@asynccontextmanager
async def _open_memory(settings: StoreSettings) -> AsyncIterator[Store]:
    yield MemoryStore(settings.retention)


@asynccontextmanager
async def _open_sqlite(settings: StoreSettings) -> AsyncIterator[Store]:
    from minikube_py.store.cipher import Cipher, load_or_make_key  # noqa: PLC0415 (sqlalchemy is not loaded for memory)
    from minikube_py.store.database import Database  # noqa: PLC0415
    from minikube_py.store.sql import SqlStore, SqlStoreOptions  # noqa: PLC0415
    from minikube_py.store.sqlite_file import DirectoryLock, open_database  # noqa: PLC0415

    folder = settings.data_dir / "db"
    loop = asyncio.get_running_loop()
    writer = ThreadPoolExecutor(1, thread_name_prefix="store")
    lock = DirectoryLock(folder)

    def prepare() -> Database:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        lock.acquire()
        cipher = Cipher(load_or_make_key(folder / "secrets.key"), ENCRYPTED_RESOURCES)
        return Database(open_database(folder / "state.db"), cipher, settings.index)

    try:
        database = await loop.run_in_executor(writer, prepare)
        loaded = await loop.run_in_executor(writer, database.load, HISTORY_AT_START)
        options = SqlStoreOptions(settings.retention, settings.is_soft)
        store = SqlStore(database, loaded, writer, options)
        store.start()
        try:
            yield store
        finally:
            await store.close()
    finally:
        lock.release()
        writer.shutdown(wait=False)


DATASTORES: dict[str, Callable[[StoreSettings], AbstractAsyncContextManager[Store]]] = {
    "": _open_sqlite,
    "sqlite": _open_sqlite,
    "memory": _open_memory,
}


def open_store(endpoint: str, settings: StoreSettings) -> AbstractAsyncContextManager[Store]:
    """The store that `endpoint` names ('' is SQLite in the data directory). Raises StoreError for another scheme."""
    scheme = endpoint.partition("://")[0]
    opener = DATASTORES.get(scheme)
    if opener is None:
        raise StoreError(f"--datastore-endpoint {endpoint!r}: the scheme must be sqlite:// or memory://")
    return opener(settings)
