"""Finds the place below a volume that a subPath names, without ever leaving the volume.

A container that shares the volume may swap directories for links at any time. So the path is opened step by step
without following links, and as root the opened descriptor itself is bound to a place that only the kubelet can change.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from minikube_py.kubelet import environment
from minikube_py.kubelet.runtimes.protocol import RuntimeFailure
from minikube_py.kubelet.volumes import mounting
from minikube_py.objects.errors import Object

CONFIG_ERROR = "CreateContainerConfigError"

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_PATH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC


def sub_path_of(mount: Object, variables: Mapping[str, str]) -> str:
    """The mount's subPath, or its subPathExpr with every variable known. Raises RuntimeFailure for what leads out."""
    path = mount.get("subPath") or ""
    if mount.get("subPathExpr"):
        missing: list[str] = []

        def lookup(name: str) -> str | None:
            if name not in variables:
                missing.append(name)
            return variables.get(name)

        path = environment.expand(mount["subPathExpr"], lookup)
        if missing:
            raise RuntimeFailure(CONFIG_ERROR, f'missing value for "{missing[0]}"')
    if not path:
        return ""
    if path.startswith("/"):
        raise RuntimeFailure(CONFIG_ERROR, f"error SubPath `{path}` must not be an absolute path")
    if ".." in path.split("/"):
        raise RuntimeFailure(CONFIG_ERROR, "unable to provision SubPath `" + path + "`: must not contain '..'")
    return path


def open_below(root: Path, path: str, *, may_create: bool) -> int:
    """A descriptor of root/path; missing directories are made. The caller closes it.

    Links inside the volume are followed as long as they stay inside. Raises RuntimeFailure when one leads out.
    """
    base = os.path.realpath(root)
    resolved = os.path.realpath(os.path.join(base, path))
    if resolved != base and not resolved.startswith(base + os.sep):
        raise RuntimeFailure(CONFIG_ERROR, f"subPath {path!r} leads out of its volume")
    parts = [part for part in os.path.relpath(resolved, base).split(os.sep) if part != "."]
    handle = os.open(base, _OPEN | os.O_DIRECTORY)
    try:
        for index, part in enumerate(parts):
            is_last = index == len(parts) - 1
            handle = _step(handle, part, is_last=is_last, may_create=may_create)
    except OSError as error:
        os.close(handle)
        raise RuntimeFailure(CONFIG_ERROR, f"subPath {path!r} cannot be opened: {error.strerror}") from error
    return handle


def _step(parent: int, part: str, *, is_last: bool, may_create: bool) -> int:
    flags = _PATH if is_last else _OPEN | os.O_DIRECTORY
    try:
        found = os.open(part, flags, dir_fd=parent)
    except FileNotFoundError:
        if not may_create:
            raise
        os.mkdir(part, 0o750, dir_fd=parent)
        mode = os.fstat(parent).st_mode & 0o7777
        found = os.open(part, _OPEN | os.O_DIRECTORY, dir_fd=parent)
        os.fchmod(found, mode)
    os.close(parent)
    return found


def bind_sub_path(root: Path, path: str, target: Path, *, may_create: bool) -> Path:
    """The host path to mount for the subPath."""
    handle = open_below(root, path, may_create=may_create)
    try:
        if not mounting.can_mount():
            return Path(os.path.realpath(root / path))
        mounting.unmount_below(target)
        target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            if target.is_file():
                target.unlink()
            target.mkdir(mode=0o750, exist_ok=True)
        elif not target.exists():
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        mounting.bind(handle, target)
        return target
    finally:
        os.close(handle)
