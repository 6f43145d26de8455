"""Answers what the claims of a pod still need, and which volumes could serve them; pure functions.

Source: pkg/scheduler/framework/plugins/volumebinding and component-helpers storage/volume.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from minikube_py.objects import quantity
from minikube_py.objects.errors import Object
from minikube_py.objects.selectors import LabelSelector, NodeSelector
from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.snapshot import Storage

SELECTED_NODE = "volume.kubernetes.io/selected-node"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
NO_PROVISIONER = "kubernetes.io/no-provisioner"


@dataclass
class PodClaims:
    """The claims of a pod by their state. problem is set when no node can help."""

    volumes: list[Object] = field(default_factory=list)
    waiting: list[Object] = field(default_factory=list)
    problem: str = ""


def class_of(claim: Object) -> str:
    return str(claim["spec"].get("storageClassName") or "")


def is_bound(claim: Object) -> bool:
    annotations = claim["metadata"].get("annotations") or {}
    return bool(claim["spec"].get("volumeName")) and BIND_COMPLETED in annotations


def sort_claims(pod: PodInfo, storage: Storage) -> PodClaims:
    """What each claim of the pod stands at."""
    found = PodClaims()
    for name in pod.claims:
        claim = storage.claim(pod.namespace, name)
        if claim is None:
            found.problem = f'persistentvolumeclaim "{name}" not found'
        elif (claim.get("status") or {}).get("phase") == "Lost":
            lost = claim["spec"].get("volumeName", "")
            found.problem = f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{lost}"'
        elif claim["metadata"].get("deletionTimestamp"):
            found.problem = f'persistentvolumeclaim "{name}" is being deleted'
        elif is_bound(claim):
            volume = storage.volume(claim["spec"]["volumeName"])
            if volume is None:
                found.problem = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
            else:
                found.volumes.append(volume)
        elif waits_for_consumer(claim, storage):
            found.waiting.append(claim)
        else:
            found.problem = "pod has unbound immediate PersistentVolumeClaims"
        if found.problem:
            return found
    return found


def waits_for_consumer(claim: Object, storage: Storage) -> bool:
    storage_class = storage.storage_class(class_of(claim))
    return storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"


def node_meets(volume: Object, node: NodeInfo) -> bool:
    """The volume's own node affinity."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    return required is None or NodeSelector(required).matches(node.labels, node.fields)


def find_volume(claim: Object, volumes: Iterable[Object], node: NodeInfo | None, taken: set[str]) -> Object | None:
    """The smallest free volume that serves the claim (on that node), preferring one reserved for it."""
    wanted = quantity.parse(((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0"))
    best: tuple[quantity.Quantity, Object] | None = None
    for volume in volumes:
        spec, metadata = volume["spec"], volume["metadata"]
        if metadata["name"] in taken or metadata.get("deletionTimestamp"):
            continue
        size = quantity.parse((spec.get("capacity") or {}).get("storage", "0"))
        if size < wanted or not _suits(claim, volume) or (node is not None and not node_meets(volume, node)):
            continue
        reference = spec.get("claimRef")
        if reference:
            if _is_reserved_for(reference, claim):
                return volume
            continue
        if (volume.get("status") or {}).get("phase") not in ("Available", None, ""):
            continue
        if best is None or size < best[0]:
            best = size, volume
    return best[1] if best is not None else None


def _is_reserved_for(reference: Object, claim: Object) -> bool:
    metadata = claim["metadata"]
    if (reference.get("namespace"), reference.get("name")) != (metadata.get("namespace"), metadata["name"]):
        return False
    return not reference.get("uid") or reference["uid"] == metadata.get("uid")


def _suits(claim: Object, volume: Object) -> bool:
    wanted, spec = claim["spec"], volume["spec"]
    if (wanted.get("volumeName") or volume["metadata"]["name"]) != volume["metadata"]["name"]:
        return False
    if (wanted.get("volumeMode") or "Filesystem") != (spec.get("volumeMode") or "Filesystem"):
        return False
    if class_of(claim) != str(spec.get("storageClassName") or ""):
        return False
    if not set(wanted.get("accessModes") or ()) <= set(spec.get("accessModes") or ()):
        return False
    if wanted.get("volumeAttributesClassName", "") != spec.get("volumeAttributesClassName", ""):
        return False
    selector = wanted.get("selector")
    return selector is None or LabelSelector.from_dict(selector).matches(volume["metadata"].get("labels"))


def can_provision(claim: Object, storage: Storage, node: NodeInfo) -> bool:
    """Whether the claim's class makes volumes on demand that this node reaches."""
    storage_class = storage.storage_class(class_of(claim))
    if storage_class is None or storage_class.get("provisioner", NO_PROVISIONER) == NO_PROVISIONER:
        return False
    if claim["spec"].get("selector"):
        return False
    topologies = storage_class.get("allowedTopologies")
    return not topologies or any(_is_allowed(term, node) for term in topologies)


def _is_allowed(term: Object, node: NodeInfo) -> bool:
    return all(node.labels.get(e["key"]) in e["values"] for e in term.get("matchLabelExpressions") or ())
