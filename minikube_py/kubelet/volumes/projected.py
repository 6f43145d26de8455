"""`projected` volumes: tokens, certificates, ConfigMaps, Secrets and downward fields together, kept up to date."""

import asyncio

from minikube_py.kubelet.volumes import atomic_writer, projections
from minikube_py.kubelet.volumes.projections import Files
from minikube_py.kubelet.volumes.protocol import ReadyVolume, VolumeContext, VolumeFailure
from minikube_py.objects.errors import Object


class ProjectedVolume:
    """Implements VolumeSource."""

    is_live = True

    async def set_up(self, context: VolumeContext) -> ReadyVolume:
        mode = projections.default_mode(context.source)
        files: Files = {}
        for index, source in enumerate(context.source.get("sources") or ()):
            files |= await _files_of(context, source, index, mode)
        path = context.paths.memory_volume(context.pod_uid, "projected", context.name)
        await asyncio.to_thread(atomic_writer.write, path, files, context.fs_group, atomic_writer.MEMORY_MODE)
        return ReadyVolume(path, is_read_only=True)


async def _files_of(context: VolumeContext, source: Object, index: int, mode: int) -> Files:
    match source:
        case {"serviceAccountToken": dict(token)}:
            return await projections.token_files(context, token, mode)
        case {"configMap": dict(config_map)}:
            return await projections.config_map_files(context, config_map, config_map["name"], mode)
        case {"secret": dict(secret)}:
            return await projections.secret_files(context, secret, secret["name"], mode)
        case {"downwardAPI": dict(downward)}:
            return projections.downward_files(context, downward, mode)
        case {"clusterTrustBundle": dict(bundle)}:
            return await projections.trust_bundle_files(context, bundle, mode)
        case {"podCertificate": dict(certificate)}:
            return await projections.pod_certificate_files(context, certificate, index, mode)
    kinds = ", ".join(sorted(source))
    raise VolumeFailure(f"projected volumes with {kinds or 'an empty source'} are not supported yet")
