"""`persistentVolumeClaim` and ephemeral volumes: the directory behind a bound PersistentVolume."""

import asyncio
from pathlib import Path

from minikube_py.kubelet.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from minikube_py.kubelet.volumes import host_path, ownership
from minikube_py.kubelet.volumes.protocol import ReadyVolume, VolumeContext, VolumeFailure
from minikube_py.objects.errors import Object
from minikube_py.resources.storage.local_volumes import LOCAL_DRIVER

_PATIENCE_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)


class ClaimVolume:
    """Implements VolumeSource."""

    is_live = False

    async def set_up(self, context: VolumeContext) -> ReadyVolume:
        ready = await _bound(context, context.source["claimName"])
        is_read_only = bool(context.source.get("readOnly"))
        return ReadyVolume(ready.path, is_read_only or ready.is_read_only)


class EphemeralVolume:
    """Implements VolumeSource: the claim is made by a controller and named after pod and volume."""

    is_live = False

    async def set_up(self, context: VolumeContext) -> ReadyVolume:
        name = f"{context.pod['metadata']['name']}-{context.name}"
        claim = await context.fetch(PERSISTENT_VOLUME_CLAIMS, name)
        if claim is not None and not _is_owned_by(claim, context.pod):
            raise VolumeFailure(f'PVC "{context.namespace}/{name}" was not created for this pod')
        return await _bound(context, name)


async def _bound(context: VolumeContext, name: str) -> ReadyVolume:
    volume_name = await _volume_name(context, name)
    volume = await context.fetch(PERSISTENT_VOLUMES, volume_name, "")
    if volume is None:
        raise VolumeFailure(f'persistentvolume "{volume_name}" not found')
    spec = volume["spec"]
    if spec.get("volumeMode") == "Block":
        raise VolumeFailure("volumes of mode Block are not supported yet")
    path = await _path_of(context, spec, volume_name)
    if context.fs_group is not None:
        policy = (context.pod["spec"].get("securityContext") or {}).get("fsGroupChangePolicy")
        await asyncio.to_thread(
            ownership.give_to_group, path, context.fs_group, only_if_needed=policy == "OnRootMismatch"
        )
    return ReadyVolume(path, is_read_only=list(spec.get("accessModes") or ()) == ["ReadOnlyMany"])


async def _volume_name(context: VolumeContext, name: str) -> str:
    """The volume that the claim is bound to. Binding ends about when the pod arrives here, so it gets a moment."""
    for delay in (*_PATIENCE_SECONDS, 0.0):
        claim = await context.fetch(PERSISTENT_VOLUME_CLAIMS, name)
        if claim is None:
            raise VolumeFailure(f'persistentvolumeclaim "{name}" not found')
        volume = claim["spec"].get("volumeName")
        if volume and (claim.get("status") or {}).get("phase") == "Bound":
            return str(volume)
        if delay:
            await asyncio.sleep(delay)
    raise VolumeFailure(f'PVC "{context.namespace}/{name}" is not bound')


async def _path_of(context: VolumeContext, spec: Object, name: str) -> Path:
    if (spec.get("csi") or {}).get("driver") == LOCAL_DRIVER:
        path = context.paths.local_volume(spec["csi"]["volumeHandle"])
        await asyncio.to_thread(_make_local, path)
        return path
    if spec.get("hostPath"):
        path = Path(spec["hostPath"]["path"])
        await asyncio.to_thread(host_path.prepare, path, spec["hostPath"].get("type") or "")
        return path
    if spec.get("local"):
        path = Path(spec["local"]["path"])
        if not await asyncio.to_thread(path.exists):
            raise VolumeFailure(f'local volume path "{path}" does not exist')
        return path
    raise VolumeFailure(f'persistentvolume "{name}" is neither hostPath nor local: no driver of this node can mount it')


def _make_local(path: Path) -> None:
    """Open to every user: which one a container runs as is not known when the volume is made."""
    if not path.is_dir():
        path.mkdir(mode=0o777, parents=True)
        path.chmod(0o777)


def _is_owned_by(claim: Object, pod: Object) -> bool:
    owners = claim["metadata"].get("ownerReferences") or ()
    return any(owner.get("uid") == pod["metadata"]["uid"] for owner in owners)
