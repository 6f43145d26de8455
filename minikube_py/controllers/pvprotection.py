"""Keeps volumes that are bound to a claim from disappearing.

Source: pkg/controller/volume/pvprotection.
"""

from collections.abc import Sequence

from minikube_py.controllers.context import PERSISTENT_VOLUMES, ControllerContext
from minikube_py.controllers.workloads.writing import write_object
from minikube_py.objects.meta import deep_copy, finalizers, is_deleting
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source

FINALIZER = "kubernetes.io/pv-protection"


class VolumeProtectionController:
    name = "pvprotection"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("pv-protection-controller")
        self._volumes = context.informers.informer(PERSISTENT_VOLUMES)

    def sources(self) -> Sequence[Source]:
        return (Source(self._volumes),)

    async def reconcile(self, key: Key) -> float | None:
        volume = self._volumes.cache.get(*key)
        if volume is None:
            return None
        protected = FINALIZER in finalizers(volume)
        is_used = (volume.get("status") or {}).get("phase") == "Bound"
        changed = deep_copy(volume)
        if is_deleting(volume) and protected and not is_used:
            changed["metadata"]["finalizers"].remove(FINALIZER)
            await self._client.update(PERSISTENT_VOLUMES, changed)
        elif not is_deleting(volume) and not protected:
            changed["metadata"].setdefault("finalizers", []).append(FINALIZER)
            await write_object(self._client, self._volumes, changed)
        return None
