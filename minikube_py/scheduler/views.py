"""Answers a snapshot's questions about volumes, Services and controllers from informer caches."""

from collections.abc import Iterable, Mapping

from minikube_py.objects.errors import Object
from minikube_py.objects.meta import controller_of
from minikube_py.reconciling.informer import Informer, InformerSet
from minikube_py.resources.kind import GVR
from minikube_py.scheduler.pod_info import PodInfo

CLAIMS = GVR("", "v1", "persistentvolumeclaims")
VOLUMES = GVR("", "v1", "persistentvolumes")
STORAGE_CLASSES = GVR("storage.k8s.io", "v1", "storageclasses")
SERVICES = GVR("", "v1", "services")
_OWNER_KINDS = {
    ("ReplicaSet", "apps"): GVR("apps", "v1", "replicasets"),
    ("StatefulSet", "apps"): GVR("apps", "v1", "statefulsets"),
    ("ReplicationController", ""): GVR("", "v1", "replicationcontrollers"),
}


class CachedStorage:
    def __init__(self, informers: InformerSet) -> None:
        self.claims = informers.informer(CLAIMS)
        self.all_volumes = informers.informer(VOLUMES)
        self.classes = informers.informer(STORAGE_CLASSES)

    def claim(self, namespace: str, name: str) -> Object | None:
        return self.claims.cache.get(namespace, name)

    def volume(self, name: str) -> Object | None:
        return self.all_volumes.cache.get("", name)

    def storage_class(self, name: str) -> Object | None:
        return self.classes.cache.get("", name)

    def volumes(self) -> Iterable[Object]:
        return self.all_volumes.cache


class CachedOwners:
    """Source: pkg/scheduler/framework/plugins/helper DefaultSelector."""

    def __init__(self, informers: InformerSet) -> None:
        self.services = informers.informer(SERVICES)
        self.owners: dict[tuple[str, str], Informer] = {
            kind: informers.informer(gvr) for kind, gvr in _OWNER_KINDS.items()
        }

    def selector_of(self, pod: PodInfo) -> Mapping[str, str] | None:
        """The labels that the pod's Services and its controller select by, merged; None for none."""
        found: dict[str, str] = {}
        for service in self.services.cache.list(pod.namespace):
            selector = service["spec"].get("selector")
            if selector and selector.items() <= pod.labels.items():
                found.update(selector)
        reference = controller_of(pod.obj)
        if reference is not None:
            kind = reference["kind"], reference["apiVersion"].rpartition("/")[0]
            informer = self.owners.get(kind)
            owner = informer.cache.get(pod.namespace, reference["name"]) if informer is not None else None
            if owner is not None:
                selector = owner["spec"].get("selector") or {}
                found.update(selector if kind[1] == "" else selector.get("matchLabels") or {})
        return found or None
