"""EndpointSlices and Endpoints follow the pods behind a Service."""

import asyncio
from typing import Any

from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy
from minikube_py.resources.kind import GVR
from tests.flows.test_deployments import DEPLOYMENTS, deployment, is_rolled_out
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.node_stub import NEVER_READY
from tests.support.virtual_time import virtual_time

SERVICES = GVR("", "v1", "services")
ENDPOINTS = GVR("", "v1", "endpoints")
SLICES = GVR("discovery.k8s.io", "v1", "endpointslices")


def service(**spec: Any) -> Object:
    return {
        "metadata": {"name": "web", "labels": {"tier": "front"}},
        "spec": {
            "selector": {"app": "web"},
            "clusterIP": "10.43.0.80",
            "clusterIPs": ["10.43.0.80"],
            "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}],
            **spec,
        },
    }


async def pod_ips(plane: ControlPlane) -> set[str]:
    return {pod["status"]["podIP"] for pod in await plane.pods("app=web")}


@virtual_time
async def test_slices_and_endpoints_hold_the_ready_pods() -> None:
    async with control_plane() as plane:
        await plane.create(SERVICES, service())
        await plane.create(DEPLOYMENTS, deployment(3))
        await plane.until(lambda: is_rolled_out(plane))
        await asyncio.sleep(2)
        (slice_,) = await plane.items(SLICES)
        assert slice_["metadata"]["labels"] == {
            "tier": "front",
            "kubernetes.io/service-name": "web",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        }
        assert slice_["metadata"]["ownerReferences"][0]["kind"] == "Service"
        assert slice_["addressType"] == "IPv4"
        assert slice_["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
        assert {e["addresses"][0] for e in slice_["endpoints"]} == await pod_ips(plane)
        assert all(
            e["conditions"] == {"ready": True, "serving": True, "terminating": False} for e in slice_["endpoints"]
        )
        endpoints = await plane.get(ENDPOINTS, "web")
        (subset,) = endpoints["subsets"]
        assert {a["ip"] for a in subset["addresses"]} == await pod_ips(plane)
        assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
        assert endpoints["metadata"]["labels"]["endpoints.kubernetes.io/managed-by"] == "endpoint-controller"


@virtual_time
async def test_pods_that_are_not_ready_are_told_apart() -> None:
    async with control_plane() as plane:
        await plane.create(SERVICES, service())
        made = deployment(2)
        made["spec"]["template"]["metadata"]["annotations"] = {NEVER_READY: "true"}
        await plane.create(DEPLOYMENTS, made)
        await asyncio.sleep(10)
        (slice_,) = await plane.items(SLICES)
        assert [e["conditions"]["ready"] for e in slice_["endpoints"]] == [False, False]
        (subset,) = (await plane.get(ENDPOINTS, "web"))["subsets"]
        assert len(subset["notReadyAddresses"]) == 2
        assert "addresses" not in subset


@virtual_time
async def test_a_service_without_pods_has_a_placeholder_and_loses_everything_when_deleted() -> None:
    async with control_plane() as plane:
        await plane.create(SERVICES, service())
        await asyncio.sleep(2)
        (slice_,) = await plane.items(SLICES)
        assert not slice_["endpoints"]
        assert not slice_.get("ports")
        assert not (await plane.get(ENDPOINTS, "web")).get("subsets")
        await plane.client.delete(SERVICES, "web", "default")
        await asyncio.sleep(5)
        assert await plane.items(SLICES) == []
        assert not await plane.exists(ENDPOINTS, "web")


@virtual_time
async def test_more_than_a_hundred_pods_take_several_slices() -> None:
    async with control_plane() as plane:
        await plane.create(SERVICES, service())
        await plane.create(DEPLOYMENTS, deployment(130))
        await plane.until(lambda: is_rolled_out(plane), 300)
        await asyncio.sleep(5)
        slices = await plane.items(SLICES)
        assert sum(len(s["endpoints"]) for s in slices) == 130
        assert max(len(s["endpoints"]) for s in slices) <= 100
        found = deep_copy(await plane.get(DEPLOYMENTS, "web"))
        found["spec"]["replicas"] = 3
        await plane.client.update(DEPLOYMENTS, found)
        await plane.until(lambda: is_rolled_out(plane))
        await asyncio.sleep(5)
        assert sum(len(s["endpoints"] or ()) for s in await plane.items(SLICES)) == 3


@virtual_time
async def test_hand_made_endpoints_are_mirrored() -> None:
    async with control_plane(nodes=0) as plane:
        made = service()
        del made["spec"]["selector"]
        await plane.create(SERVICES, made)
        subset = {"addresses": [{"ip": "192.0.2.7"}], "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]}
        await plane.create(ENDPOINTS, {"metadata": {"name": "web"}, "subsets": [subset]})
        await asyncio.sleep(2)
        (slice_,) = await plane.items(SLICES)
        assert slice_["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == (
            "endpointslicemirroring-controller.k8s.io"
        )
        assert slice_["metadata"]["ownerReferences"][0]["kind"] == "Endpoints"
        assert slice_["endpoints"][0]["addresses"] == ["192.0.2.7"]
        assert slice_["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
        await plane.client.delete(ENDPOINTS, "web", "default")
        await asyncio.sleep(2)
        assert await plane.items(SLICES) == []


@virtual_time
async def test_traffic_distribution_becomes_hints() -> None:
    async with control_plane(nodes=0) as plane:
        await plane.nodes.add_node("node-a", labels={"topology.kubernetes.io/zone": "a"})
        await plane.nodes.add_node("node-b")
        made = service()
        made["spec"]["trafficDistribution"] = "PreferSameZone"
        await plane.create(SERVICES, made)
        await plane.create(DEPLOYMENTS, deployment(4))
        await plane.until(lambda: is_rolled_out(plane))
        await asyncio.sleep(2)

        async def hints() -> dict[str, Any]:
            (slice_,) = await plane.items(SLICES)
            return {e["nodeName"]: e.get("hints") for e in slice_["endpoints"]}

        assert await hints() == {"node-a": {"forZones": [{"name": "a"}]}, "node-b": None}
        changed = deep_copy(await plane.get(SERVICES, "web"))
        changed["spec"]["trafficDistribution"] = "PreferSameNode"
        await plane.client.update(SERVICES, changed)
        await asyncio.sleep(2)
        assert await hints() == {
            "node-a": {"forZones": [{"name": "a"}], "forNodes": [{"name": "node-a"}]},
            "node-b": {"forNodes": [{"name": "node-b"}]},
        }
        changed = deep_copy(await plane.get(SERVICES, "web"))
        del changed["spec"]["trafficDistribution"]
        await plane.client.update(SERVICES, changed)
        await asyncio.sleep(2)
        assert await hints() == {"node-a": None, "node-b": None}
