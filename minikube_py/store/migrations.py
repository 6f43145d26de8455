"""Brings a database file to this program's schema: nothing to do, a new file, or Alembic after a backup."""

import contextlib
import os
import sqlite3
from pathlib import Path

from sqlalchemy import create_engine

from minikube_py import clock
from minikube_py.store.protocol import StoreError
from minikube_py.store.tables import METADATA, SCHEMA_VERSION


def ensure_schema(path: Path) -> None:
    """Raises StoreError when the file was written by a newer mkube. Alembic is loaded only when it has work."""
    version = _current_version(path)
    if version == SCHEMA_VERSION:
        return
    if version is None:
        _create(path)
        return
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"the database {path} has schema {version}, which a newer mkube wrote; this one knows {SCHEMA_VERSION}: "
            "upgrade mkube, or choose another --data-dir"
        )
    back_up(path, f"before-{SCHEMA_VERSION}")
    migrate(path)


def _current_version(path: Path) -> str | None:
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "alembic_version" not in tables:
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else None


def _create(path: Path) -> None:
    """A new file gets the newest schema at once, and is stamped so (a test holds it against the migrations)."""
    engine = create_engine(f"sqlite:///{path}")
    try:
        with engine.begin() as connection:
            METADATA.create_all(connection)
            connection.exec_driver_sql(
                "CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
            )
            connection.exec_driver_sql("DELETE FROM alembic_version")
            connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (SCHEMA_VERSION,))
    finally:
        engine.dispose()


def migrations_dir() -> Path:
    """Where Alembic's scripts are: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def migrate(path: Path) -> None:
    """Run Alembic up to the newest revision."""
    from alembic import command  # noqa: PLC0415 (loaded only for a migration)
    from alembic.config import Config  # noqa: PLC0415 (loaded only for a migration)

    config = Config()
    config.set_main_option("script_location", str(migrations_dir()))
    config.set_main_option("sqlalchemy.url", f"sqlite:///{path}")
    command.upgrade(config, "head")


def back_up(path: Path, label: str) -> Path:
    """A consistent copy under `backups/`, whole and synced when this returns."""
    folder = path.parent / "backups"
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / f"{path.stem}-{clock.now():%Y%m%dT%H%M%S}-{label}.db"
    temporary = target.with_suffix(".new")
    with (
        contextlib.closing(sqlite3.connect(path, timeout=30)) as source,
        contextlib.closing(sqlite3.connect(temporary)) as copy,
    ):
        source.backup(copy)
    temporary.chmod(0o600)
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(target)
    return target
