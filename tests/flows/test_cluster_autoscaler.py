"""The cluster autoscaler with simulated nodes: more for pods that fit nowhere, fewer when empty, and why not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from minikube_py.bootstrap.rbac_controller_roles import controller_identity
from minikube_py.client.protocol import PatchType
from minikube_py.cloud.local import local_provider
from minikube_py.cloud.protocol import NodeGroupLimits
from minikube_py.controllers.clusterautoscaler import ClusterAutoscaler
from minikube_py.controllers.context import ControllerContext, ControllerOptions
from minikube_py.kubelet.fake_node_group import GROUP_LABEL, FakeNodeGroup
from minikube_py.kubelet.fake_nodes import FakeNodes, FakeNodesOptions
from minikube_py.objects.errors import Object
from minikube_py.reconciling.controller import run_controller
from minikube_py.reconciling.informer import InformerSet
from minikube_py.resources.catalog import built_in_kinds
from minikube_py.resources.kind import GVR
from minikube_py.scheduler.growth import CachedGrowthPlanner
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.virtual_time import virtual_time

PODS, NODES = GVR("", "v1", "pods"), GVR("", "v1", "nodes")
DEPLOYMENTS, DAEMON_SETS = GVR("apps", "v1", "deployments"), GVR("apps", "v1", "daemonsets")
UNNEEDED_SECONDS = 600.0


class _Simulated(set[str]):
    """The names of the simulated nodes, which the stand-in nodes have to leave alone."""

    def __contains__(self, name: object) -> bool:
        return str(name).startswith("simulated-")


@asynccontextmanager
async def autoscaled(fewest: int, most: int) -> AsyncIterator[ControlPlane]:
    """One ordinary node and a group of simulated ones, of 32 cores each."""
    async with control_plane(nodes=1, without=("clusterautoscaler",)) as plane:
        plane.nodes.lost = _Simulated()
        own = InformerSet(plane.client)

        def node_client(name: str) -> Any:
            return plane.cluster.client(f"system:node:{name}", ("system:nodes",))

        def client_for(account: str) -> Any:
            return plane.cluster.client(*controller_identity(account))

        fakes = FakeNodes(FakeNodesOptions((), node_client, own))
        group = FakeNodeGroup(fakes, NodeGroupLimits(fewest, most))
        options = ControllerOptions(
            cloud=local_provider("", tuple, lambda: fakes.names, (group,)),
            growth=CachedGrowthPlanner(plane.informers),
            scale_down_unneeded_seconds=UNNEEDED_SECONDS,
        )
        context = ControllerContext(client_for, plane.informers, options, built_in_kinds())
        parts = (own.run(), fakes.run(), run_controller(ClusterAutoscaler(context)))
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            yield plane
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def deployment(replicas: int, cpu: str = "20", **pod: Any) -> Object:
    container = {"name": "c", "image": "web:1", "resources": {"requests": {"cpu": cpu}}}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container], **pod}}
    selector = {"matchLabels": {"app": "web"}}
    return {"metadata": {"name": "web"}, "spec": {"replicas": replicas, "selector": selector, "template": template}}


async def simulated(plane: ControlPlane) -> list[str]:
    return sorted(node["metadata"]["name"] for node in await plane.items(NODES, "", GROUP_LABEL))


async def running(plane: ControlPlane) -> int:
    return sum(1 for pod in await plane.pods("app=web") if pod["status"].get("phase") == "Running")


async def scale(plane: ControlPlane, replicas: int) -> None:
    patch = {"spec": {"replicas": replicas}}
    await plane.client.patch(DEPLOYMENTS, "web", patch, "default", patch_type=PatchType.MERGE)


@virtual_time
async def test_nodes_come_for_pods_that_fit_nowhere_and_go_when_they_are_empty() -> None:
    async with autoscaled(0, 5) as plane:
        await asyncio.sleep(60)
        assert await simulated(plane) == []
        await plane.create(DEPLOYMENTS, deployment(4))
        await asyncio.sleep(30)
        assert await running(plane) == 4
        first = await simulated(plane)
        assert len(first) == 3
        told = await plane.events("TriggeredScaleUp")
        assert told == ["pod triggered scale-up: [{simulated 0->3 (max: 5)}]"] * 3
        await asyncio.sleep(2 * UNNEEDED_SECONDS)
        assert await simulated(plane) == first
        await scale(plane, 0)
        await asyncio.sleep(UNNEEDED_SECONDS - 60)
        assert await simulated(plane) == first
        await asyncio.sleep(120)
        assert await simulated(plane) == []
        marked = "marked the node as toBeDeleted/unschedulable"
        events = await plane.events("ScaleDown")
        assert sorted(events) == sorted([marked, "node removed by cluster autoscaler"] * 3)
        await scale(plane, 2)
        await asyncio.sleep(30)
        assert await running(plane) == 2
        assert not set(await simulated(plane)) & set(first)


@virtual_time
async def test_the_limits_hold() -> None:
    async with autoscaled(1, 2) as plane:
        await asyncio.sleep(5)
        assert len(await simulated(plane)) == 1
        await plane.create(DEPLOYMENTS, deployment(5))
        await asyncio.sleep(60)
        assert len(await simulated(plane)) == 2
        assert await running(plane) == 3
        told = set(await plane.events("NotTriggerScaleUp"))
        assert told == {"pod didn't trigger scale-up: 1 max node group size reached"}
        await scale(plane, 0)
        await asyncio.sleep(3 * UNNEEDED_SECONDS)
        assert len(await simulated(plane)) == 1


@virtual_time
async def test_no_node_comes_for_a_pod_that_would_not_fit_it() -> None:
    async with autoscaled(0, 5) as plane:
        await plane.create(DEPLOYMENTS, deployment(3, cpu="64"))
        await asyncio.sleep(60)
        assert await simulated(plane) == []
        assert set(await plane.events("NotTriggerScaleUp")) == {"pod didn't trigger scale-up: 1 Insufficient cpu"}
        assert await plane.events("TriggeredScaleUp") == []


@virtual_time
async def test_a_label_or_affinity_that_only_a_new_node_meets_brings_one() -> None:
    async with autoscaled(0, 5) as plane:
        await plane.create(DEPLOYMENTS, deployment(1, cpu="1", nodeSelector={GROUP_LABEL: "simulated"}))
        await asyncio.sleep(30)
        assert await running(plane) == 1
        await plane.client.delete(DEPLOYMENTS, "web", "default")
        apart = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}
        affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}}
        await asyncio.sleep(30)
        await plane.create(DEPLOYMENTS, deployment(4, cpu="1", affinity=affinity))
        await asyncio.sleep(60)
        assert await running(plane) == 4
        assert len(await simulated(plane)) == 3


@virtual_time
async def test_what_daemon_pods_take_of_a_new_node_is_counted() -> None:
    async with autoscaled(0, 9) as plane:
        daemon = deployment(1, cpu="20")
        daemon = {"metadata": {"name": "agent"}, "spec": {k: daemon["spec"][k] for k in ("selector", "template")}}
        daemon["spec"]["selector"] = {"matchLabels": {"app": "agent"}}
        daemon["spec"]["template"]["metadata"]["labels"] = {"app": "agent"}
        await plane.create(DAEMON_SETS, daemon)
        await asyncio.sleep(5)
        await plane.create(DEPLOYMENTS, deployment(1, cpu="20"))
        await asyncio.sleep(120)
        assert await simulated(plane) == []
        await plane.client.delete(DEPLOYMENTS, "web", "default")
        await plane.create(DEPLOYMENTS, {**deployment(3, cpu="10"), "metadata": {"name": "small"}})
        await asyncio.sleep(60)
        assert await running(plane) == 3
        assert len(await simulated(plane)) == 2
        await plane.client.delete(DEPLOYMENTS, "small", "default")
        await asyncio.sleep(UNNEEDED_SECONDS + 120)
        assert await simulated(plane) == []


@virtual_time
async def test_a_node_that_is_to_be_kept_stays() -> None:
    async with autoscaled(0, 2) as plane:
        await plane.create(DEPLOYMENTS, deployment(2))
        await asyncio.sleep(30)
        (node,) = await simulated(plane)
        keep = {"metadata": {"annotations": {"cluster-autoscaler.kubernetes.io/scale-down-disabled": "true"}}}
        await plane.client.patch(NODES, node, keep, patch_type=PatchType.MERGE)
        await scale(plane, 0)
        await asyncio.sleep(2 * UNNEEDED_SECONDS)
        assert await simulated(plane) == [node]
        drop = {"metadata": {"annotations": {"cluster-autoscaler.kubernetes.io/scale-down-disabled": None}}}
        await plane.client.patch(NODES, node, drop, patch_type=PatchType.MERGE)
        await asyncio.sleep(UNNEEDED_SECONDS + 60)
        assert await simulated(plane) == []


@virtual_time
async def test_hundreds_of_pods_are_looked_at_together() -> None:
    async with autoscaled(0, 50) as plane:
        await plane.create(DEPLOYMENTS, deployment(300, cpu="4"))
        await asyncio.sleep(120)
        assert await running(plane) == 300
        # 8 a node: 300 pods take 38 nodes, one of which was there before.
        assert len(await simulated(plane)) == 37
