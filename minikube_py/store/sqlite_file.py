"""Opens the SQLite file: modes, pragmas, check, schema. Everything that only SQLite has is here. All of it blocks."""

import os
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import StaticPool

from minikube_py.store.cipher import sync_directory
from minikube_py.store.migrations import ensure_schema
from minikube_py.store.protocol import StoreError

# 16 MB of WAL before it is folded into the database: fewer, larger checkpoints for bursts of writes.
_WAL_CHECKPOINT_PAGES = 4000

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "fullfsync=1",
    "checkpoint_fullfsync=1",
    f"wal_autocheckpoint={_WAL_CHECKPOINT_PAGES}",
    "journal_size_limit=33554432",
    "temp_store=MEMORY",
    "cache_size=-8000",
)


def open_engine(path: Path) -> Engine:
    """An engine with one connection, for one thread at a time; every transaction is BEGIN IMMEDIATE."""
    engine = create_engine(
        f"sqlite:///{path}", poolclass=StaticPool, connect_args={"check_same_thread": False, "timeout": 30}
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def open_database(path: Path) -> Engine:
    """The engine of a file that is sound as a whole and at this program's schema version.

    Raises StoreError when the file is damaged beyond use or newer than the program.
    """
    is_new = not path.exists()
    if is_new:
        # SQLite gives its -wal and -shm files the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        sync_directory(path.parent)
    engine = open_engine(path)
    try:
        if not is_new:
            _quick_check(engine, path)
        ensure_schema(engine, path)
    except DatabaseError as error:
        engine.dispose()
        raise StoreError(_damage(path, str(error.orig))) from error
    except StoreError:
        engine.dispose()
        raise
    return engine


def _prepare(connection: Any, _record: Any) -> None:
    # The driver must not begin transactions of its own: DDL has to be inside ours (see _begin).
    connection.isolation_level = None
    cursor = connection.cursor()
    if cursor.execute("PRAGMA page_count").fetchone() == (0,):
        # Only takes effect before the first page is written, and costs a write whenever it is set.
        cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _quick_check(engine: Engine, path: Path) -> None:
    with engine.connect() as connection:
        answers = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA quick_check(5)")]
    if answers != ["ok"]:
        raise StoreError(_damage(path, "; ".join(answers)))


def _damage(path: Path, what: str) -> str:
    backups = sorted((path.parent / "backups").glob("*.db"), key=lambda found: found.stat().st_mtime)
    advice = f"put a copy of {backups[-1]} in its place" if backups else "put a backup in its place"
    what = what.replace("\n", "; ")
    return f"the database {path} is damaged ({what}): keep it aside together with its -wal file, and {advice}"


def give_back_pages(connection: Connection, pages: int) -> None:
    """Return up to `pages` free pages of the file to the file system."""
    driver: Any = connection.connection.dbapi_connection
    # The statement frees one page a step, so it has to be stepped to its end.
    driver.execute(f"PRAGMA incremental_vacuum({int(pages)})").fetchall()
