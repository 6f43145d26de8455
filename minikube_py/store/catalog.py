"""Lists the datastores by the scheme of --datastore-endpoint, and opens one."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from minikube_py.store.memory import MemoryStore
from minikube_py.store.protocol import IndexFunction, Store, StoreError
from minikube_py.store.retention import DEFAULT_RETENTION, Retention
from minikube_py.store.soft import SoftPredicate, nothing_is_soft

ENCRYPTED_RESOURCES = frozenset({"/secrets"})


@dataclass(frozen=True)
class StoreSettings:
    """data_dir is the cluster's; the database is `<data_dir>/db/state.db`."""

    data_dir: Path
    index: IndexFunction
    retention: Retention = DEFAULT_RETENTION
    is_soft: SoftPredicate = nothing_is_soft
    encrypted_resources: frozenset[str] = ENCRYPTED_RESOURCES


@asynccontextmanager
async def _open_memory(settings: StoreSettings) -> AsyncIterator[Store]:
    store = MemoryStore(settings.retention, settings.is_soft)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def _open_sqlite(settings: StoreSettings) -> AsyncIterator[Store]:
    # memory:// doesn't pay for sqlalchemy, which is a third of a server's start.
    from minikube_py.store.data_directory import DataDirectory  # noqa: PLC0415
    from minikube_py.store.sql import SqlStoreOptions, open_sql_store  # noqa: PLC0415

    options = SqlStoreOptions(settings.retention, settings.is_soft, settings.encrypted_resources)
    async with open_sql_store(DataDirectory(settings.data_dir), settings.index, options) as store:
        yield store


DATASTORES: dict[str, Callable[[StoreSettings], AbstractAsyncContextManager[Store]]] = {
    "": _open_sqlite,
    "sqlite": _open_sqlite,
    "memory": _open_memory,
}


SHARED: frozenset[str] = frozenset()
"""The schemes of datastores that several servers may use at a time; then one of them leads the control loops."""


def is_shared(endpoint: str) -> bool:
    """Whether other servers may work on the store that `endpoint` names."""
    return endpoint.partition("://")[0] in SHARED


def open_store(endpoint: str, settings: StoreSettings) -> AbstractAsyncContextManager[Store]:
    """The store that `endpoint` names ('' is SQLite in the data directory). Raises StoreError for any other form."""
    scheme, _, rest = endpoint.partition("://")
    opener = DATASTORES.get(scheme)
    if opener is None or rest:
        raise StoreError(f"--datastore-endpoint {endpoint!r} must be sqlite:// (a file under --data-dir) or memory://")
    return opener(settings)
