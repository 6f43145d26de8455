"""Refuses nodes that the pod's volumes can't follow to: bound ones by their affinity, unbound ones without a match."""

from minikube_py.scheduler.claims import can_provision, find_volume, node_meets, sort_claims
from minikube_py.scheduler.framework import Change, Check, Refusal, Wake
from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.snapshot import Snapshot

_CONFLICT = Refusal(("node(s) didn't match PersistentVolume's node affinity",), is_final=True)
_NO_VOLUME = Refusal(("node(s) didn't find available persistent volumes to bind",), is_final=True)


class VolumeBinding:
    name = "VolumeBinding"
    is_local = False
    wakes_on = frozenset((Wake.STORAGE, Wake.NODE_ADDED, Wake.NODE_LABELS))

    def helps(self, pod: PodInfo, change: Change) -> bool:
        """Of claims, the pod's own."""
        claim = change.claim
        if claim is None:
            return True
        metadata = claim["metadata"]
        return metadata.get("namespace") == pod.namespace and metadata["name"] in pod.claims

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Check | Refusal | None:
        if not pod.claims:
            return None
        storage = snapshot.storage
        claims = sort_claims(pod, storage)
        if claims.problem:
            return Refusal((claims.problem,), is_final=True)

        def check(node: NodeInfo) -> Refusal | None:
            if not all(node_meets(volume, node) for volume in claims.volumes):
                return _CONFLICT
            taken: set[str] = set()
            for claim in claims.waiting:
                volume = find_volume(claim, storage.volumes(), node, taken)
                if volume is not None:
                    taken.add(volume["metadata"]["name"])
                elif not can_provision(claim, storage, node):
                    return _NO_VOLUME
            return None

        return check
