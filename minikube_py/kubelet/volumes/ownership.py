"""Gives a volume to the pod's fsGroup: group, set-group-ID directories, group permissions."""

import os
import stat
from pathlib import Path

_READ_WRITE = 0o660
_ENTER = 0o110


def give_to_group(root: Path, group: int, *, only_if_needed: bool = False) -> None:
    """Everything below root, without following links. only_if_needed: fsGroupChangePolicy OnRootMismatch."""
    if only_if_needed and _is_given(root, group):
        return
    try:
        _give(root, group)
        for directory, names, files in os.walk(root):
            for name in (*names, *files):
                _give(Path(directory) / name, group)
    except PermissionError:
        return  # without root the owner is the process's user, and so are its containers


def _is_given(root: Path, group: int) -> bool:
    status = root.lstat()
    wanted = _READ_WRITE | _ENTER | stat.S_ISGID
    return status.st_gid == group and status.st_mode & wanted == wanted


def _give(path: Path, group: int) -> None:
    status = path.lstat()
    os.lchown(path, -1, group)
    if stat.S_ISLNK(status.st_mode):
        return
    mode = stat.S_IMODE(status.st_mode) | _READ_WRITE
    if stat.S_ISDIR(status.st_mode):
        mode |= _ENTER | stat.S_ISGID
    os.chmod(path, mode)
