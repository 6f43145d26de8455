"""Keeps an IPAddress object for every address that a Service has, as the API server itself (KEP-1880)."""

from collections.abc import Iterable, Sequence
from ipaddress import ip_address

from minikube_py.client.protocol import Client, DeleteOptions
from minikube_py.objects.errors import AlreadyExists, NotFound, Object
from minikube_py.objects.meta import labels, name, namespace, uid
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import InformerEvent, InformerSet
from minikube_py.resources.kind import GVR

SERVICES = GVR("", "v1", "services")
IP_ADDRESSES = GVR("networking.k8s.io", "v1", "ipaddresses")
FAMILY_LABEL, MANAGED_BY, MANAGER = (
    "ipaddress.kubernetes.io/ip-family",
    "ipaddress.kubernetes.io/managed-by",
    "ipallocator.k8s.io",
)
_BY_ADDRESS = "address"


def addresses_of(service: Object) -> Sequence[str]:
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        return ()
    return [ip for ip in spec.get("clusterIPs") or [spec.get("clusterIP")] if ip and ip != "None"]


class ServiceAddresses:
    """A Controller whose keys are addresses. Objects that others have made are left alone."""

    name = "service addresses"

    def __init__(self, client: Client, informers: InformerSet) -> None:
        self._client = client
        self._services = informers.informer(SERVICES, indexers={_BY_ADDRESS: addresses_of})
        self._addresses = informers.informer(IP_ADDRESSES)

    def sources(self) -> Sequence[Source]:
        return Source(self._services, self._service_changed), Source(self._addresses, self._address_changed)

    def _service_changed(self, event: InformerEvent) -> Iterable[Key]:
        before = set(addresses_of(event.previous)) if event.previous is not None and event.type != "DELETED" else set()
        for address in before ^ set(addresses_of(event.object)):
            yield Key("", address)

    def _address_changed(self, event: InformerEvent) -> Iterable[Key]:
        if labels(event.object).get(MANAGED_BY) == MANAGER:
            yield Key("", name(event.object))

    async def reconcile(self, key: Key) -> float | None:
        owner = next(iter(self._services.cache.by_index(_BY_ADDRESS, key.name)), None)
        existing = self._addresses.cache.get("", key.name)
        if existing is not None and labels(existing).get(MANAGED_BY) != MANAGER:
            return None
        if existing is not None and (owner is None or existing["spec"]["parentRef"] != _parent(owner)):
            try:
                await self._client.delete(IP_ADDRESSES, key.name, options=DeleteOptions(uid=uid(existing)))
            except NotFound:
                return None
            return None  # what has to be made anew is, once the watch says that this one is gone
        if existing is None and owner is not None:
            try:
                self._addresses.assume(await self._client.create(IP_ADDRESSES, _address(key.name, owner)))
            except AlreadyExists:
                return None
        return None


def _parent(service: Object) -> Object:
    return {"resource": "services", "namespace": namespace(service), "name": name(service)}


def _address(address: str, service: Object) -> Object:
    family = f"IPv{ip_address(address).version}"
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": {"name": address, "labels": {FAMILY_LABEL: family, MANAGED_BY: MANAGER}},
        "spec": {"parentRef": _parent(service)},
    }
