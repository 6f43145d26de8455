"""Answers what the claims of a pod still need, and which volumes could serve them; pure functions.

Source: pkg/scheduler/framework/plugins/volumebinding and component-helpers storage/volume.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from minikube_py.objects.errors import Object
from minikube_py.objects.meta import name as name_of
from minikube_py.objects.selectors import NodeSelector
from minikube_py.resources.core.volume_match_rules import SELECTED_NODE as SELECTED_NODE
from minikube_py.resources.core.volume_match_rules import class_of, match_volume
from minikube_py.resources.core.volume_match_rules import is_bound as is_bound
from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.snapshot import Storage

NO_PROVISIONER = "kubernetes.io/no-provisioner"


@dataclass
class PodClaims:
    """The claims of a pod by their state. problem is set when no node can help."""

    volumes: list[Object] = field(default_factory=list)
    waiting: list[Object] = field(default_factory=list)
    problem: str = ""


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


def find_volume(claim: Object, volumes: Iterable[Object], node: NodeInfo, taken: set[str]) -> Object | None:
    """The volume that serves the claim on that node, beside those that are taken."""
    return match_volume(claim, volumes, lambda volume: name_of(volume) not in taken and node_meets(volume, node))


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
