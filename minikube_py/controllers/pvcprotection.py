"""Keeps claims that a pod uses from disappearing.

Source: pkg/controller/volume/pvcprotection. The finalizer is put on by admission, or here when it is missing.
"""

from collections.abc import Iterable, Sequence

from minikube_py.controllers.context import PERSISTENT_VOLUME_CLAIMS, PODS, ControllerContext
from minikube_py.controllers.workloads.pods import is_finished
from minikube_py.controllers.workloads.writing import write_object
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy, finalizers, is_deleting, name, namespace
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import InformerEvent

FINALIZER = "kubernetes.io/pvc-protection"
BY_CLAIM = "claim"


def claims_of(pod: Object) -> Iterable[str]:
    """Index of pods by `namespace/claim`."""
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            yield f"{namespace(pod)}/{volume['persistentVolumeClaim']['claimName']}"
        elif volume.get("ephemeral"):
            yield f"{namespace(pod)}/{name(pod)}-{volume['name']}"


class ClaimProtectionController:
    name = "pvcprotection"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("pvc-protection-controller")
        self._claims = context.informers.informer(PERSISTENT_VOLUME_CLAIMS)
        self._pods = context.informers.informer(PODS, indexers={BY_CLAIM: claims_of})

    def sources(self) -> Sequence[Source]:
        return Source(self._claims), Source(self._pods, self._claims_of_pod)

    def _claims_of_pod(self, event: InformerEvent) -> Iterable[Key]:
        if event.type == "DELETED" or is_finished(event.object):
            for one in claims_of(event.object):
                yield Key(*one.split("/"))

    async def reconcile(self, key: Key) -> float | None:
        claim = self._claims.cache.get(*key)
        if claim is None:
            return None
        protected = FINALIZER in finalizers(claim)
        if is_deleting(claim) and protected and not await self._is_used(key):
            changed = deep_copy(claim)
            changed["metadata"]["finalizers"].remove(FINALIZER)
            await self._client.update(PERSISTENT_VOLUME_CLAIMS, changed)
        elif not is_deleting(claim) and not protected:
            changed = deep_copy(claim)
            changed["metadata"].setdefault("finalizers", []).append(FINALIZER)
            await write_object(self._client, self._claims, changed)
        return None

    async def _is_used(self, key: Key) -> bool:
        # A pod without a node has no data to lose; it will find that its claim is gone.
        users = self._pods.cache.by_index(BY_CLAIM, f"{key.namespace}/{key.name}")
        return any(pod["spec"].get("nodeName") and not is_finished(pod) for pod in users)
