"""The contract of a volume source: make a directory (or file) on the host that containers mount, keep it up to date."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from minikube_py.client.protocol import Client
from minikube_py.kubelet.references import References
from minikube_py.kubelet.runtimes.protocol import ImageUnpacker, RuntimeFailure
from minikube_py.kubelet.services import ImageSource
from minikube_py.kubelet.volumes.node_paths import NodePaths
from minikube_py.kubelet.volumes.pod_certificates import PodCertificates
from minikube_py.kubelet.volumes.tokens import Tokens
from minikube_py.objects.errors import ApiError, NotFound, Object
from minikube_py.resources.kind import GVR


class VolumeFailure(RuntimeFailure):
    """A volume cannot be made now; the pod waits with this message (event FailedMount)."""

    def __init__(self, message: str) -> None:
        super().__init__("FailedMount", message)


@dataclass(frozen=True)
class NodeSources:
    """What volumes are filled from. allocatable: the node's amounts, for containers without limits.

    unpacker is None where the runtime can't give an image's files.
    """

    client: Client
    references: References
    tokens: Tokens
    certificates: PodCertificates
    images: ImageSource
    allocatable: Callable[[], Mapping[str, str]]
    unpacker: ImageUnpacker | None = None


@dataclass(frozen=True)
class VolumeContext:
    """One volume of one pod. volume is the entry of spec.volumes; source is its part for this kind of volume."""

    pod: Object
    volume: Object
    source: Object
    paths: NodePaths
    sources: NodeSources

    @property
    def name(self) -> str:
        return str(self.volume["name"])

    @property
    def pod_uid(self) -> str:
        return str(self.pod["metadata"]["uid"])

    @property
    def namespace(self) -> str:
        return str(self.pod["metadata"]["namespace"])

    @property
    def fs_group(self) -> int | None:
        found = (self.pod["spec"].get("securityContext") or {}).get("fsGroup")
        return None if found is None else int(found)

    async def fetch(self, gvr: GVR, name: str, namespace: str | None = None) -> Object | None:
        """An object as it is now, of a kind that nodes may get and not watch. Raises VolumeFailure."""
        try:
            return await self.sources.client.get(gvr, name, self.namespace if namespace is None else namespace)
        except NotFound:
            return None
        except ApiError as error:
            raise VolumeFailure(error.message) from error

    async def refer(self, gvr: GVR, name: str, namespace: str | None = None) -> Object | None:
        """An object of the pod's namespace (or of '' for cluster-scoped kinds), watched from here on."""
        where = self.namespace if namespace is None else namespace
        return await self.sources.references.get(self.pod_uid, gvr, where, name)


@dataclass(frozen=True)
class ReadyVolume:
    """What containers mount. path '' with a size means a tmpfs of each container's own."""

    path: Path | None
    is_read_only: bool = False
    tmpfs_bytes: int = 0


class VolumeSource(Protocol):
    """One kind of volume. set_up is safe to repeat and raises VolumeFailure; refresh brings a live one up to date."""

    is_live: bool

    async def set_up(self, context: VolumeContext) -> ReadyVolume: ...


def text_or_bytes(data: Any) -> bytes:
    return data if isinstance(data, bytes) else str(data).encode()
