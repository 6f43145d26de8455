"""`persistentVolumeClaim` and ephemeral volumes: the directory behind a bound PersistentVolume (hostPath or local)."""

import asyncio
from pathlib import Path

from minikube_py.kubelet.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from minikube_py.kubelet.volumes import host_path, ownership
from minikube_py.kubelet.volumes.protocol import ReadyVolume, VolumeContext, VolumeFailure
from minikube_py.objects.errors import Object


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
        claim = await context.refer(PERSISTENT_VOLUME_CLAIMS, name)
        if claim is not None and not _is_owned_by(claim, context.pod):
            raise VolumeFailure(f'PVC "{context.namespace}/{name}" was not created for this pod')
        return await _bound(context, name)


async def _bound(context: VolumeContext, name: str) -> ReadyVolume:
    claim = await context.refer(PERSISTENT_VOLUME_CLAIMS, name)
    if claim is None:
        raise VolumeFailure(f'persistentvolumeclaim "{name}" not found')
    volume_name = claim["spec"].get("volumeName")
    if not volume_name or (claim.get("status") or {}).get("phase") != "Bound":
        raise VolumeFailure(f'PVC "{context.namespace}/{name}" is not bound')
    volume = await context.refer(PERSISTENT_VOLUMES, volume_name, "")
    if volume is None:
        raise VolumeFailure(f'persistentvolume "{volume_name}" not found')
    spec = volume["spec"]
    if spec.get("volumeMode") == "Block":
        raise VolumeFailure("volumes of mode Block are not supported yet")
    path = await _path_of(spec, volume_name)
    if context.fs_group is not None:
        policy = (context.pod["spec"].get("securityContext") or {}).get("fsGroupChangePolicy")
        await asyncio.to_thread(
            ownership.give_to_group, path, context.fs_group, only_if_needed=policy == "OnRootMismatch"
        )
    return ReadyVolume(path, is_read_only=list(spec.get("accessModes") or ()) == ["ReadOnlyMany"])


async def _path_of(spec: Object, name: str) -> Path:
    if spec.get("hostPath"):
        path = Path(spec["hostPath"]["path"])
        await asyncio.to_thread(host_path.prepare, path, spec["hostPath"].get("type") or "")
        return path
    if spec.get("local"):
        path = Path(spec["local"]["path"])
        if not await asyncio.to_thread(path.exists):
            raise VolumeFailure(f'local volume path "{path}" does not exist')
        return path
    raise VolumeFailure(f'persistentvolume "{name}" is neither hostPath nor local, and nothing else can be mounted yet')


def _is_owned_by(claim: Object, pod: Object) -> bool:
    owners = claim["metadata"].get("ownerReferences") or ()
    return any(owner.get("uid") == pod["metadata"]["uid"] for owner in owners)
