"""Opens the SQLite file of a data directory: lock, modes, pragmas, check, migration, backup. All of it blocks."""

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from minikube_py.store.migrations import ensure_schema
from minikube_py.store.protocol import StoreError

_WAL_CHECKPOINT_PAGES = 2000


class DirectoryInUse(StoreError):
    """Another server holds the data directory."""


class DirectoryLock:
    """An exclusive flock on `<directory>/lock`, released by the kernel when the process ends, however it ends."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._descriptor = -1

    def acquire(self) -> None:
        """Raises DirectoryInUse, which names the process that holds it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise DirectoryInUse(
                f"another mkube server (process {holder}) runs on {self._path.parent.parent}: "
                "stop it with `mkube stop`, or choose another --data-dir"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def open_database(path: Path) -> Engine:
    """An engine with one connection, for use in one thread at a time; the schema is at this program's version.

    Raises StoreError when the file is damaged beyond use or newer than the program.
    """
    previous_mask = os.umask(0o077)
    try:
        existed = path.exists()
        if existed:
            _quick_check(path)
            ensure_schema(path)
        engine = create_engine(
            f"sqlite:///{path}", poolclass=StaticPool, connect_args={"check_same_thread": False, "timeout": 30}
        )
        event.listen(engine, "connect", _set_pragmas)
        if not existed:
            with engine.connect():
                pass
            ensure_schema(path)
        return engine
    finally:
        os.umask(previous_mask)


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "fullfsync=1",
        "checkpoint_fullfsync=1",
        f"wal_autocheckpoint={_WAL_CHECKPOINT_PAGES}",
        "auto_vacuum=INCREMENTAL",
        "temp_store=MEMORY",
        "cache_size=-8000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _quick_check(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
        try:
            answers = [row[0] for row in connection.execute("PRAGMA quick_check(5)")]
        except sqlite3.DatabaseError as error:
            answers = [str(error)]
    if answers != ["ok"]:
        raise StoreError(
            f"the database {path} is damaged ({'; '.join(answers)}): "
            f"put a backup from {path.parent / 'backups'} in its place, and keep the damaged file"
        )
