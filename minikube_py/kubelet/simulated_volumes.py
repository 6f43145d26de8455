"""Volumes of simulated nodes: nothing is written, but a pod still waits for the ConfigMaps and Secrets it mounts."""

from collections.abc import Iterator
from pathlib import Path

from minikube_py.kubelet.kinds import CONFIG_MAPS, SECRETS
from minikube_py.kubelet.pod_spec import PodContainer
from minikube_py.kubelet.references import References
from minikube_py.kubelet.runtimes.protocol import Mount, RuntimeFailure
from minikube_py.objects.errors import Object


class SimulatedVolumes:
    """Implements PodVolumes."""

    def __init__(self, references: References) -> None:
        self._references = references

    async def set_up(self, pod: Object) -> None:
        meta = pod["metadata"]
        for volume, kind, name in _required(pod):
            gvr = CONFIG_MAPS if kind == "configmap" else SECRETS
            if await self._references.get(meta["uid"], gvr, meta["namespace"], name) is None:
                text = f'MountVolume.SetUp failed for volume "{volume}" : {kind} "{name}" not found'
                raise RuntimeFailure("FailedMount", text)

    async def refresh(self, pod: Object) -> None:
        return None

    def refresh_at(self, pod_uid: str) -> float:
        return 0.0

    async def mounts(self, pod: Object, container: PodContainer, environment: dict[str, str]) -> tuple[Mount, ...]:
        return ()

    async def read_file(self, pod: Object, volume: str, path: str) -> str | None:
        return None

    async def remove_local(self, handle: str) -> None:
        return None

    def path_of(self, pod_uid: str, volume: str) -> Path | None:
        return None

    async def tear_down(self, pod_uid: str) -> None:
        return None


def _required(pod: Object) -> Iterator[tuple[str, str, str]]:
    """(volume, kind, name) of everything without which the pod cannot start.

    Projected volumes are left out: they hold the service account's token and CA in every pod, and a watch for each
    would be most of the cost of a simulated pod.
    """
    for volume in pod["spec"].get("volumes") or ():
        config_map, secret = volume.get("configMap"), volume.get("secret")
        if config_map and not config_map.get("optional"):
            yield volume["name"], "configmap", config_map["name"]
        if secret and not secret.get("optional"):
            yield volume["name"], "secret", secret["secretName"]
