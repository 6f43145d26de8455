"""Writes a set of files so that readers see either the old set or the new one: the layout of ConfigMap volumes.

<volume>/..2026_01_02_03_04_05.123456789/key     the files
<volume>/..data -> ..2026_01_02_03_04_05.123456789
<volume>/key -> ..data/key                       what containers open
"""

import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from minikube_py import clock, ids

DATA, DATA_NEW = "..data", "..data_tmp"
DISK_MODE, MEMORY_MODE = 0o777, 0o1777
"""Permissions of a volume on disk and in memory, as pods see them on any node; their mounts are read-only anyway."""

_LONGEST_PATH = 4096
_DIRECTORY_MODE = 0o755


@dataclass(frozen=True)
class File:
    """Content and exact permission bits; owner None keeps the process's own."""

    data: bytes
    mode: int = 0o644
    owner: int | None = None


def write(directory: Path, files: Mapping[str, File], group: int | None = None, mode: int = DISK_MODE) -> bool:
    """Bring the volume to exactly these files; True when something changed. Raises ValueError on a bad path.

    group: the fsGroup, which owns everything and gets to read it. mode: of the volume itself.
    """
    wanted = {_checked(path): file for path, file in files.items()}
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    _open_to(directory, mode, group)
    old = _current(directory)
    if old is not None and _is_same(directory / old, wanted, group):
        return False
    fresh = _write_new(directory, wanted, group)
    new_link = directory / DATA_NEW
    new_link.unlink(missing_ok=True)
    new_link.symlink_to(fresh)
    _link_visible(directory, wanted)
    new_link.rename(directory / DATA)
    _remove_stale(directory, wanted)
    if old is not None:
        shutil.rmtree(directory / old, ignore_errors=True)
    return True


def _checked(path: str) -> str:
    pure = PurePosixPath(path)
    if not path or len(path) > _LONGEST_PATH or pure.is_absolute():
        raise ValueError(f"invalid path: {path}")
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"path must not contain '..': {path}")
    if parts[0].startswith(".."):
        raise ValueError(f"path must not start with '..': {path}")
    return path


def _current(directory: Path) -> str | None:
    try:
        target = os.readlink(directory / DATA)
    except OSError:
        return None
    return target if target.startswith("..") and "/" not in target else None


def _is_same(current: Path, wanted: Mapping[str, File], group: int | None) -> bool:
    if not current.is_dir():
        return False
    present = {str(p.relative_to(current)) for p in current.rglob("*") if not p.is_dir()}
    return present == set(wanted) and all(_has(current / path, file, group) for path, file in wanted.items())


def _has(path: Path, file: File, group: int | None) -> bool:
    status = path.lstat()
    if status.st_size != len(file.data) or status.st_mode & 0o7777 != _mode(file, group):
        return False
    return path.read_bytes() == file.data


def _mode(file: File, group: int | None) -> int:
    return file.mode if group is None else file.mode | 0o440


def _write_new(directory: Path, wanted: Mapping[str, File], group: int | None) -> str:
    name = f"..{clock.now():%Y_%m_%d_%H_%M_%S}.{ids.pick(10**9):09d}"
    fresh = directory / name
    fresh.mkdir(mode=_DIRECTORY_MODE)
    for path, file in wanted.items():
        target = fresh / path
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(file.data)
            os.fchmod(out.fileno(), _mode(file, group))
            if file.owner is not None or group is not None:
                _own(out.fileno(), file.owner, group)
    for made, _, _ in os.walk(fresh):
        _open_to(Path(made), _DIRECTORY_MODE, group)
    return name


def _open_to(directory: Path, mode: int, group: int | None) -> None:
    """What is made in a group's directory belongs to the group."""
    if group is not None:
        mode |= stat.S_ISGID | 0o550
        try:
            os.chown(directory, -1, group)
        except PermissionError:
            pass  # without root, like the files
    os.chmod(directory, mode)


def _own(handle: int, owner: int | None, group: int | None) -> None:
    try:
        os.fchown(handle, -1 if owner is None else owner, -1 if group is None else group)
        # A change of owner clears special bits only; ordinary permissions stay as set.
    except PermissionError:
        pass  # without root the files belong to the process, whose containers run as the same user


def _link_visible(directory: Path, wanted: Mapping[str, File]) -> None:
    for top in {path.partition("/")[0] for path in wanted}:
        link = directory / top
        if not link.is_symlink():
            link.symlink_to(f"{DATA}/{top}")


def _remove_stale(directory: Path, wanted: Mapping[str, File]) -> None:
    visible = {path.partition("/")[0] for path in wanted}
    for entry in directory.iterdir():
        if entry.is_symlink() and entry.name not in visible and not entry.name.startswith(".."):
            entry.unlink()
