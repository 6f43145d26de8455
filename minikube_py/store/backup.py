"""Copies a live database into one consistent file. Blocks: run it in a thread."""

import contextlib
import os
import sqlite3
from pathlib import Path

from minikube_py import clock
from minikube_py.store.cipher import sync_directory


def copy_database(source: Path, target: Path) -> None:
    """A consistent copy of `source`, whole and on disk under the name `target` when this returns; never half."""
    temporary = target.with_name(target.name + ".new")
    temporary.unlink(missing_ok=True)
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with (
        contextlib.closing(sqlite3.connect(source, timeout=30)) as original,
        contextlib.closing(sqlite3.connect(temporary)) as copy,
    ):
        original.backup(copy)
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(target)
    sync_directory(target.parent)


def back_up(path: Path, label: str) -> Path:
    """A copy under `backups/` beside the database, named by time and label."""
    folder = path.parent / "backups"
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / f"{path.stem}-{clock.now():%Y%m%dT%H%M%S}-{label}.db"
    copy_database(path, target)
    return target
