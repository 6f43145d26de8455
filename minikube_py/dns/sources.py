"""Looks up what DNS answers are made from in shared informer caches."""

from collections.abc import Iterable

from minikube_py.dns.records import cluster_ips
from minikube_py.objects.errors import Object
from minikube_py.reconciling.informer import InformerSet
from minikube_py.resources.kind import GVR

SERVICES = GVR("", "v1", "services")
NAMESPACES = GVR("", "v1", "namespaces")
ENDPOINT_SLICES = GVR("discovery.k8s.io", "v1", "endpointslices")
SERVICE_NAME_LABEL = "kubernetes.io/service-name"

_BY_SERVICE, _BY_ADDRESS, _BY_CLUSTER_IP = "dns-service", "dns-address", "dns-cluster-ip"


def _owner_of(piece: Object) -> Iterable[str]:
    metadata = piece["metadata"]
    owner = (metadata.get("labels") or {}).get(SERVICE_NAME_LABEL)
    return [f"{metadata['namespace']}/{owner}"] if owner else []


def _addresses_of(piece: Object) -> Iterable[str]:
    return {ip for endpoint in piece.get("endpoints") or () for ip in endpoint.get("addresses") or ()}


class InformerSources:
    """Implements records.Sources; the informers are shared with the node's proxy."""

    def __init__(self, informers: InformerSet) -> None:
        self._services = informers.informer(SERVICES, indexers={_BY_CLUSTER_IP: cluster_ips})
        self._slices = informers.informer(
            ENDPOINT_SLICES, indexers={_BY_SERVICE: _owner_of, _BY_ADDRESS: _addresses_of}
        )
        self._namespaces = informers.informer(NAMESPACES)

    def is_ready(self) -> bool:
        return self._services.has_synced and self._slices.has_synced and self._namespaces.has_synced

    def service(self, namespace: str, name: str) -> Object | None:
        return self._services.cache.get(namespace, name)

    def slices(self, namespace: str, service: str) -> list[Object]:
        return self._slices.cache.by_index(_BY_SERVICE, f"{namespace}/{service}")

    def has_namespace(self, name: str) -> bool:
        return self._namespaces.cache.get("", name) is not None

    def services_with_ip(self, ip: str) -> list[Object]:
        return self._services.cache.by_index(_BY_CLUSTER_IP, ip)

    def slices_with_ip(self, ip: str) -> list[Object]:
        return self._slices.cache.by_index(_BY_ADDRESS, ip)
