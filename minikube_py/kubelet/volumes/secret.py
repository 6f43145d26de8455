"""`secret` volumes: the keys of a Secret as files in memory, kept up to date."""

import asyncio

from minikube_py.kubelet.volumes import atomic_writer, projections
from minikube_py.kubelet.volumes.protocol import ReadyVolume, VolumeContext


class SecretVolume:
    """Implements VolumeSource."""

    is_live = True

    async def set_up(self, context: VolumeContext) -> ReadyVolume:
        source = context.source
        mode = projections.default_mode(source)
        files = await projections.secret_files(context, source, source["secretName"], mode)
        path = context.paths.memory_volume(context.pod_uid, "secret", context.name)
        await asyncio.to_thread(atomic_writer.write, path, files, context.fs_group, atomic_writer.MEMORY_MODE)
        return ReadyVolume(path, is_read_only=True)
