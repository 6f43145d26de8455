"""Builds the Node object of this node: labels, capacity, conditions, addresses, images; pure.

Source: core/v1 Node, and the well-known labels of the Kubernetes documentation.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from minikube_py import clock
from minikube_py.kubelet.runtimes.protocol import ImageState, RuntimeInfo
from minikube_py.objects.errors import Object

KUBELET_VERSION = "v1.37.0"
MOST_PODS = 110
MOST_IMAGES = 50

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}

_PRESSURES = (
    ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
)


@dataclass(frozen=True)
class NodeMachine:
    """What the node's host is like. storage_bytes is the file system that holds the data directory."""

    info: RuntimeInfo
    addresses: tuple[str, ...]
    hostname: str
    storage_bytes: int = 0
    machine_id: str = ""
    boot_id: str = ""
    extra_labels: Mapping[str, str] = field(default_factory=dict)
    most_pods: int = MOST_PODS
    pod_cidr: str = ""

    @property
    def architecture(self) -> str:
        return _ARCHITECTURES.get(self.info.architecture, self.info.architecture)


def labels(name: str, machine: NodeMachine) -> dict[str, str]:
    return {
        "beta.kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        **machine.extra_labels,
    }


def new_node(name: str, machine: NodeMachine) -> Object:
    """The object as it is created, without status."""
    spec: Object = {}
    if machine.pod_cidr:
        spec = {"podCIDR": machine.pod_cidr, "podCIDRs": [machine.pod_cidr]}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels(name, machine), "annotations": {}},
        "spec": spec,
    }


def capacity(machine: NodeMachine) -> dict[str, str]:
    return {
        "cpu": str(machine.info.cpus),
        "ephemeral-storage": f"{machine.storage_bytes // 1024}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": f"{machine.info.memory_bytes // 1024}Ki",
        "pods": str(machine.most_pods),
    }


def allocatable(machine: NodeMachine) -> dict[str, str]:
    return {**capacity(machine), "ephemeral-storage": str(machine.storage_bytes * 9 // 10)}


def node_status(machine: NodeMachine, images: Sequence[ImageState], trouble: str = "") -> Object:
    """The parts of the status that the kubelet owns; trouble is why the node is not ready."""
    return {
        "capacity": capacity(machine),
        "allocatable": allocatable(machine),
        "conditions": conditions(trouble),
        "addresses": [
            *({"type": "InternalIP", "address": address} for address in machine.addresses),
            {"type": "Hostname", "address": machine.hostname},
        ],
        "nodeInfo": {
            "architecture": machine.architecture,
            "bootID": machine.boot_id,
            "containerRuntimeVersion": f"{machine.info.name}://{machine.info.version}",
            "kernelVersion": machine.info.kernel_version,
            "kubeProxyVersion": "",
            "kubeletVersion": KUBELET_VERSION,
            "machineID": machine.machine_id,
            "operatingSystem": "linux",
            "osImage": machine.info.os_image,
            "systemUUID": machine.machine_id,
        },
        "images": image_list(images),
    }


def conditions(trouble: str = "") -> list[Object]:
    now = clock.rfc3339()
    found = [_condition(kind, "False", reason, text) for kind, reason, text in _PRESSURES]
    if trouble:
        found.append(_condition("Ready", "False", "KubeletNotReady", trouble))
    else:
        found.append(_condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"))
    return [{**c, "lastHeartbeatTime": now, "lastTransitionTime": now} for c in found]


def _condition(kind: str, status: str, reason: str, message: str) -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def image_list(images: Iterable[ImageState]) -> list[Object]:
    """The largest images of the node."""
    largest = sorted(images, key=lambda image: (-image.size_bytes, image.id))[:MOST_IMAGES]
    return [
        {"names": [*image.digests, *image.tags], "sizeBytes": image.size_bytes}
        for image in largest
        if image.digests or image.tags
    ]


def status_patch(old: Object, new: Object) -> Object:
    """A strategic merge patch of node status; {} when nothing but heartbeat times differs.

    Resources that others have put into capacity stay; what they added to capacity alone becomes allocatable.
    """
    patch: Object = {}
    for key in ("capacity", "allocatable", "nodeInfo"):
        known = old.get(key) or {}
        changed = {name: value for name, value in new[key].items() if known.get(name) != value}
        if changed:
            patch[key] = changed
    extended = {
        name: value
        for name, value in (old.get("capacity") or {}).items()
        if name not in new["capacity"] and (old.get("allocatable") or {}).get(name) != value
    }
    if extended:
        patch["allocatable"] = {**(patch.get("allocatable") or {}), **extended}
    known_conditions = {c["type"]: c for c in old.get("conditions") or ()}
    changed_conditions = []
    for condition in new["conditions"]:
        known = known_conditions.get(condition["type"]) or {}
        if all(known.get(k) == condition[k] for k in ("status", "reason", "message")):
            continue
        if known.get("status") == condition["status"]:
            condition = {**condition, "lastTransitionTime": known.get("lastTransitionTime")}
        changed_conditions.append(condition)
    if changed_conditions:
        patch["conditions"] = changed_conditions
    if (old.get("addresses") or []) != new["addresses"]:
        patch["addresses"] = [*new["addresses"], {"$patch": "replace"}]
    if (old.get("images") or []) != new["images"]:
        patch["images"] = new["images"]
    return patch


def heartbeat(old: Object, new: Object) -> Object:
    """Conditions with new heartbeat times and the transition times that the API has."""
    known = {c["type"]: c for c in old.get("conditions") or ()}
    made = []
    for condition in new["conditions"]:
        before = known.get(condition["type"]) or {}
        if before.get("status") == condition["status"]:
            condition = {**condition, "lastTransitionTime": before.get("lastTransitionTime")}
        made.append(condition)
    return {"conditions": made}
