"""Binds claims to volumes, and says of both what they stand at.

Source: pkg/controller/volume/persistentvolume. Volumes made on demand come from external provisioners.
"""

from collections.abc import Iterable, Sequence

from minikube_py.controllers.context import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    STORAGE_CLASSES,
    ControllerContext,
)
from minikube_py.controllers.workloads.writing import write_object, write_status
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import annotations, deep_copy, key, name, namespace, uid
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import InformerEvent
from minikube_py.reconciling.recorder import NORMAL, WARNING, EventRecorder
from minikube_py.resources.core.volume_match_rules import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    SELECTED_NODE,
    class_of,
    is_bound,
    is_reserved_for,
    match_volume,
)

_PROVISIONER_NOTES = ("volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner")
_NO_PROVISIONER = "kubernetes.io/no-provisioner"


class PersistentVolumeController:
    """Keys with a namespace are claims, the others volumes."""

    name = "persistentvolume"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("persistent-volume-binder")
        self._claims = context.informers.informer(PERSISTENT_VOLUME_CLAIMS)
        self._volumes = context.informers.informer(PERSISTENT_VOLUMES)
        self._classes = context.informers.informer(STORAGE_CLASSES)
        self._recorder = EventRecorder(self._client, "persistentvolume-controller")

    def sources(self) -> Sequence[Source]:
        return (
            Source(self._claims, self._claim_changed),
            Source(self._volumes, self._volume_changed),
            Source(self._classes, lambda _event: self._unbound()),
        )

    def _claim_changed(self, event: InformerEvent) -> Iterable[Key]:
        yield key(event.object)
        volume = event.object["spec"].get("volumeName")
        if volume:
            yield Key("", volume)

    def _volume_changed(self, event: InformerEvent) -> Iterable[Key]:
        yield key(event.object)
        reference = event.object["spec"].get("claimRef")
        if reference:
            yield Key(reference.get("namespace", ""), reference["name"])
        else:
            yield from self._unbound()

    def _unbound(self) -> Iterable[Key]:
        return [key(claim) for claim in self._claims.cache if not is_bound(claim)]

    async def reconcile(self, key: Key) -> float | None:
        if key.namespace:
            claim = self._claims.cache.get(*key)
            if claim is not None:
                await self._sync_claim(claim)
            return None
        volume = self._volumes.cache.get("", key.name)
        if volume is not None:
            await self._sync_volume(volume)
        return None

    # --- claims -------------------------------------------------------------------------------------------------------

    async def _sync_claim(self, claim: Object) -> None:
        if is_bound(claim):
            await self._sync_bound_claim(claim)
            return
        wanted = claim["spec"].get("volumeName")
        if wanted:
            volume = self._volumes.cache.get("", wanted)
            reference = volume["spec"].get("claimRef") if volume is not None else None
            if volume is None or (reference and not is_reserved_for(reference, claim)):
                await self._set_pending(claim)
                return
        else:
            waits = self._waits(claim)
            found = match_volume(claim, self._volumes.cache, self._is_reserved(claim) if waits else None)
            if found is None:
                await self._explain_pending(claim, waits)
                return
            volume = found
        await self._bind(claim, volume)

    def _is_reserved(self, claim: Object) -> "ReservedFor":
        return ReservedFor(claim)

    def _waits(self, claim: Object) -> bool:
        """Whether the claim's volume is chosen together with the node of its first pod."""
        storage_class = self._classes.cache.get("", class_of(claim))
        return (
            storage_class is not None
            and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"
            and SELECTED_NODE not in annotations(claim)
        )

    async def _explain_pending(self, claim: Object, waits: bool) -> None:
        storage_class = self._classes.cache.get("", class_of(claim))
        provisioner = storage_class.get("provisioner", "") if storage_class is not None else ""
        if waits:
            text = "waiting for first consumer to be created before binding"
            self._recorder.event(claim, NORMAL, "WaitForFirstConsumer", text)
        elif not class_of(claim):
            text = "no persistent volumes available for this claim and no storage class is set"
            self._recorder.event(claim, NORMAL, "FailedBinding", text)
        elif storage_class is None:
            text = f'storageclass.storage.k8s.io "{class_of(claim)}" not found'
            self._recorder.event(claim, WARNING, "ProvisioningFailed", text)
        elif provisioner and provisioner != _NO_PROVISIONER:
            claim = await self._ask_for(claim, provisioner)
            text = (
                f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually "
                "by the system administrator. If volume creation is delayed, please verify that the provisioner is "
                "running and correctly registered."
            )
            self._recorder.event(claim, NORMAL, "ExternalProvisioning", text)
        await self._set_pending(claim)

    async def _ask_for(self, claim: Object, provisioner: str) -> Object:
        if all(annotations(claim).get(note) == provisioner for note in _PROVISIONER_NOTES):
            return claim
        changed = deep_copy(claim)
        changed["metadata"].setdefault("annotations", {}).update(dict.fromkeys(_PROVISIONER_NOTES, provisioner))
        return await write_object(self._client, self._claims, changed)

    async def _set_pending(self, claim: Object) -> None:
        if (claim.get("status") or {}).get("phase") != "Pending":
            status = {**(claim.get("status") or {}), "phase": "Pending"}
            await write_status(self._client, self._claims, claim, status)

    async def _bind(self, claim: Object, volume: Object) -> None:
        """First the volume, then the claim: a crash in between leaves a volume that is reserved for this claim."""
        reference = volume["spec"].get("claimRef") or {}
        if reference.get("uid") != uid(claim):
            changed = deep_copy(volume)
            if not reference:
                changed["metadata"].setdefault("annotations", {})[BOUND_BY_CONTROLLER] = "yes"
            changed["spec"]["claimRef"] = {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": namespace(claim),
                "name": name(claim),
                "uid": uid(claim),
                "resourceVersion": claim["metadata"]["resourceVersion"],
            }
            volume = await write_object(self._client, self._volumes, changed)
        await self._set_phase(volume, "Bound")
        changed = deep_copy(claim)
        notes = changed["metadata"].setdefault("annotations", {})
        if not changed["spec"].get("volumeName"):
            changed["spec"]["volumeName"] = name(volume)
            notes[BOUND_BY_CONTROLLER] = "yes"
        notes[BIND_COMPLETED] = "yes"
        claim = await write_object(self._client, self._claims, changed)
        await self._set_bound(claim, volume)

    async def _sync_bound_claim(self, claim: Object) -> None:
        volume = self._volumes.cache.get("", claim["spec"]["volumeName"])
        reference = volume["spec"].get("claimRef") if volume is not None else None
        if volume is not None and not reference:
            await self._bind(claim, volume)
        elif volume is not None and reference and reference.get("uid") == uid(claim):
            await self._set_bound(claim, volume)
        elif (claim.get("status") or {}).get("phase") != "Lost":
            status = {"phase": "Lost"}
            await write_status(self._client, self._claims, claim, status)
            if volume is None:
                text = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
                self._recorder.event(claim, WARNING, "ClaimLost", text)
            else:
                text = "Two claims are bound to the same volume, this one is bound incorrectly"
                self._recorder.event(claim, WARNING, "ClaimMisbound", text)

    async def _set_bound(self, claim: Object, volume: Object) -> None:
        status = deep_copy(claim.get("status") or {})
        if status.get("phase") == "Bound":
            return
        status["phase"] = "Bound"
        status["accessModes"] = list(volume["spec"].get("accessModes") or ())
        status["capacity"] = {"storage": (volume["spec"].get("capacity") or {}).get("storage", "0")}
        await write_status(self._client, self._claims, claim, status)

    # --- volumes ------------------------------------------------------------------------------------------------------

    async def _sync_volume(self, volume: Object) -> None:
        reference = volume["spec"].get("claimRef")
        if not reference or not reference.get("uid"):
            await self._set_phase(volume, "Available")
            return
        claim = self._claims.cache.get(reference.get("namespace", ""), reference["name"])
        if claim is None or uid(claim) != reference["uid"]:
            # Whether data is deleted is the provisioner's business; a retained volume waits for its admin.
            await self._set_phase(volume, "Released")
        elif claim["spec"].get("volumeName") == name(volume):
            await self._set_phase(volume, "Bound")

    async def _set_phase(self, volume: Object, phase: str) -> None:
        status = volume.get("status") or {}
        if status.get("phase") != phase:
            await write_status(self._client, self._volumes, volume, {**status, "phase": phase})


class ReservedFor:
    """Accepts the volumes that name this claim."""

    def __init__(self, claim: Object) -> None:
        self._claim = claim

    def __call__(self, volume: Object) -> bool:
        reference = volume["spec"].get("claimRef")
        return bool(reference) and is_reserved_for(reference, self._claim)
