"""Services of type LoadBalancer: an address at once, kept over restarts, given back; classes of others left alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from minikube_py.bootstrap.rbac_controller_roles import controller_identity
from minikube_py.client.protocol import PatchType, WriteOptions
from minikube_py.cloud.local import local_provider
from minikube_py.controllers.context import ControllerOptions
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy
from minikube_py.resources.kind import GVR
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.virtual_time import virtual_time

SERVICES = GVR("", "v1", "services")
NODES = GVR("", "v1", "nodes")
FINALIZER = "service.kubernetes.io/load-balancer-cleanup"


def service(name: str = "web", **spec: Any) -> Object:
    return {
        "metadata": {"name": name},
        "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 80}], **spec},
    }


@asynccontextmanager
async def with_cloud(cidr: str = "10.44.0.0/24") -> AsyncIterator[ControlPlane]:
    """A control plane with the local provider, which reads the Services from the controllers' own cache."""
    caches: list[Any] = []
    cloud = local_provider(cidr, lambda: caches[0].informer(SERVICES).cache)
    options = ControllerOptions(root_ca_pem="-----CA-----", cloud=cloud)
    async with control_plane(options=options, informers=caches.append) as plane:
        yield plane


async def addresses(plane: ControlPlane, name: str = "web") -> list[str]:
    status = (await plane.get(SERVICES, name)).get("status") or {}
    return [one["ip"] for one in (status.get("loadBalancer") or {}).get("ingress") or ()]


@virtual_time
async def test_a_service_gets_an_address_and_gives_it_back() -> None:
    async with with_cloud() as plane:
        await plane.create(SERVICES, service())
        await asyncio.sleep(1)
        made = await plane.get(SERVICES, "web")
        assert made["status"]["loadBalancer"] == {"ingress": [{"ip": "10.44.0.1", "ipMode": "VIP"}]}
        assert made["metadata"]["finalizers"] == [FINALIZER]
        assert made["spec"]["ports"][0]["nodePort"]
        assert await plane.events("EnsuringLoadBalancer") == ["Ensuring load balancer"]
        assert await plane.events("EnsuredLoadBalancer") == ["Ensured load balancer"]
        await plane.create(SERVICES, service("other", allocateLoadBalancerNodePorts=False))
        await asyncio.sleep(1)
        assert await addresses(plane, "other") == ["10.44.0.2"]
        assert "nodePort" not in (await plane.get(SERVICES, "other"))["spec"]["ports"][0]
        await plane.client.delete(SERVICES, "web", "default")
        await asyncio.sleep(1)
        assert not await plane.exists(SERVICES, "web")
        assert await plane.events("DeletedLoadBalancer") == ["Deleted load balancer"]
        await plane.create(SERVICES, service("third"))
        await asyncio.sleep(1)
        assert await addresses(plane, "third") == ["10.44.0.1"]


@virtual_time
async def test_another_type_loses_address_and_finalizer() -> None:
    async with with_cloud() as plane:
        await plane.create(SERVICES, service())
        await asyncio.sleep(1)
        changed = deep_copy(await plane.get(SERVICES, "web"))
        changed["spec"]["type"] = "ClusterIP"
        await plane.client.update(SERVICES, changed)
        await asyncio.sleep(1)
        found = await plane.get(SERVICES, "web")
        assert not found["status"]["loadBalancer"]
        assert not found["metadata"].get("finalizers")
        assert "nodePort" not in found["spec"]["ports"][0]


@virtual_time
async def test_a_class_is_somebody_elses_business() -> None:
    async with with_cloud() as plane:
        await plane.create(SERVICES, service(loadBalancerClass="example.com/internal-vip"))
        status = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}}
        options = WriteOptions(subresource="status")
        await plane.client.patch(SERVICES, "web", status, "default", patch_type=PatchType.MERGE, options=options)
        await asyncio.sleep(5)
        found = await plane.get(SERVICES, "web")
        assert await addresses(plane) == ["203.0.113.1"]
        assert not found["metadata"].get("finalizers")
        await plane.client.delete(SERVICES, "web", "default")
        assert not await plane.exists(SERVICES, "web")


@virtual_time
async def test_a_requested_address_is_given_or_refused_with_the_reason() -> None:
    async with with_cloud() as plane:
        await plane.create(SERVICES, service(loadBalancerIP="10.44.0.9"))
        await plane.create(SERVICES, service("late", loadBalancerIP="10.44.0.9"))
        await plane.create(SERVICES, service("far", loadBalancerIP="192.0.2.1"))
        await asyncio.sleep(2)
        assert await addresses(plane) == ["10.44.0.9"]
        assert await addresses(plane, "late") == await addresses(plane, "far") == []
        told = set(await plane.events("SyncLoadBalancerFailed"))
        assert told == {
            "Error syncing load balancer: the requested address 10.44.0.9 is in use by Service default/web",
            "Error syncing load balancer: the requested address 192.0.2.1 is not in the load balancers' range "
            "10.44.0.0/24",
        }
        await plane.client.delete(SERVICES, "web", "default")
        await asyncio.sleep(2)
        assert await addresses(plane, "late") == ["10.44.0.9"]


@virtual_time
async def test_a_used_up_range_serves_who_waits_as_soon_as_it_can() -> None:
    async with with_cloud("10.44.0.0/30") as plane:
        for number in range(3):
            await plane.create(SERVICES, service(f"web-{number}"))
            await asyncio.sleep(1)
        assert [await addresses(plane, f"web-{n}") for n in range(3)] == [["10.44.0.1"], ["10.44.0.2"], []]
        assert "all addresses" in (await plane.events("SyncLoadBalancerFailed"))[0]
        await plane.client.delete(SERVICES, "web-0", "default")
        await asyncio.sleep(1)
        assert await addresses(plane, "web-2") == ["10.44.0.1"]


@virtual_time
async def test_many_at_once_get_different_addresses() -> None:
    async with with_cloud() as plane:
        await asyncio.gather(*(plane.create(SERVICES, service(f"web-{n}")) for n in range(30)))
        await asyncio.sleep(2)
        given = [await addresses(plane, f"web-{n}") for n in range(30)]
        assert len({one for (one,) in given}) == 30


@virtual_time
async def test_local_traffic_has_a_health_check_and_nodes_are_followed() -> None:
    async with with_cloud() as plane:
        await plane.create(SERVICES, service(externalTrafficPolicy="Local"))
        await asyncio.sleep(1)
        assert (await plane.get(SERVICES, "web"))["spec"]["healthCheckNodePort"]
        await plane.nodes.add_node("node-9")
        await asyncio.sleep(2)
        assert await plane.events("UpdatedLoadBalancer") == ["Updated load balancer with new hosts"]
        assert await addresses(plane) == ["10.44.0.1"]


@virtual_time
async def test_a_namespace_with_load_balancers_can_be_deleted() -> None:
    async with with_cloud() as plane:
        await plane.client.create(GVR("", "v1", "namespaces"), {"metadata": {"name": "shop"}})
        await plane.create(SERVICES, service(), "shop")
        await asyncio.sleep(1)
        assert (await plane.get(SERVICES, "web", "shop"))["metadata"]["finalizers"] == [FINALIZER]
        await plane.client.delete(GVR("", "v1", "namespaces"), "shop")
        await asyncio.sleep(10)
        assert not await plane.exists(GVR("", "v1", "namespaces"), "shop", "")


@virtual_time
async def test_services_can_be_deleted_after_the_provider_was_switched_off() -> None:
    async with with_cloud("") as plane:
        foreign = {**service("foreign"), "metadata": {"name": "foreign", "finalizers": [FINALIZER]}}
        await plane.create(SERVICES, foreign)
        await plane.create(SERVICES, service())
        earlier = plane.cluster.client(*controller_identity("service-controller"))
        patch = {"metadata": {"finalizers": [FINALIZER]}}
        options = WriteOptions(subresource="status")
        await earlier.patch(SERVICES, "web", patch, "default", patch_type=PatchType.MERGE, options=options)
        for name in ("web", "foreign"):
            await plane.client.delete(SERVICES, name, "default")
        await asyncio.sleep(2)
        assert not await plane.exists(SERVICES, "web")
        assert (await plane.get(SERVICES, "foreign"))["metadata"]["finalizers"] == [FINALIZER]
