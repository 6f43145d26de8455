"""Gives Services of type LoadBalancer an address each, out of a range that the nodes' proxies answer for.

Nothing is stored: who has which address is read from the Services' status, so a restart changes nothing.
"""

import ipaddress
from collections.abc import Callable, Iterable, Sequence

from minikube_py.cloud.protocol import CloudError
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import name, namespace, uid


def addresses_of(service: Object) -> list[str]:
    """The IP addresses in the Service's load balancer status."""
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return [one["ip"] for one in ingress if one.get("ip")]


class AddressLoadBalancers:
    """Implements LoadBalancers. `services` answers with all Services of the cluster as they are known now.

    The address is all that is needed: a node's proxy leads every address in a Service's status to its pods, with the
    traffic policies, source ranges and session affinity of the Service.
    """

    def __init__(self, cidr: str, services: Callable[[], Iterable[Object]]) -> None:
        self._range = ipaddress.ip_network(cidr)
        self._services = services
        self._given: dict[str, str] = {}

    async def get(self, service: Object) -> Object | None:
        for address in addresses_of(service):
            if ipaddress.ip_address(address) in self._range:
                return _status(address)
        return None

    async def ensure(self, service: Object, nodes: Sequence[Object]) -> Object:
        wanted = service["spec"].get("loadBalancerIP") or ""
        current = self._given.get(uid(service)) or next(iter(addresses_of(service)), "")
        taken = self._taken(service)
        if wanted:
            address = self._claim(wanted, taken)
        elif current and current not in taken and self._is_ours(current):
            address = current
        else:
            address = self._pick(taken)
        self._given[uid(service)] = address
        return _status(address)

    async def update(self, service: Object, nodes: Sequence[Object]) -> None:
        return None  # every node answers for every address

    async def delete(self, service: Object) -> None:
        self._given.pop(uid(service), None)

    def _taken(self, service: Object) -> dict[str, str]:
        """Address -> the other Service that has it."""
        others = [other for other in self._services() if uid(other) != uid(service)]
        known = {uid(other) for other in others}
        for gone in self._given.keys() - known - {uid(service)}:
            del self._given[gone]
        taken: dict[str, str] = {}
        for other in others:
            given = self._given.get(uid(other))
            for address in (*addresses_of(other), *((given,) if given else ())):
                taken[address] = f"{namespace(other)}/{name(other)}"
        return taken

    def _claim(self, wanted: str, taken: dict[str, str]) -> str:
        if not self._is_ours(wanted):
            raise CloudError(f"the requested address {wanted} is not in the load balancers' range {self._range}")
        if wanted in taken:
            raise CloudError(f"the requested address {wanted} is in use by Service {taken[wanted]}")
        return wanted

    def _pick(self, taken: dict[str, str]) -> str:
        for host in self._range.hosts():
            if str(host) not in taken:
                return str(host)
        raise CloudError(f"all addresses of the load balancers' range {self._range} are in use")

    def _is_ours(self, address: str) -> bool:
        try:
            return ipaddress.ip_address(address) in self._range
        except ValueError:
            return False


def _status(address: str) -> Object:
    return {"ingress": [{"ip": address, "ipMode": "VIP"}]}
