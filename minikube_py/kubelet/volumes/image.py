"""`image` volumes: refused with a clear message until they are built."""

from minikube_py.kubelet.volumes.protocol import ReadyVolume, VolumeContext, VolumeFailure


class ImageVolume:
    """Implements VolumeSource."""

    is_live = False

    async def set_up(self, context: VolumeContext) -> ReadyVolume:
        raise VolumeFailure("image volumes are not supported yet")
