"""Names and labels of everything that mkube makes in Docker: the only state that adoption after a restart relies on."""

from collections.abc import Mapping
from dataclasses import dataclass

from minikube_py.kubelet.runtimes.protocol import PodRef

CLUSTER = "io.mkube.cluster"
NODE = "io.mkube.node"
POD_UID = "io.mkube.pod.uid"
POD_NAMESPACE = "io.mkube.pod.namespace"
POD_NAME = "io.mkube.pod.name"
POD_IP = "io.mkube.pod.ip"
CONTAINER = "io.mkube.container"
RESTART_COUNT = "io.mkube.restart-count"
SPEC_HASH = "io.mkube.spec-hash"
IMAGE_DIGEST = "io.mkube.image-digest"
SHARES_PROCESSES = "io.mkube.share-process-namespace"
KIND = "io.mkube.kind"

KIND_SANDBOX = "sandbox"
KIND_CONTAINER = "container"
KIND_VOLUME = "volume"
KIND_NETWORK = "network"
KIND_IMAGE = "image"


@dataclass(frozen=True)
class Owner:
    """Whose containers these are: one node of one cluster."""

    cluster_id: str
    node_name: str

    def labels(self) -> dict[str, str]:
        return {CLUSTER: self.cluster_id, NODE: self.node_name}

    def filters(self) -> list[str]:
        """Docker label filters that match everything of this node."""
        return [f"{key}={value}" for key, value in self.labels().items()]


def pod_labels(owner: Owner, pod: PodRef, kind: str) -> dict[str, str]:
    """Labels that a sandbox and its containers have alike."""
    return {
        **owner.labels(),
        KIND: kind,
        POD_UID: pod.uid,
        POD_NAMESPACE: pod.namespace,
        POD_NAME: pod.name,
    }


def pod_ref(labels: Mapping[str, str]) -> PodRef:
    return PodRef(labels.get(POD_UID, ""), labels.get(POD_NAMESPACE, ""), labels.get(POD_NAME, ""))


def container_name(container: str, pod: PodRef, attempt: int) -> str:
    """`mkube_<container>_<pod>_<namespace>_<uid8>_<attempt>`; the sandbox is the container called POD."""
    return f"mkube_{container}_{pod.name}_{pod.namespace}_{pod.uid[:8]}_{attempt}"


SANDBOX_CONTAINER = "POD"
