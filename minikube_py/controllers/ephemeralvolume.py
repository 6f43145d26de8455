"""Makes the claims of pods' generic ephemeral volumes.

Source: pkg/controller/volume/ephemeral.
"""

from collections.abc import Iterable, Sequence

from minikube_py.controllers.context import PERSISTENT_VOLUME_CLAIMS, PODS, ControllerContext
from minikube_py.objects.errors import AlreadyExists, ApiError, Object, is_namespace_terminating
from minikube_py.objects.meta import deep_copy, is_controlled_by, is_deleting, key, name, namespace, owner_reference
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source, owner_keys
from minikube_py.reconciling.informer import InformerEvent
from minikube_py.reconciling.recorder import WARNING, EventRecorder
from minikube_py.resources.kind import GVK

_POD = GVK("", "v1", "Pod")


class EphemeralVolumeController:
    name = "ephemeralvolume"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("ephemeral-volume-controller")
        self._pods = context.informers.informer(PODS)
        self._claims = context.informers.informer(PERSISTENT_VOLUME_CLAIMS)
        self._recorder = EventRecorder(self._client, "ephemeral_volume")

    def sources(self) -> Sequence[Source]:
        return Source(self._pods, self._with_volumes), Source(self._claims, owner_keys("Pod"))

    def _with_volumes(self, event: InformerEvent) -> Iterable[Key]:
        if event.type == "ADDED" and any(v.get("ephemeral") for v in event.object["spec"].get("volumes") or ()):
            yield key(event.object)

    async def reconcile(self, key: Key) -> float | None:
        pod = self._pods.cache.get(*key)
        if pod is None or is_deleting(pod):
            return None
        for volume in pod["spec"].get("volumes") or ():
            if volume.get("ephemeral"):
                await self._ensure(pod, volume)
        return None

    async def _ensure(self, pod: Object, volume: Object) -> None:
        claim_name = f"{name(pod)}-{volume['name']}"
        existing = self._claims.cache.get(namespace(pod), claim_name)
        if existing is not None:
            if not is_controlled_by(existing, pod):
                text = f'PVC "{namespace(pod)}/{claim_name}" was not created for pod "{name(pod)}" (pod is not owner)'
                self._recorder.event(pod, WARNING, "EphemeralVolumeClaimConflict", text)
            return
        template = deep_copy(volume["ephemeral"]["volumeClaimTemplate"])
        metadata = template.get("metadata") or {}
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": claim_name,
                "namespace": namespace(pod),
                "labels": metadata.get("labels") or {},
                "annotations": metadata.get("annotations") or {},
                "ownerReferences": [owner_reference(pod, _POD)],
            },
            "spec": template["spec"],
        }
        try:
            self._claims.assume(await self._client.create(PERSISTENT_VOLUME_CLAIMS, claim, namespace(pod)))
        except AlreadyExists:
            return
        except ApiError as error:
            if is_namespace_terminating(error):
                return
            text = f"ephemeral volume {volume['name']}: create PVC {claim_name}: {error}"
            self._recorder.event(pod, WARNING, "EphemeralVolumeClaimFailed", text)
            raise
