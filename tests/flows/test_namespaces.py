"""Namespaces: what every new one gets, and that a deleted one is emptied, pods first, and really goes."""

import asyncio

import pytest

from minikube_py.objects.conditions import get_condition
from minikube_py.resources.kind import GVR
from tests.flows.test_deployments import DEPLOYMENTS, deployment
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.virtual_time import virtual_time

NAMESPACES, CONFIG_MAPS = GVR("", "v1", "namespaces"), GVR("", "v1", "configmaps")
SERVICE_ACCOUNTS, PODS = GVR("", "v1", "serviceaccounts"), GVR("", "v1", "pods")


async def make(plane: ControlPlane, name: str = "work") -> None:
    await plane.create(NAMESPACES, {"metadata": {"name": name}}, "")
    await asyncio.sleep(1)


@virtual_time
async def test_a_namespace_gets_its_account_and_the_ca() -> None:
    async with control_plane(nodes=0) as plane:
        await make(plane)
        assert await plane.exists(SERVICE_ACCOUNTS, "default", "work")
        assert (await plane.get(CONFIG_MAPS, "kube-root-ca.crt", "work"))["data"] == {"ca.crt": "-----CA-----"}
        await plane.client.delete(SERVICE_ACCOUNTS, "default", "work")
        await plane.client.patch(CONFIG_MAPS, "kube-root-ca.crt", {"data": {"ca.crt": "x"}}, "work")
        await asyncio.sleep(1)
        assert await plane.exists(SERVICE_ACCOUNTS, "default", "work")
        assert (await plane.get(CONFIG_MAPS, "kube-root-ca.crt", "work"))["data"] == {"ca.crt": "-----CA-----"}


@virtual_time
async def test_a_deleted_namespace_goes_with_everything_in_it() -> None:
    async with control_plane() as plane:
        await make(plane)
        await plane.create(DEPLOYMENTS, deployment(5), "work")
        await asyncio.sleep(5)
        assert len(await plane.pods(namespace="work")) == 5
        await plane.client.delete(NAMESPACES, "work")

        async def gone() -> bool:
            return not await plane.exists(NAMESPACES, "work", "")

        await plane.until(gone, 30)
        assert await plane.pods(namespace="work") == []
        assert await plane.items(DEPLOYMENTS, "work") == []


@virtual_time
async def test_a_finalizer_holds_the_namespace_and_is_named() -> None:
    async with control_plane(nodes=0) as plane:
        await make(plane)
        held = {"metadata": {"name": "held", "finalizers": ["example.com/hold"]}}
        await plane.create(CONFIG_MAPS, held, "work")
        await plane.client.delete(NAMESPACES, "work")
        await asyncio.sleep(60)
        status = (await plane.get(NAMESPACES, "work", ""))["status"]
        assert status["phase"] == "Terminating"
        remaining = get_condition(status["conditions"], "NamespaceContentRemaining")
        finalizers = get_condition(status["conditions"], "NamespaceFinalizersRemaining")
        assert remaining is not None
        assert finalizers is not None
        assert remaining["message"] == "Some resources are remaining: configmaps. has 1 resource instances"
        assert finalizers["message"] == (
            "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
        )
        await plane.client.patch(CONFIG_MAPS, "held", {"metadata": {"finalizers": None}}, "work")
        await asyncio.sleep(30)
        assert not await plane.exists(NAMESPACES, "work", "")


@virtual_time
async def test_other_content_stays_until_the_pods_are_gone() -> None:
    async with control_plane() as plane:
        await make(plane)
        await plane.create(CONFIG_MAPS, {"metadata": {"name": "settings"}}, "work")
        pod = {
            "metadata": {"name": "slow", "finalizers": ["example.com/hold"]},
            "spec": {"containers": [{"name": "c", "image": "x:1"}]},
        }
        await plane.create(PODS, pod, "work")
        await asyncio.sleep(3)
        await plane.client.delete(NAMESPACES, "work")
        await asyncio.sleep(40)
        assert await plane.exists(CONFIG_MAPS, "settings", "work")
        await plane.client.patch(PODS, "slow", {"metadata": {"finalizers": None}}, "work")
        await asyncio.sleep(30)
        assert not await plane.exists(NAMESPACES, "work", "")


@virtual_time
async def test_controllers_give_up_quietly_in_a_namespace_that_goes(caplog: pytest.LogCaptureFixture) -> None:
    async with control_plane() as plane:
        await plane.client.create(NAMESPACES, {"metadata": {"name": "shop"}})
        await asyncio.sleep(2)
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x:1"}]}}
        spec = {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}, "template": template}
        for resource in ("deployments", "statefulsets", "daemonsets"):
            more = {k: v for k, v in spec.items() if k != "replicas" or resource != "daemonsets"}
            made = {"metadata": {"name": "x"}, "spec": {**more, **({"serviceName": "x"} if resource[0] == "s" else {})}}
            await plane.create(GVR("apps", "v1", resource), made, "shop")
        await asyncio.sleep(10)
        await plane.client.delete(NAMESPACES, "shop")
        await asyncio.sleep(60)
        assert not await plane.exists(NAMESPACES, "shop", "")
        assert [
            r.getMessage() for r in caplog.records if r.levelname == "WARNING" and "terminated" in r.getMessage()
        ] == []
