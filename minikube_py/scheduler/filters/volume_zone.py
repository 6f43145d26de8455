"""Refuses nodes outside the zone or region that a bound volume is labelled with."""

from minikube_py.scheduler.claims import is_bound
from minikube_py.scheduler.framework import Check, Refusal, Wake
from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.snapshot import Snapshot

_REFUSAL = Refusal(("node(s) had no available volume zone",), is_final=True)
_LABELS = (
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
)


class VolumeZone:
    name = "VolumeZone"
    is_local = False
    wakes_on = frozenset((Wake.STORAGE, Wake.NODE_ADDED, Wake.NODE_LABELS))

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Check | Refusal | None:
        wanted = list(_wanted(pod, snapshot))
        if not wanted:
            return None

        def check(node: NodeInfo) -> Refusal | None:
            for label, values in wanted:
                if label in node.labels and node.labels[label] not in values:
                    return _REFUSAL
            return None

        return check


def _wanted(pod: PodInfo, snapshot: Snapshot) -> list[tuple[str, set[str]]]:
    wanted = []
    for name in pod.claims:
        claim = snapshot.storage.claim(pod.namespace, name)
        if claim is None or not is_bound(claim):
            continue
        volume = snapshot.storage.volume(claim["spec"]["volumeName"])
        labels = (volume["metadata"].get("labels") or {}) if volume is not None else {}
        # A regional volume lists its zones with `__` between them.
        wanted += [(label, set(labels[label].split("__"))) for label in _LABELS if label in labels]
    return wanted
