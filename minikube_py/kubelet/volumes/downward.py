"""`downwardAPI` volumes: fields of the pod itself as files, kept up to date with its labels and annotations."""

import asyncio

from minikube_py.kubelet.volumes import atomic_writer, projections
from minikube_py.kubelet.volumes.protocol import ReadyVolume, VolumeContext


class DownwardVolume:
    """Implements VolumeSource."""

    is_live = True

    async def set_up(self, context: VolumeContext) -> ReadyVolume:
        files = projections.downward_files(context, context.source, projections.default_mode(context.source))
        path = context.paths.memory_volume(context.pod_uid, "downward-api", context.name)
        await asyncio.to_thread(atomic_writer.write, path, files, context.fs_group, atomic_writer.MEMORY_MODE)
        return ReadyVolume(path, is_read_only=True)
