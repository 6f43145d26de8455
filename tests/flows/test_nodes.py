"""Nodes that fall silent, their taints and pods; address ranges; and that a sleeping laptop evicts nobody."""

import asyncio
import functools

from minikube_py import clock
from minikube_py.client.protocol import PatchType
from minikube_py.objects.conditions import get_condition
from minikube_py.resources.kind import GVR
from tests.flows.test_deployments import DEPLOYMENTS, deployment, is_rolled_out
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.virtual_time import VirtualTimeLoop, running_loop, virtual_time

NODES = GVR("", "v1", "nodes")
_TOLERATIONS = [
    {"key": f"node.kubernetes.io/{name}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for name in ("not-ready", "unreachable")
]


async def start(plane: ControlPlane, replicas: int = 3) -> None:
    made = deployment(replicas)
    made["spec"]["template"]["spec"]["tolerations"] = _TOLERATIONS
    await plane.create(DEPLOYMENTS, made)
    await plane.until(lambda: is_rolled_out(plane))


async def ready(plane: ControlPlane, node: str) -> str:
    found = await plane.get(NODES, node, "")
    condition = get_condition(found["status"]["conditions"], "Ready")
    assert condition is not None
    return str(condition["status"])


async def on_node(plane: ControlPlane, node: str) -> list[str]:
    return [
        p["metadata"]["name"]
        for p in await plane.pods("app=web")
        if p["spec"].get("nodeName") == node and not p["metadata"].get("deletionTimestamp")
    ]


@virtual_time
async def test_every_node_gets_its_own_range() -> None:
    async with control_plane(nodes=3) as plane:
        await asyncio.sleep(1)
        ranges = {n["spec"]["podCIDR"] for n in await plane.items(NODES, "")}
        assert ranges == {"10.42.0.0/24", "10.42.1.0/24", "10.42.2.0/24"}


@virtual_time
async def test_pods_of_a_lost_node_are_evicted_after_their_toleration() -> None:
    async with control_plane(nodes=3) as plane:
        await start(plane)
        (victim,) = await on_node(plane, "node-1")
        plane.nodes.lost.add("node-1")
        await asyncio.sleep(70)
        assert await ready(plane, "node-1") == "Unknown"
        node = await plane.get(NODES, "node-1", "")
        taints = {(t["key"], t["effect"]) for t in node["spec"]["taints"]}
        assert taints == {
            ("node.kubernetes.io/unreachable", "NoSchedule"),
            ("node.kubernetes.io/unreachable", "NoExecute"),
        }
        assert await on_node(plane, "node-1") == [victim]
        await asyncio.sleep(330)
        assert await on_node(plane, "node-1") == []
        gone = await plane.get(GVR("", "v1", "pods"), victim)
        condition = get_condition(gone["status"]["conditions"], "DisruptionTarget")
        assert condition is not None
        assert condition["reason"] == "DeletionByTaintManager"
        await plane.until(lambda: is_rolled_out(plane))
        assert {p["spec"]["nodeName"] for p in await plane.pods("app=web") if p["metadata"]["name"] != victim} == {
            "node-0",
            "node-2",
        }


@virtual_time
async def test_a_node_that_comes_back_keeps_its_pods() -> None:
    async with control_plane(nodes=3) as plane:
        await start(plane)
        before = await on_node(plane, "node-1")
        plane.nodes.lost.add("node-1")
        await asyncio.sleep(200)
        plane.nodes.lost.clear()
        await asyncio.sleep(400)
        assert await ready(plane, "node-1") == "True"
        assert not (await plane.get(NODES, "node-1", ""))["spec"].get("taints")
        assert await on_node(plane, "node-1") == before


@virtual_time
async def test_when_all_nodes_are_lost_nobody_is_evicted() -> None:
    async with control_plane(nodes=2) as plane:
        await start(plane, 2)
        before = {p["metadata"]["name"] for p in await plane.pods("app=web")}
        plane.nodes.lost.update(("node-0", "node-1"))
        await asyncio.sleep(3600)
        assert await ready(plane, "node-0") == "Unknown"
        pods = await plane.pods("app=web")
        assert {p["metadata"]["name"] for p in pods} == before
        assert not any(p["metadata"].get("deletionTimestamp") for p in pods)


def _ahead(loop: VirtualTimeLoop, seconds: float) -> float:
    return loop.wall_clock() + seconds


@virtual_time
async def test_a_laptop_that_slept_evicts_nobody() -> None:
    async with control_plane(nodes=3) as plane:
        await start(plane)
        before = {p["metadata"]["name"] for p in await plane.pods("app=web")}
        loop, ahead = running_loop(), 0
        for _ in range(3):
            # The wall clock moves eight hours on while nothing runs, just before the next sign of life is due.
            ahead += 8 * 3600
            clock.set_source(functools.partial(_ahead, loop, ahead))
            await asyncio.sleep(30)
        for node in ("node-0", "node-1", "node-2"):
            assert await ready(plane, node) == "True"
        # And a process that was stopped: the loop's own clock jumps too.
        loop.advance(7200)
        await asyncio.sleep(120)
        assert {p["metadata"]["name"] for p in await plane.pods("app=web")} == before
        assert await plane.events("TaintManagerEviction") == []
        assert await plane.events("NodeNotReady") == []


@virtual_time
async def test_pods_of_a_node_that_is_out_of_service_make_room_at_once() -> None:
    async with control_plane(nodes=2) as plane:
        template = deployment(1)["spec"]["template"]
        spec = {"replicas": 2, "serviceName": "web", "selector": {"matchLabels": {"app": "web"}}, "template": template}
        await plane.create(GVR("apps", "v1", "statefulsets"), {"metadata": {"name": "web"}, "spec": spec})
        await asyncio.sleep(10)
        (victim,) = await on_node(plane, "node-1")
        before = (await plane.get(GVR("", "v1", "pods"), victim))["metadata"]["uid"]
        plane.nodes.lost.add("node-1")
        await asyncio.sleep(70)
        taint = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
        taints = [*(await plane.get(NODES, "node-1", ""))["spec"]["taints"], taint]
        await plane.client.patch(NODES, "node-1", {"spec": {"taints": taints}}, patch_type=PatchType.MERGE)
        await asyncio.sleep(20)
        after = await plane.get(GVR("", "v1", "pods"), victim)
        assert after["metadata"]["uid"] != before
        assert after["spec"]["nodeName"] == "node-0"
