"""Gives every node its own range of pod addresses out of the cluster's range.

Source: pkg/controller/nodeipam/ipam/range_allocator.go.
"""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from minikube_py.client.protocol import PatchType
from minikube_py.controllers.context import NODES, ControllerContext
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import is_deleting, name, uid
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import DELETED, InformerEvent
from minikube_py.reconciling.recorder import NORMAL, EventRecorder


class NodeIpamController:
    """Ranges of nodes that exist are taken from their spec, so nothing has to be remembered."""

    name = "nodeipam"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("node-controller")
        self._nodes = context.informers.informer(NODES)
        self._recorder = EventRecorder(self._client, "cidrAllocator")
        self._range: IPv4Network | IPv6Network = ip_network(context.options.cluster_cidr)
        self._mask = context.options.node_cidr_mask_size
        self._taken: dict[str, int] = {}

    def sources(self) -> Sequence[Source]:
        return (Source(self._nodes, self._note),)

    def _note(self, event: InformerEvent) -> Sequence[Key]:
        number = self._number(event.object)
        if event.type == DELETED:
            self._taken.pop(name(event.object), None)
            return [Key("", name(node)) for node in self._nodes.cache if not node["spec"].get("podCIDR")]
        if number is not None:
            self._taken[name(event.object)] = number
            return ()
        return (Key("", name(event.object)),)

    def _number(self, node: Object) -> int | None:
        cidr = (node.get("spec") or {}).get("podCIDR")
        if not cidr:
            return None
        offset = int(ip_network(cidr, strict=False).network_address) - int(self._range.network_address)
        return offset >> (self._range.max_prefixlen - self._mask)

    async def reconcile(self, key: Key) -> float | None:
        node = self._nodes.cache.get(*key)
        if node is None or is_deleting(node) or (node.get("spec") or {}).get("podCIDR"):
            return None
        number = self._taken.get(key.name)
        if number is None:
            number = self._free_number()
            if number is None:
                self._recorder.event(
                    node, NORMAL, "CIDRNotAvailable", f"Node {key.name} status is now: CIDRNotAvailable"
                )
                return None
            self._taken[key.name] = number
        base = int(self._range.network_address) + (number << (self._range.max_prefixlen - self._mask))
        cidr = str(ip_network((base, self._mask)))
        patch = {"metadata": {"uid": uid(node)}, "spec": {"podCIDR": cidr, "podCIDRs": [cidr]}}
        self._nodes.assume(await self._client.patch(NODES, key.name, patch, patch_type=PatchType.STRATEGIC))
        return None

    def _free_number(self) -> int | None:
        taken = set(self._taken.values())
        count = 1 << (self._mask - self._range.prefixlen)
        return next((number for number in range(count) if number not in taken), None)
