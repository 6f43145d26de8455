"""Says of ServiceCIDRs that they are ready, and holds those back that addresses in use still belong to.

Source: pkg/controller/servicecidrs (KEP-1880).
"""

from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network

from minikube_py.controllers.context import IP_ADDRESSES, SERVICE_CIDRS, ControllerContext
from minikube_py.controllers.workloads.writing import write_object, write_status
from minikube_py.objects.conditions import set_condition
from minikube_py.objects.errors import NotFound, Object
from minikube_py.objects.meta import deep_copy, finalizers, is_deleting, key, name
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import DELETED, InformerEvent

FINALIZER = "networking.k8s.io/service-cidr-finalizer"
_STILL_USED = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"


def holds(service_range: Object, address: str) -> bool:
    parsed = ip_address(address)
    return any(parsed in ip_network(cidr) for cidr in service_range["spec"].get("cidrs") or ())


class ServiceCidrController:
    name = "servicecidr"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("service-cidrs-controller")
        self._ranges = context.informers.informer(SERVICE_CIDRS)
        self._addresses = context.informers.informer(IP_ADDRESSES)

    def sources(self) -> Sequence[Source]:
        return Source(self._ranges, self._range_changed), Source(self._addresses, self._address_changed)

    def _range_changed(self, event: InformerEvent) -> Iterable[Key]:
        yield key(event.object)
        # A new range may hold the addresses that keep another one.
        yield from (key(one) for one in self._ranges.cache if is_deleting(one))

    def _address_changed(self, event: InformerEvent) -> Iterable[Key]:
        if event.type == DELETED:
            yield from (key(one) for one in self._ranges.cache if is_deleting(one) and holds(one, name(event.object)))

    async def reconcile(self, key: Key) -> float | None:
        found = self._ranges.cache.get(*key)
        if found is None:
            return None
        if not is_deleting(found):
            if FINALIZER not in finalizers(found):
                changed = deep_copy(found)
                changed["metadata"].setdefault("finalizers", []).append(FINALIZER)
                found = await write_object(self._client, self._ranges, changed)
            await self._set_ready(found, "True", "", "Kubernetes Service CIDR is ready")
            return None
        if FINALIZER not in finalizers(found):
            return None
        if self._is_needed(found):
            await self._set_ready(found, "False", "Terminating", _STILL_USED)
            return None
        changed = deep_copy(found)
        changed["metadata"]["finalizers"].remove(FINALIZER)
        try:
            await self._client.update(SERVICE_CIDRS, changed)
        except NotFound:
            return None
        return None

    def _is_needed(self, found: Object) -> bool:
        """Whether an address of the range is in use and in no other range."""
        others = [one for one in self._ranges.cache if name(one) != name(found) and not is_deleting(one)]
        mine = (name(address) for address in self._addresses.cache if holds(found, name(address)))
        return any(not any(holds(one, address) for one in others) for address in mine)

    async def _set_ready(self, found: Object, status: str, reason: str, message: str) -> None:
        conditions = deep_copy((found.get("status") or {}).get("conditions") or [])
        current = next((c for c in conditions if c["type"] == "Ready"), None)
        if current is not None and (current["status"], current.get("reason")) == (status, reason):
            return
        set_condition(conditions, {"type": "Ready", "status": status, "reason": reason, "message": message})
        await write_status(self._client, self._ranges, found, {**(found.get("status") or {}), "conditions": conditions})
