"""`configMap` volumes: the keys of a ConfigMap as files, kept up to date."""

import asyncio

from minikube_py.kubelet.volumes import atomic_writer, projections
from minikube_py.kubelet.volumes.protocol import ReadyVolume, VolumeContext


class ConfigMapVolume:
    """Implements VolumeSource."""

    is_live = True

    async def set_up(self, context: VolumeContext) -> ReadyVolume:
        source = context.source
        mode = projections.default_mode(source)
        files = await projections.config_map_files(context, source, source["name"], mode)
        path = context.paths.volume(context.pod_uid, "configmap", context.name)
        await asyncio.to_thread(atomic_writer.write, path, files, context.fs_group)
        return ReadyVolume(path, is_read_only=True)
