"""Marks claims, volumes and volume attribute classes so that they outlive their last user.

Source: the "Persistent Volumes" page (storage object in use protection), KEP-3751.
"""

from minikube_py.apiserver.admission.context import Plugin
from minikube_py.apiserver.admission.protocol import AdmissionRequest

FINALIZERS = {
    ("", "persistentvolumeclaims"): "kubernetes.io/pvc-protection",
    ("", "persistentvolumes"): "kubernetes.io/pv-protection",
    ("storage.k8s.io", "volumeattributesclasses"): "kubernetes.io/vac-protection",
}


class StorageObjectInUseProtection(Plugin):
    name = "StorageObjectInUseProtection"
    resources = frozenset(FINALIZERS)

    async def mutate(self, request: AdmissionRequest) -> None:
        finalizer = FINALIZERS.get((request.info.group, request.info.resource))
        if finalizer is None or request.obj is None or request.operation != "CREATE" or request.subresource:
            return
        metadata = request.obj["metadata"]
        finalizers = metadata.get("finalizers") or []
        if finalizer not in finalizers:
            metadata["finalizers"] = [*finalizers, finalizer]
