"""Refuses a pod whose ReadWriteOncePod claim is used by another pod."""

from minikube_py.scheduler.framework import Check, Refusal, Wake
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.snapshot import Snapshot

_REFUSAL = Refusal(
    ("node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode",),
)


class VolumeRestrictions:
    name = "VolumeRestrictions"
    is_local = False
    wakes_on = frozenset((Wake.POD_GONE, Wake.STORAGE))

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Check | Refusal | None:
        for name in pod.claims:
            claim = snapshot.storage.claim(pod.namespace, name)
            modes = claim["spec"].get("accessModes") or () if claim is not None else ()
            if "ReadWriteOncePod" in modes and snapshot.claim_users.get((pod.namespace, name)):
                return lambda _node: _REFUSAL
        return None
