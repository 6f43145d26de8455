"""metrics.k8s.io on simulated nodes: what pods and nodes use, as their annotations say it."""

import asyncio
from typing import Any

import pytest

from minikube_py.client.protocol import Selection
from minikube_py.objects.errors import Forbidden, MethodNotAllowed, NotFound, Object
from minikube_py.resources.kind import GVR
from tests.support.control_plane import PODS, ControlPlane, control_plane
from tests.support.fake_nodes import fake_nodes
from tests.support.virtual_time import virtual_time

POD_METRICS = GVR("metrics.k8s.io", "v1beta1", "pods")
NODE_METRICS = GVR("metrics.k8s.io", "v1beta1", "nodes")
NODES = GVR("", "v1", "nodes")
NAMESPACES = GVR("", "v1", "namespaces")
CPU, MEMORY = "fake.mkube.io/cpu", "fake.mkube.io/memory"


def pod(name: str, app: str = "a", **annotations: str) -> Object:
    keys = {"cpu": CPU, "memory": MEMORY, "side_cpu": CPU + ".side"}
    return {
        "metadata": {
            "name": name,
            "labels": {"app": app},
            "annotations": {keys[key]: value for key, value in annotations.items()},
        },
        "spec": {"containers": [{"name": "main", "image": "i:1"}, {"name": "side", "image": "i:1"}]},
    }


async def running(plane: ControlPlane, *names: str) -> None:
    async def are_running() -> bool:
        pods = {p["metadata"]["name"]: p for p in await plane.pods()}
        return all((pods[name].get("status") or {}).get("phase") == "Running" for name in names)

    await plane.until(are_running, 20)


def usage(metrics: Object) -> dict[str, tuple[str, str]]:
    return {c["name"]: (c["usage"]["cpu"], c["usage"]["memory"]) for c in metrics["containers"]}


@virtual_time
async def test_pods_and_nodes_use_what_annotations_say() -> None:
    async with control_plane(nodes=0) as plane, fake_nodes(plane):
        await plane.create(PODS, pod("one", cpu="250m", memory="64Mi", side_cpu="1"))
        await plane.create(PODS, pod("two", "b"))
        await running(plane, "one", "two")
        await asyncio.sleep(30)
        one = await plane.get(POD_METRICS, "one")
        assert usage(one) == {"main": ("250m", "64Mi"), "side": ("1", "64Mi")}
        assert (one["kind"], one["apiVersion"]) == ("PodMetrics", "metrics.k8s.io/v1beta1")
        assert one["window"] == "15s"
        assert one["metadata"]["labels"] == {"app": "a"}
        assert usage(await plane.get(POD_METRICS, "two")) == {"main": ("0", "0"), "side": ("0", "0")}
        nodes = {n["metadata"]["name"]: n["usage"] for n in await plane.items(NODE_METRICS, "")}
        assert sorted(u["cpu"] for u in nodes.values()) == ["0", "1250m"]
        assert sorted(nodes) == ["fake-0", "fake-1"]
        # What a pod uses may be changed while it runs.
        await plane.client.patch(PODS, "one", {"metadata": {"annotations": {CPU: "10m"}}}, "default")
        await asyncio.sleep(1)
        assert usage(await plane.get(POD_METRICS, "one"))["main"] == ("10m", "64Mi")


@virtual_time
async def test_selectors_and_what_is_left_out() -> None:
    async with control_plane(nodes=0) as plane, fake_nodes(plane):
        await plane.create(PODS, pod("one", "a"))
        await plane.create(PODS, pod("two", "b"))
        waiting = pod("waiting", "a")
        waiting["spec"]["nodeSelector"] = {"no": "such"}
        await plane.create(PODS, waiting)
        await running(plane, "one", "two")
        await asyncio.sleep(1)

        async def listed(**selection: str) -> list[str]:
            found = await plane.client.list(POD_METRICS, Selection(**selection))
            return sorted(one["metadata"]["name"] for one in found.items)

        assert await listed() == ["one", "two"]
        assert await listed(namespace="default", label_selector="app=a") == ["one"]
        assert await listed(field_selector="metadata.name=two") == ["two"]
        assert await listed(namespace="kube-system") == []
        for missing in ("waiting", "no-such"):
            with pytest.raises(NotFound, match=r"pods\.metrics\.k8s\.io"):
                await plane.get(POD_METRICS, missing)
        with pytest.raises(NotFound):
            await plane.client.get(NODE_METRICS, "no-such")
        with pytest.raises(MethodNotAllowed):
            await plane.client.delete(POD_METRICS, "one", "default")


@virtual_time
async def test_a_node_that_does_not_answer_holds_nobody_back() -> None:
    class Silent:
        async def stats(self) -> dict[str, Any]:
            await asyncio.Event().wait()
            return {}

    async with control_plane(nodes=1) as plane, fake_nodes(plane, 1):
        await plane.until(lambda: plane.exists(NODES, "fake-0", ""))
        with plane.connected.connected("node-0", Silent()):  # type: ignore[arg-type]
            found = await plane.items(NODE_METRICS, "")
        assert [one["metadata"]["name"] for one in found] == ["fake-0"]


NONSENSE: tuple[Any, ...] = (
    {},
    {"pods": 3, "node": []},
    {"pods": [{"podRef": {}}], "node": {"cpu": {"usageNanoCores": "x"}, "memory": {}}},
    {"pods": [None, 1], "node": {"cpu": {"usageNanoCores": -5, "time": "now"}, "memory": {"workingSetBytes": 1}}},
)


@virtual_time
async def test_what_a_node_says_is_not_believed_blindly() -> None:
    class Liar:
        def __init__(self) -> None:
            self.said: Any = {}

        async def stats(self) -> dict[str, Any]:
            return self.said  # type: ignore[no-any-return]

    async with control_plane(nodes=0) as plane, fake_nodes(plane, 2):
        for name in ("one", "two"):
            await plane.create(PODS, pod(name, cpu="100m"))
        await running(plane, "one", "two")
        await asyncio.sleep(5)
        one, two = [await plane.get(PODS, name) for name in ("one", "two")]
        assert one["spec"]["nodeName"] != two["spec"]["nodeName"]
        liar = Liar()
        with plane.connected.connected(one["spec"]["nodeName"], liar):  # type: ignore[arg-type]
            for said in NONSENSE:
                liar.said = said
                assert [m["metadata"]["name"] for m in await plane.items(POD_METRICS)] == ["two"]
                assert len(await plane.items(NODE_METRICS, "")) == 1
            # The figures of another node's pod are that node's to tell.
            figures = {"time": "2026-01-01T00:00:00Z", "usageNanoCores": 9 * 10**9}
            container = {"name": "main", "cpu": figures, "memory": {"workingSetBytes": 1}}
            ref = {"uid": two["metadata"]["uid"]}
            liar.said = {"pods": [{"podRef": ref, "containers": [container, {**container, "name": "side"}]}]}
            (metrics,) = await plane.items(POD_METRICS)
            assert usage(metrics)["main"] == ("100m", "0")


@virtual_time
async def test_a_namespace_with_metrics_goes_away() -> None:
    async with control_plane(nodes=0) as plane, fake_nodes(plane):
        await plane.client.create(NAMESPACES, {"metadata": {"name": "short"}})
        await plane.create(PODS, pod("one"), "short")
        await asyncio.sleep(5)
        assert len(await plane.items(POD_METRICS, "short")) == 1
        await plane.client.delete(NAMESPACES, "short")

        async def is_gone() -> bool:
            return not await plane.exists(NAMESPACES, "short", "")

        await plane.until(is_gone, 60)


@virtual_time
async def test_metrics_need_permission() -> None:
    async with control_plane(nodes=0) as plane:
        stranger = plane.cluster.client("stranger", ("system:authenticated",))
        for gvr in (POD_METRICS, NODE_METRICS):
            with pytest.raises(Forbidden):
                await stranger.list(gvr)
        plane.denials.clear()
