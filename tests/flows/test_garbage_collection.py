"""Garbage collection over the real server: background, foreground and orphan deletion, absent owners, cycles."""

import asyncio
from typing import Any

from minikube_py.client.protocol import DeleteOptions
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import GVR
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.virtual_time import virtual_time

CONFIG_MAPS = GVR("", "v1", "configmaps")
DEPLOYMENTS = GVR("apps", "v1", "deployments")


def owned(name: str, *owners: Object, block: bool = False, **metadata: Any) -> Object:
    references = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": block,
        }
        for owner in owners
    ]
    return {"metadata": {"name": name, "ownerReferences": references, **metadata}}


async def make(plane: ControlPlane, name: str, *owners: Object, **more: Any) -> Object:
    return await plane.create(CONFIG_MAPS, owned(name, *owners, **more))


async def remaining(plane: ControlPlane) -> set[str]:
    return {item["metadata"]["name"] for item in await plane.items(CONFIG_MAPS)} - {"kube-root-ca.crt"}


async def delete(plane: ControlPlane, name: str, propagation: str = "Background") -> None:
    await plane.client.delete(CONFIG_MAPS, name, "default", options=DeleteOptions(propagation=propagation))


@virtual_time
async def test_background_deletion_reaches_all_generations() -> None:
    async with control_plane(nodes=0) as plane:
        parent = await make(plane, "parent")
        child = await make(plane, "child", parent)
        await make(plane, "grandchild", child)
        await make(plane, "stranger")
        await delete(plane, "parent")
        await asyncio.sleep(2)
        assert await remaining(plane) == {"stranger"}


@virtual_time
async def test_foreground_deletion_keeps_the_owner_until_blocking_dependents_are_gone() -> None:
    async with control_plane(nodes=0) as plane:
        parent = await make(plane, "parent")
        await make(plane, "child", parent, block=True, finalizers=["example.com/hold"])
        await delete(plane, "parent", "Foreground")
        await asyncio.sleep(5)
        assert await remaining(plane) == {"parent", "child"}
        held = await plane.get(CONFIG_MAPS, "child")
        assert held["metadata"]["deletionTimestamp"]
        await plane.client.patch(CONFIG_MAPS, "child", {"metadata": {"finalizers": None}}, "default")
        await asyncio.sleep(5)
        assert await remaining(plane) == set()


@virtual_time
async def test_orphaning_leaves_the_dependents_without_owner() -> None:
    async with control_plane(nodes=0) as plane:
        parent = await make(plane, "parent")
        await make(plane, "child", parent)
        await delete(plane, "parent", "Orphan")
        await asyncio.sleep(2)
        assert await remaining(plane) == {"child"}
        child = await plane.get(CONFIG_MAPS, "child")
        assert not child["metadata"].get("ownerReferences")


@virtual_time
async def test_an_object_with_two_owners_outlives_the_first() -> None:
    async with control_plane(nodes=0) as plane:
        one, two = await make(plane, "one"), await make(plane, "two")
        await make(plane, "child", one, two)
        await delete(plane, "one")
        await asyncio.sleep(2)
        assert await remaining(plane) == {"two", "child"}
        await delete(plane, "two")
        await asyncio.sleep(2)
        assert await remaining(plane) == set()


@virtual_time
async def test_an_object_whose_owner_never_existed_is_deleted() -> None:
    async with control_plane(nodes=0) as plane:
        ghost = {"metadata": {"name": "ghost", "uid": "00000000-0000-4000-8000-000000000000"}}
        await make(plane, "child", ghost)
        await asyncio.sleep(2)
        assert await remaining(plane) == set()


@virtual_time
async def test_a_circle_of_owners_can_be_deleted() -> None:
    async with control_plane(nodes=0) as plane:
        first = await make(plane, "first")
        second = await make(plane, "second", first, block=True)
        references = owned("first", second, block=True)["metadata"]["ownerReferences"]
        await plane.client.patch(CONFIG_MAPS, "first", {"metadata": {"ownerReferences": references}}, "default")
        await delete(plane, "first", "Foreground")
        await asyncio.sleep(10)
        assert await remaining(plane) == set()


@virtual_time
async def test_an_owner_in_another_namespace_does_not_count() -> None:
    async with control_plane(nodes=0) as plane:
        parent = await plane.create(CONFIG_MAPS, {"metadata": {"name": "parent"}}, "kube-system")
        await make(plane, "child", parent)
        await asyncio.sleep(2)
        assert await remaining(plane) == set()
