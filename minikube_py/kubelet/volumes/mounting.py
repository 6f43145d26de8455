"""Mounts and unmounts on the host (tmpfs, bind) where the process may: as root on Linux."""

import ctypes
import os
import sys
from functools import cache
from pathlib import Path

_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8


@cache
def can_mount() -> bool:
    return sys.platform == "linux" and os.geteuid() == 0


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _mount(source: str, target: Path, kind: str, flags: int, data: str = "") -> None:
    arguments = [text.encode() for text in (source, os.fspath(target), kind)]
    if _libc().mount(*arguments, ctypes.c_ulong(flags), data.encode() or None) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), os.fspath(target))


def mount_tmpfs(target: Path, *, mode: int, size_bytes: int = 0) -> bool:
    """A tmpfs on target unless one is there; False where this process may not mount."""
    target.mkdir(mode=mode, parents=True, exist_ok=True)
    if os.path.ismount(target):
        return True
    if not can_mount():
        return False
    options = f"mode={mode:o}" + (f",size={size_bytes}" if size_bytes else "")
    try:
        _mount("tmpfs", target, "tmpfs", _MS_NOSUID | _MS_NODEV, options)
    except PermissionError:
        return False  # root of a container without the capability
    return True


def bind(handle: int, target: Path) -> None:
    """Bind what the open file descriptor points to onto target, whatever its path has become since it was opened."""
    _mount(f"/proc/self/fd/{handle}", target, "", _MS_BIND | _MS_REC)


def mounts_below(root: Path) -> list[Path]:
    """Mount points at or below root, deepest first."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return []
    base = os.path.realpath(root)
    found = []
    for line in lines:
        path = line.split(" ")[4].encode().decode("unicode_escape")
        if path == base or path.startswith(base + os.sep):
            found.append(Path(path))
    return sorted(found, key=lambda p: len(p.parts), reverse=True)


def unmount_below(root: Path) -> None:
    """Unmount everything at or below root."""
    if sys.platform != "linux":
        return
    for point in mounts_below(root):
        _libc().umount2(os.fspath(point).encode(), _MNT_DETACH | _UMOUNT_NOFOLLOW)
