"""ServiceCIDRs and IPAddresses: further ranges for Services, addresses as objects, and ranges that are still needed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from minikube_py.bootstrap.service_addresses import ServiceAddresses
from minikube_py.objects.conditions import get_condition
from minikube_py.objects.errors import Invalid, Object
from minikube_py.reconciling.controller import run_controller
from minikube_py.resources.kind import GVR
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.virtual_time import virtual_time

SERVICES = GVR("", "v1", "services")
RANGES, ADDRESSES = GVR("networking.k8s.io", "v1", "servicecidrs"), GVR("networking.k8s.io", "v1", "ipaddresses")


@asynccontextmanager
async def with_addresses() -> AsyncIterator[ControlPlane]:
    async with control_plane(nodes=0) as plane:
        keeper = ServiceAddresses(plane.cluster.client("system:apiserver"), plane.informers)
        task = asyncio.create_task(run_controller(keeper, workers=1))
        await asyncio.sleep(1)
        yield plane
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def service(name: str = "web", address: str = "") -> Object:
    spec: Object = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
    if address:
        spec["clusterIP"] = address
    return {"metadata": {"name": name}, "spec": spec}


async def add_range(plane: ControlPlane, name: str, cidr: str) -> None:
    await plane.create(RANGES, {"metadata": {"name": name}, "spec": {"cidrs": [cidr]}}, "")
    await asyncio.sleep(1)


async def readiness(plane: ControlPlane, name: str) -> tuple[str, str]:
    found = await plane.get(RANGES, name, "")
    condition = get_condition(found["status"]["conditions"], "Ready")
    assert condition is not None
    return condition["status"], condition.get("reason", "")


@virtual_time
async def test_every_address_of_a_service_is_an_object() -> None:
    async with with_addresses() as plane:
        made = await plane.create(SERVICES, service())
        await asyncio.sleep(1)
        address = await plane.get(ADDRESSES, made["spec"]["clusterIP"], "")
        parent = {"resource": "services", "namespace": "default", "name": "web"}
        assert address["spec"]["parentRef"] == parent
        assert address["metadata"]["labels"] == {
            "ipaddress.kubernetes.io/ip-family": "IPv4",
            "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
        }
        await plane.client.delete(ADDRESSES, made["spec"]["clusterIP"])
        await asyncio.sleep(1)
        assert await plane.exists(ADDRESSES, made["spec"]["clusterIP"], "")
        await plane.client.delete(SERVICES, "web", "default")
        await asyncio.sleep(1)
        assert await plane.items(ADDRESSES, "") == []


@virtual_time
async def test_a_further_range_serves_services_and_stays_while_it_is_needed() -> None:
    async with with_addresses() as plane:
        with pytest.raises(Invalid, match="is not in the valid range"):
            await plane.create(SERVICES, service("early", "10.99.0.7"))
        await add_range(plane, "extra", "10.99.0.0/28")
        assert await readiness(plane, "extra") == ("True", "")
        await plane.create(SERVICES, service("web", "10.99.0.7"))
        with pytest.raises(Invalid, match="provided IP is already allocated"):
            await plane.create(SERVICES, service("again", "10.99.0.7"))
        await asyncio.sleep(1)
        await plane.client.delete(RANGES, "extra")
        await asyncio.sleep(1)
        assert await readiness(plane, "extra") == ("False", "Terminating")
        with pytest.raises(Invalid, match="is not in the valid range"):
            await plane.create(SERVICES, service("late", "10.99.0.8"))
        await plane.client.delete(SERVICES, "web", "default")
        await asyncio.sleep(2)
        assert not await plane.exists(RANGES, "extra", "")


@virtual_time
async def test_a_larger_range_takes_the_addresses_over() -> None:
    async with with_addresses() as plane:
        await add_range(plane, "small", "10.99.0.0/28")
        await plane.create(SERVICES, service("web", "10.99.0.7"))
        await asyncio.sleep(1)
        await plane.client.delete(RANGES, "small")
        await asyncio.sleep(1)
        assert await plane.exists(RANGES, "small", "")
        await add_range(plane, "large", "10.99.0.0/24")
        await asyncio.sleep(1)
        assert not await plane.exists(RANGES, "small", "")
        with pytest.raises(Invalid, match="provided IP is already allocated"):
            await plane.create(SERVICES, service("again", "10.99.0.7"))


@virtual_time
async def test_an_address_that_somebody_has_reserved_is_not_given_out() -> None:
    async with with_addresses() as plane:
        parent = {"group": "example.com", "resource": "gateways", "namespace": "default", "name": "edge"}
        await plane.create(ADDRESSES, {"metadata": {"name": "10.43.0.77"}, "spec": {"parentRef": parent}}, "")
        with pytest.raises(Invalid, match="provided IP is already allocated"):
            await plane.create(SERVICES, service("web", "10.43.0.77"))
        await plane.client.delete(ADDRESSES, "10.43.0.77")
        await plane.create(SERVICES, service("web", "10.43.0.77"))
        await asyncio.sleep(1)
        assert (await plane.get(ADDRESSES, "10.43.0.77", ""))["spec"]["parentRef"]["name"] == "web"
