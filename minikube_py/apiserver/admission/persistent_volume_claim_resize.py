"""Lets a claim grow only where its storage class says that it can.

Source: the admission controllers reference page (PersistentVolumeClaimResize).
"""

from minikube_py.apiserver.admission.context import Plugin, is_about, refuse, spec_of
from minikube_py.apiserver.admission.default_storage_class import CLASS_ANNOTATION, STORAGE_CLASSES
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.objects import quantity
from minikube_py.objects.errors import Object


class PersistentVolumeClaimResize(Plugin):
    name = "PersistentVolumeClaimResize"
    resources = frozenset((("", "persistentvolumeclaims"),))

    async def validate(self, request: AdmissionRequest) -> None:
        new, old = request.obj, request.old
        if new is None or old is None or request.operation != "UPDATE":
            return
        if not is_about(request, "", "persistentvolumeclaims") or not _storage(old) < _storage(new):
            return
        name = (new["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION) or spec_of(new).get("storageClassName")
        found = self.reader.get(STORAGE_CLASSES, name) if name else None
        if found is None or not found.get("allowVolumeExpansion"):
            raise refuse(
                request,
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
                "support resize",
            )


def _storage(claim: Object) -> quantity.Quantity:
    requests = (spec_of(claim).get("resources") or {}).get("requests") or {}
    return quantity.parse(requests.get("storage", "0"))
