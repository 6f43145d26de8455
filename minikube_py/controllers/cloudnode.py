"""Initialises nodes that wait for their cloud: provider ID, instance type, zone and addresses, then the taint goes.

Source: k8s.io/cloud-provider controllers/node (a kubelet with an external cloud provider registers tainted).
"""

from collections.abc import Iterable, Sequence

from minikube_py.client.protocol import PatchType, WriteOptions
from minikube_py.controllers.context import NODES, ControllerContext
from minikube_py.controllers.nodes.taints import taints_of
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import key, name, uid
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import DELETED, InformerEvent
from minikube_py.reconciling.recorder import NORMAL, EventRecorder

UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"


def _waits(node: Object) -> bool:
    return any(taint["key"] == UNINITIALIZED for taint in taints_of(node))


class CloudNodeController:
    name = "cloud-node"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("node-controller")
        self._cloud = context.options.cloud
        self._nodes = context.informers.informer(NODES)
        self._recorder = EventRecorder(self._client, "cloud-node-controller")

    def sources(self) -> Sequence[Source]:
        if self._cloud is None or self._cloud.instances is None:
            return ()
        return (Source(self._nodes, self._waiting),)

    def _waiting(self, event: InformerEvent) -> Iterable[Key]:
        return (key(event.object),) if event.type != DELETED and _waits(event.object) else ()

    async def reconcile(self, key: Key) -> float | None:
        node = self._nodes.cache.get(*key)
        if node is None or not _waits(node) or self._cloud is None or self._cloud.instances is None:
            return None
        found = await self._cloud.instances.metadata(node)
        zone = await self._cloud.zones.zone_of(node) if self._cloud.zones is not None else None
        labels = {
            "node.kubernetes.io/instance-type": found.instance_type,
            "beta.kubernetes.io/instance-type": found.instance_type,
            "topology.kubernetes.io/zone": zone.zone if zone is not None else "",
            "topology.kubernetes.io/region": zone.region if zone is not None else "",
        }
        if found.addresses:
            addresses = [{"type": kind, "address": address} for kind, address in found.addresses]
            await self._client.patch(
                NODES, name(node), {"status": {"addresses": addresses}}, patch_type=PatchType.MERGE,
                options=WriteOptions(subresource="status"),
            )  # fmt: skip
            node = await self._client.get(NODES, name(node))
        kept = [taint for taint in taints_of(node) if taint["key"] != UNINITIALIZED]
        metadata = {"uid": uid(node), "resourceVersion": node["metadata"]["resourceVersion"]}
        metadata["labels"] = {label: value for label, value in labels.items() if value}
        spec: Object = {"taints": kept or None}
        if found.provider_id and not node["spec"].get("providerID"):
            spec["providerID"] = found.provider_id
        patch = {"metadata": metadata, "spec": spec}
        self._nodes.assume(await self._client.patch(NODES, name(node), patch, patch_type=PatchType.MERGE))
        self._recorder.event(node, NORMAL, "Synced", "Node synced successfully")
        return None
