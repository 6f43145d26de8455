"""Makes, mounts, updates and removes all volumes of the node's pods; an implementation of PodVolumes on disk."""

import asyncio
import logging
import os
import shutil
from pathlib import Path

from minikube_py.kubelet import pod_spec
from minikube_py.kubelet.pod_spec import PodContainer
from minikube_py.kubelet.runtimes.protocol import Mount, RuntimeFailure
from minikube_py.kubelet.sub_path import bind_sub_path, open_below, sub_path_of
from minikube_py.kubelet.volumes import mounting
from minikube_py.kubelet.volumes.catalog import VOLUME_SOURCES
from minikube_py.kubelet.volumes.node_paths import NodePaths
from minikube_py.kubelet.volumes.protocol import NodeSources, ReadyVolume, VolumeContext, VolumeFailure, VolumeSource
from minikube_py.objects.errors import Object

log = logging.getLogger(__name__)

_PROPAGATION = {"HostToContainer": "rslave", "Bidirectional": "rshared"}
_FILE_LIMIT_BYTES = 64 * 1024


class DiskVolumes:
    """Implements PodVolumes."""

    def __init__(self, paths: NodePaths, sources: NodeSources) -> None:
        self._paths = paths
        self._sources = sources
        self._ready: dict[str, dict[str, ReadyVolume]] = {}
        self._has_memory = False

    async def set_up(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        ready = self._ready.setdefault(uid, {})
        await asyncio.to_thread(self._make_directories, uid)
        for volume in pod["spec"].get("volumes") or ():
            context, source = self._context(pod, volume)
            ready[volume["name"]] = await _set_up(source, context)

    async def refresh(self, pod: Object) -> None:
        """Bring live volumes up to date; what cannot be read now stays as it was."""
        if pod["metadata"]["uid"] not in self._ready:
            return
        for volume in pod["spec"].get("volumes") or ():
            context, source = self._context(pod, volume)
            if source.is_live:
                try:
                    await _set_up(source, context)
                except RuntimeFailure as failure:
                    # Objects are often deleted before the pods that use them, and the pod shows nothing of it.
                    log.info("pod %s: %s", pod_spec.full_name(pod), failure.message)

    def refresh_at(self, pod_uid: str) -> float:
        due = (self._sources.tokens.renew_at(pod_uid), self._sources.certificates.refresh_at(pod_uid))
        return min(filter(None, due), default=0.0)

    async def mounts(self, pod: Object, container: PodContainer, environment: dict[str, str]) -> tuple[Mount, ...]:
        found = []
        for index, mount in enumerate(container.spec.get("volumeMounts") or ()):
            path = sub_path_of(mount, environment)
            found.append(await self._mount(pod, container, mount, path, index))
        return tuple(found)

    async def read_file(self, pod: Object, volume: str, path: str) -> str | None:
        ready = self._ready.get(pod["metadata"]["uid"], {}).get(volume)
        if ready is None or ready.path is None:
            return None
        return await asyncio.to_thread(_read, ready.path, path)

    def path_of(self, pod_uid: str, volume: str) -> Path | None:
        ready = self._ready.get(pod_uid, {}).get(volume)
        return ready.path if ready is not None else None

    async def remove_local(self, handle: str) -> None:
        directory = self._paths.local_volume(handle)
        if await asyncio.to_thread(directory.is_dir):
            await asyncio.to_thread(shutil.rmtree, directory)

    async def tear_down(self, pod_uid: str) -> None:
        self._ready.pop(pod_uid, None)
        self._sources.tokens.forget(pod_uid)
        self._sources.certificates.forget(pod_uid)
        await asyncio.to_thread(self._remove, pod_uid)

    async def remove_others(self, pod_uids: set[str]) -> None:
        """Remove the directories of all pods but these."""
        for uid in await asyncio.to_thread(self._present):
            if uid not in pod_uids:
                await asyncio.to_thread(self._remove, uid)

    def _context(self, pod: Object, volume: Object) -> tuple[VolumeContext, VolumeSource]:
        for field, source in VOLUME_SOURCES.items():
            if volume.get(field) is not None:
                return self._context_of(pod, volume, volume[field]), source
        kinds = sorted(volume.keys() - {"name"})
        if not kinds:
            return self._context_of(pod, volume, {}), VOLUME_SOURCES["emptyDir"]
        raise VolumeFailure(f'no volume plugin matched for volume "{volume["name"]}": {kinds[0]} is not supported')

    def _context_of(self, pod: Object, volume: Object, source: Object) -> VolumeContext:
        return VolumeContext(pod, volume, source, self._paths, self._sources)

    async def _mount(self, pod: Object, container: PodContainer, mount: Object, path: str, index: int) -> Mount:
        uid, name = pod["metadata"]["uid"], mount["name"]
        ready = self._ready.get(uid, {}).get(name)
        if ready is None:
            raise RuntimeFailure("CreateContainerConfigError", f'volume "{name}" is not mounted')
        if mount.get("recursiveReadOnly") == "Enabled":
            text = f'volume "{name}" requested recursive read-only mode, but it is not supported by the runtime'
            raise RuntimeFailure("CreateContainerConfigError", f"failed to resolve recursive read-only mode: {text}")
        propagation = _PROPAGATION.get(mount.get("mountPropagation") or "", "rprivate")
        target, is_read_only = mount["mountPath"], bool(mount.get("readOnly")) or ready.is_read_only
        if ready.path is None:
            return Mount(target, read_only=is_read_only, size_bytes=ready.tmpfs_bytes)
        host_path = ready.path
        if path:
            place = self._paths.sub_path(uid, name, container.name, index)
            may_create = not ready.is_read_only
            host_path = await asyncio.to_thread(bind_sub_path, ready.path, path, place, may_create=may_create)
        return Mount(target, os.fspath(host_path), is_read_only, propagation)

    def _make_directories(self, uid: str) -> None:
        if not self._has_memory:
            self._paths.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            # One tmpfs for all pods of the node: Secrets and tokens never reach the disk.
            mounting.mount_tmpfs(self._paths.memory, mode=0o700)
            self._has_memory = True
        self._paths.pod(uid).mkdir(mode=0o750, parents=True, exist_ok=True)

    def _present(self) -> list[str]:
        found: set[str] = set()
        for directory in (self._paths.pods, self._paths.memory):
            if directory.is_dir():
                found.update(entry.name for entry in directory.iterdir() if entry.is_dir() and not entry.is_symlink())
        return sorted(found)

    def _remove(self, uid: str) -> None:
        for directory in (self._paths.pod(uid), self._paths.pod_memory(uid)):
            if directory.is_dir():
                mounting.unmount_below(directory)
                shutil.rmtree(directory, onerror=_report)


async def _set_up(source: VolumeSource, context: VolumeContext) -> ReadyVolume:
    try:
        return await source.set_up(context)
    except VolumeFailure as failure:
        text = f'MountVolume.SetUp failed for volume "{context.name}" : {failure.message}'
        raise VolumeFailure(text) from failure
    except (OSError, ValueError) as error:
        text = f'MountVolume.SetUp failed for volume "{context.name}" : {error}'
        raise VolumeFailure(text) from error


def _read(root: Path, path: str) -> str | None:
    try:
        handle = open_below(root, path, may_create=False)
    except RuntimeFailure:
        return None
    try:
        # The descriptor may be one that only names the file; opening it again cannot lead anywhere else.
        with open(f"/proc/self/fd/{handle}", "rb") as file:
            return file.read(_FILE_LIMIT_BYTES).decode(errors="replace")
    except OSError:
        return None
    finally:
        os.close(handle)


def _report(_function: object, path: str, _info: object) -> None:
    log.warning("%s could not be removed", path)


def remove_node_files(data_dir: Path) -> None:
    """Unmount and remove everything that a node of this data directory has written (mkube delete)."""
    root = NodePaths(data_dir).root
    mounting.unmount_below(root)
    if root.is_dir():
        shutil.rmtree(root, onerror=_report)
