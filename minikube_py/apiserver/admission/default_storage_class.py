"""Gives claims that name no storage class the default one.

Source: the "Storage Classes" page (default StorageClass): the newest wins when several are marked.
"""

from minikube_py.apiserver.admission.context import Plugin, is_about
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import GVR

STORAGE_CLASSES = GVR("storage.k8s.io", "v1", "storageclasses")
DEFAULT_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


class DefaultStorageClass(Plugin):
    name = "DefaultStorageClass"
    resources = frozenset((("", "persistentvolumeclaims"),))

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.obj is None or request.operation != "CREATE" or not is_about(request, "", "persistentvolumeclaims"):
            return
        claim = request.obj
        spec = claim.setdefault("spec", {})
        # An empty name is a choice (no class); only a missing one is open.
        if spec.get("storageClassName") is not None:
            return
        if CLASS_ANNOTATION in (claim["metadata"].get("annotations") or {}):
            return
        default = newest_default(self.reader.list(STORAGE_CLASSES), DEFAULT_ANNOTATIONS)
        if default is not None:
            spec["storageClassName"] = default["metadata"]["name"]


def newest_default(classes: list[Object], annotations: tuple[str, ...]) -> Object | None:
    """Of the classes that are marked as default: the newest, the first name among equals."""
    marked = [c for c in classes if any((c["metadata"].get("annotations") or {}).get(a) == "true" for a in annotations)]
    marked.sort(key=lambda c: str(c["metadata"]["name"]))
    newest = max((str(c["metadata"].get("creationTimestamp", "")) for c in marked), default="")
    return next((c for c in marked if str(c["metadata"].get("creationTimestamp", "")) == newest), None)
