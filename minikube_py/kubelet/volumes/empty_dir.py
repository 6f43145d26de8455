"""`emptyDir` volumes: a directory that lives as long as the pod, on disk or in memory."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from minikube_py.kubelet import pod_spec
from minikube_py.kubelet.pod_admission import memory_limit
from minikube_py.kubelet.volumes import mounting, ownership
from minikube_py.kubelet.volumes.protocol import ReadyVolume, VolumeContext
from minikube_py.objects.errors import Object

_MODE = 0o777


class EmptyDirVolume:
    """Implements VolumeSource."""

    is_live = False

    async def set_up(self, context: VolumeContext) -> ReadyVolume:
        path = context.paths.volume(context.pod_uid, "empty-dir", context.name)
        is_memory = context.source.get("medium") == "Memory"
        size = memory_bytes(context.pod, context.source, context.sources.allocatable()) if is_memory else 0
        if is_memory and not mounting.can_mount() and _users(context) == 1:
            return ReadyVolume(None, tmpfs_bytes=size)
        await asyncio.to_thread(_make, path, is_memory, size, context.fs_group)
        return ReadyVolume(path)


def memory_bytes(pod: Object, source: Object, allocatable: Mapping[str, str]) -> int:
    """The least of what the node, the pod's own limits and the volume's allow; 0 for no bound that is known."""
    bounds = (pod_spec.amount(allocatable, "memory"), memory_limit(pod), pod_spec.amount(source, "sizeLimit"))
    return min(filter(None, bounds), default=0)


def _make(path: Path, is_memory: bool, size: int, group: int | None) -> None:
    path.mkdir(mode=_MODE, parents=True, exist_ok=True)
    if is_memory:
        # Without root a shared memory volume falls back to the disk.
        mounting.mount_tmpfs(path, mode=_MODE, size_bytes=size)
    os.chmod(path, _MODE)
    if group is not None:
        ownership.give_to_group(path, group)


def _users(context: VolumeContext) -> int:
    """How many containers mount the volume."""
    return sum(
        any(mount["name"] == context.name for mount in container.spec.get("volumeMounts") or ())
        for container in pod_spec.all_containers(context.pod)
    )
