"""Keeps volume attributes classes that a claim or a volume uses from disappearing.

Source: KEP-3751, pkg/controller/volume/vacprotection. Admission puts the finalizer on, or this does when it is missing.
"""

from collections.abc import Callable, Iterable, Sequence

from minikube_py.controllers.context import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    VOLUME_ATTRIBUTES_CLASSES,
    ControllerContext,
)
from minikube_py.controllers.workloads.writing import write_object
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy, finalizers, is_deleting
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import DELETED, InformerEvent

FINALIZER = "kubernetes.io/vac-protection"
BY_CLASS = "volume attributes class"


def classes_of_claim(claim: Object) -> Iterable[str]:
    """The class it has, the one it asks for, and the one that it is being changed to."""
    status = claim.get("status") or {}
    names = (
        claim["spec"].get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    )
    return {name for name in names if name}


def classes_of_volume(volume: Object) -> Iterable[str]:
    name = volume["spec"].get("volumeAttributesClassName")
    return (name,) if name else ()


class VolumeAttributesClassProtectionController:
    name = "volumeattributesclassprotection"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("volumeattributesclass-protection-controller")
        self._classes = context.informers.informer(VOLUME_ATTRIBUTES_CLASSES)
        self._claims = context.informers.informer(PERSISTENT_VOLUME_CLAIMS, indexers={BY_CLASS: classes_of_claim})
        self._volumes = context.informers.informer(PERSISTENT_VOLUMES, indexers={BY_CLASS: classes_of_volume})

    def sources(self) -> Sequence[Source]:
        return (
            Source(self._classes),
            Source(self._claims, lambda event: _released(event, classes_of_claim)),
            Source(self._volumes, lambda event: _released(event, classes_of_volume)),
        )

    async def reconcile(self, key: Key) -> float | None:
        one = self._classes.cache.get(*key)
        if one is None:
            return None
        protected = FINALIZER in finalizers(one)
        changed = deep_copy(one)
        if is_deleting(one) and protected and not self._is_used(key.name):
            changed["metadata"]["finalizers"].remove(FINALIZER)
            await self._client.update(VOLUME_ATTRIBUTES_CLASSES, changed)
        elif not is_deleting(one) and not protected:
            changed["metadata"].setdefault("finalizers", []).append(FINALIZER)
            await write_object(self._client, self._classes, changed)
        return None

    def _is_used(self, name: str) -> bool:
        users = (*self._claims.cache.by_index(BY_CLASS, name), *self._volumes.cache.by_index(BY_CLASS, name))
        return bool(users)


def _released(event: InformerEvent, classes_of: Callable[[Object], Iterable[str]]) -> Iterable[Key]:
    """The classes that the object used before the change and doesn't use now."""
    before = event.object if event.type == DELETED else event.previous
    if before is None:
        return ()
    after = () if event.type == DELETED else classes_of(event.object)
    return [Key("", name) for name in set(classes_of(before)) - set(after)]
