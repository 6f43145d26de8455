"""Writes files that only their owner may read, whole or not at all."""

import contextlib
import os
from pathlib import Path

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700


def make_private_directory(path: Path) -> None:
    """Make `path` (and its parents) and close it to everybody else. Raises OSError."""
    path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o777 != DIRECTORY_MODE:
        path.chmod(DIRECTORY_MODE)


def write_private(path: Path, data: bytes) -> None:
    """Replace `path` atomically with `data`, mode 0600, on disk when this returns. Raises OSError.

    The new file is complete and synced before it takes the old one's place, so that a crash at any
    moment leaves either the old content or the new.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), FILE_MODE)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def close_to_others(path: Path) -> None:
    """Take away every permission of group and others from an existing file. Raises OSError."""
    if path.stat().st_mode & 0o077:
        path.chmod(FILE_MODE)
