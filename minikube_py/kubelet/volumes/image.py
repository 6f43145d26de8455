"""`image` volumes: the files of an OCI image, read-only, pulled like a container's image. Source: KEP-4639."""

import asyncio
import os
import shutil
from pathlib import Path

from minikube_py.kubelet.pod_spec import VOLUME, PodContainer
from minikube_py.kubelet.volumes.protocol import ReadyVolume, VolumeContext, VolumeFailure


class ImageVolume:
    """Implements VolumeSource. Each pod has a copy of its own, which goes with the pod."""

    is_live = False

    async def set_up(self, context: VolumeContext) -> ReadyVolume:
        sources = context.sources
        if sources.unpacker is None:
            raise VolumeFailure("the container runtime cannot unpack images")
        path = context.paths.volume(context.pod_uid, "image", context.name)
        if await asyncio.to_thread(path.is_dir):
            return ReadyVolume(path, is_read_only=True)
        spec = {
            "name": context.name,
            "image": context.source.get("reference") or "",
            "imagePullPolicy": context.source.get("pullPolicy") or "",
        }
        image = await sources.images.ensure(context.pod, PodContainer(VOLUME, spec), lambda _text: None)
        unfinished = path.with_name(f"{path.name}.unfinished")
        await asyncio.to_thread(_empty, unfinished)
        await sources.unpacker.unpack_image(image.id, unfinished)
        await asyncio.to_thread(os.rename, unfinished, path)
        return ReadyVolume(path, is_read_only=True)


def _empty(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o755, parents=True)
