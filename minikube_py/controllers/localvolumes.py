"""Makes volumes for claims of the local storage class on the node of their first pod, and deletes them when released.

Source: sig-storage-lib-external-provisioner (names, annotations, events), pkg/controller/volume/persistentvolume.
"""

import logging
from collections.abc import Iterable, Sequence

from minikube_py.client.protocol import DeleteOptions
from minikube_py.controllers.context import (
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    STORAGE_CLASSES,
    ControllerContext,
)
from minikube_py.objects.conditions import get_condition
from minikube_py.objects.errors import AlreadyExists, ApiError, NotFound, Object
from minikube_py.objects.meta import annotations, is_deleting, key, name, namespace, uid
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import InformerEvent
from minikube_py.reconciling.recorder import NORMAL, WARNING, EventRecorder
from minikube_py.resources.core.volume_match_rules import SELECTED_NODE, class_of, is_bound
from minikube_py.resources.storage.local_volumes import LOCAL_DRIVER, volume_handle

log = logging.getLogger(__name__)

_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
_RETRY_SECONDS = 15.0


class LocalVolumeController:
    """Keys with a namespace are claims, the others volumes."""

    name = "localvolumes"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("persistent-volume-binder")
        self._remove_data = context.options.remove_volume
        self._claims = context.informers.informer(PERSISTENT_VOLUME_CLAIMS)
        self._volumes = context.informers.informer(PERSISTENT_VOLUMES)
        self._classes = context.informers.informer(STORAGE_CLASSES)
        self._nodes = context.informers.informer(NODES)
        self._recorder = EventRecorder(self._client, LOCAL_DRIVER)

    def sources(self) -> Sequence[Source]:
        return (
            Source(self._claims),
            Source(self._volumes),
            Source(self._classes, self._class_changed),
            Source(self._nodes, lambda _event: ()),
        )

    def _class_changed(self, event: InformerEvent) -> Iterable[Key]:
        wanted = name(event.object)
        return [key(claim) for claim in self._claims.cache if class_of(claim) == wanted and not is_bound(claim)]

    async def reconcile(self, key: Key) -> float | None:
        if key.namespace:
            claim = self._claims.cache.get(*key)
            if claim is not None and not is_deleting(claim):
                await self._provision(claim)
            return None
        volume = self._volumes.cache.get("", key.name)
        return await self._release(volume) if volume is not None else None

    # --- making

    async def _provision(self, claim: Object) -> None:
        storage_class = self._classes.cache.get("", class_of(claim))
        if storage_class is None or storage_class.get("provisioner") != LOCAL_DRIVER:
            return
        if is_bound(claim) or claim["spec"].get("volumeName") or self._volumes.cache.get("", _volume_name(claim)):
            return
        node = self._node_for(claim, storage_class)
        if not node:
            return
        problem = _problem(claim)
        if problem:
            self._recorder.event(claim, WARNING, "ProvisioningFailed", problem)
            return
        try:
            await self._client.create(PERSISTENT_VOLUMES, local_volume(claim, storage_class, node))
        except AlreadyExists:
            return
        text = f"Successfully provisioned volume {_volume_name(claim)}"
        self._recorder.event(claim, NORMAL, "ProvisioningSucceeded", text)

    def _node_for(self, claim: Object, storage_class: Object) -> str:
        """The node that the scheduler chose; of a class that does not wait for one, any node that is ready."""
        chosen = annotations(claim).get(SELECTED_NODE, "")
        if chosen or storage_class.get("volumeBindingMode") == "WaitForFirstConsumer":
            return str(chosen)
        return min((name(node) for node in self._nodes.cache if _is_usable(node)), default="")

    # --- deleting

    async def _release(self, volume: Object) -> float | None:
        spec = volume["spec"]
        if annotations(volume).get(_PROVISIONED_BY) != LOCAL_DRIVER or is_deleting(volume):
            return None
        is_released = (volume.get("status") or {}).get("phase") == "Released"
        if not is_released or spec.get("persistentVolumeReclaimPolicy") != "Delete":
            return None
        node = _node_of(volume)
        if self._nodes.cache.get("", node) is not None and self._remove_data is not None:
            try:
                await self._remove_data(node, spec["csi"]["volumeHandle"])
            except ApiError as error:
                self._recorder.event(volume, WARNING, "VolumeFailedDelete", error.message)
                return _RETRY_SECONDS
        try:
            await self._client.delete(PERSISTENT_VOLUMES, name(volume), options=DeleteOptions(uid=uid(volume)))
        except NotFound:
            return None
        return None


def local_volume(claim: Object, storage_class: Object, node: str) -> Object:
    """The volume that serves the claim; only pods on that node reach it."""
    spec = claim["spec"]
    hostname = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": _volume_name(claim), "annotations": {_PROVISIONED_BY: LOCAL_DRIVER}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": list(spec.get("accessModes") or ()),
            "volumeMode": "Filesystem",
            "storageClassName": name(storage_class),
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": namespace(claim),
                "name": name(claim),
                "uid": uid(claim),
            },
            "csi": {"driver": LOCAL_DRIVER, "volumeHandle": volume_handle(claim)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [hostname]}]}},
        },
    }


def _volume_name(claim: Object) -> str:
    return f"pvc-{uid(claim)}"


def _problem(claim: Object) -> str:
    if claim["spec"].get("volumeMode") == "Block":
        return "local volumes are directories: volumeMode Block is not supported"
    if claim["spec"].get("dataSource") or claim["spec"].get("dataSourceRef"):
        return "local volumes begin empty: dataSource is not supported"
    return ""


def _node_of(volume: Object) -> str:
    terms = ((volume["spec"].get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or ()
    values = [v for term in terms for e in term.get("matchExpressions") or () for v in e.get("values") or ()]
    return str(values[0]) if values else ""


def _is_usable(node: Object) -> bool:
    ready = get_condition((node.get("status") or {}).get("conditions"), "Ready") or {}
    return ready.get("status") == "True" and not node["spec"].get("unschedulable")
