"""`hostPath` volumes: a path of the node itself, checked or made after its type."""

import asyncio
import os
import stat
from pathlib import Path

from minikube_py.kubelet.volumes.protocol import ReadyVolume, VolumeContext, VolumeFailure

_CHECKS = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


class HostPathVolume:
    """Implements VolumeSource."""

    is_live = False

    async def set_up(self, context: VolumeContext) -> ReadyVolume:
        path = Path(context.source["path"])
        try:
            await asyncio.to_thread(prepare, path, context.source.get("type") or "")
        except OSError as error:
            raise VolumeFailure(f"hostPath type check failed: {path}: {error.strerror}") from error
        return ReadyVolume(path)


def prepare(path: Path, kind: str) -> None:
    """Make what may be made, then check. Raises VolumeFailure or OSError."""
    if kind == "DirectoryOrCreate" or (kind == "" and not path.exists()):
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        kind = kind and "Directory"
    elif kind == "FileOrCreate":
        if not path.exists():
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
        kind = "File"
    if kind not in _CHECKS:
        return
    is_kind, text = _CHECKS[kind]
    if not path.exists() or not is_kind(path.stat().st_mode):
        raise VolumeFailure(f"hostPath type check failed: {path} is not {text}")
