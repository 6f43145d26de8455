"""Nodes and their cloud: initialised once, deleted when their machine is gone, tainted while it is shut down."""

import asyncio

from minikube_py.cloud.local import local_provider
from minikube_py.cloud.protocol import CloudProvider, InstanceMetadata, Zone
from minikube_py.controllers.context import ControllerOptions
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import name
from minikube_py.resources.kind import GVR
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.virtual_time import virtual_time

NODES = GVR("", "v1", "nodes")
UNINITIALIZED = {"key": "node.cloudprovider.kubernetes.io/uninitialized", "value": "true", "effect": "NoSchedule"}
SHUT_DOWN = "node.cloudprovider.kubernetes.io/shutdown"


class Machines:
    """A cloud whose machines a test can lose (gone) and switch off (off)."""

    def __init__(self) -> None:
        self.gone: set[str] = set()
        self.off: set[str] = set()

    async def exists(self, node: Object) -> bool:
        return name(node) not in self.gone

    async def is_shut_down(self, node: Object) -> bool:
        return name(node) in self.off

    async def metadata(self, node: Object) -> InstanceMetadata:
        return InstanceMetadata(f"test://{name(node)}", "small", (("InternalIP", "192.0.2.9"), ("Hostname", "m")))

    async def zone_of(self, node: Object) -> Zone:
        return Zone("zone-a", "region-1")


def options(machines: Machines) -> ControllerOptions:
    return ControllerOptions(root_ca_pem="-----CA-----", cloud=CloudProvider("test", None, machines, machines))


async def taints(plane: ControlPlane, node: str) -> list[str]:
    return [taint["key"] for taint in (await plane.get(NODES, node, ""))["spec"].get("taints") or ()]


@virtual_time
async def test_a_node_that_waits_for_its_cloud_is_initialised() -> None:
    async with control_plane(nodes=0, options=options(Machines())) as plane:
        await plane.nodes.add_node("new", spec={"taints": [UNINITIALIZED]})
        await asyncio.sleep(2)
        node = await plane.get(NODES, "new", "")
        assert node["spec"]["providerID"] == "test://new"
        assert node["metadata"]["labels"]["node.kubernetes.io/instance-type"] == "small"
        assert node["metadata"]["labels"]["topology.kubernetes.io/zone"] == "zone-a"
        assert node["metadata"]["labels"]["topology.kubernetes.io/region"] == "region-1"
        assert {"type": "InternalIP", "address": "192.0.2.9"} in node["status"]["addresses"]
        assert await taints(plane, "new") == []


@virtual_time
async def test_a_lost_node_goes_only_when_its_machine_is_gone() -> None:
    machines = Machines()
    async with control_plane(nodes=3, options=options(machines)) as plane:
        machines.gone.update(("node-0", "node-2"))
        machines.off.add("node-1")
        plane.nodes.lost.update(("node-0", "node-1"))
        await asyncio.sleep(120)
        assert not await plane.exists(NODES, "node-0", "")
        assert SHUT_DOWN in await taints(plane, "node-1")
        # The cloud is not asked about nodes that report.
        assert await plane.exists(NODES, "node-2", "")
        text = "Deleting node node-0 because it does not exist in the cloud provider"
        assert await plane.events("DeletingNode") == [text]
        plane.nodes.lost.clear()
        machines.off.clear()
        await asyncio.sleep(60)
        assert await taints(plane, "node-1") == []


@virtual_time
async def test_simulated_nodes_that_are_not_started_again_are_cleared_away() -> None:
    cloud = local_provider("", tuple, lambda: ("fake-0",))
    async with control_plane(nodes=1, options=ControllerOptions(root_ca_pem="-----CA-----", cloud=cloud)) as plane:
        for node in ("fake-0", "fake-1"):
            await plane.nodes.add_node(node, labels={"mkube.io/simulated": "true"})
        plane.nodes.lost.update(("fake-0", "fake-1", "node-0"))
        await asyncio.sleep(120)
        assert sorted(name(node) for node in await plane.items(NODES, "")) == ["fake-0", "node-0"]
