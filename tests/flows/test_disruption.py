"""PodDisruptionBudgets and evictions: what may go, what is refused, and pods that nobody controls."""

import asyncio
from typing import Any

import pytest

from minikube_py.client.protocol import PatchType, WriteOptions
from minikube_py.objects.conditions import get_condition
from minikube_py.objects.errors import Object, TooManyRequests
from minikube_py.resources.kind import GVR
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.virtual_time import virtual_time

PODS, BUDGETS = GVR("", "v1", "pods"), GVR("policy", "v1", "poddisruptionbudgets")
COUNTS = ("expectedPods", "currentHealthy", "desiredHealthy", "disruptionsAllowed")


def pod(name: str) -> Object:
    return {
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "web:1"}]},
    }


def budget(**spec: Any) -> Object:
    return {"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec}}


async def counts(plane: ControlPlane) -> tuple[int, ...]:
    status = (await plane.get(BUDGETS, "web"))["status"]
    return tuple(status[field] for field in COUNTS)


async def evict(plane: ControlPlane, name: str) -> None:
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "default"}}
    await plane.client.create(PODS, eviction, "default", name=name, options=WriteOptions(subresource="eviction"))


@virtual_time
async def test_an_eviction_is_refused_until_the_budget_allows_it() -> None:
    async with control_plane() as plane:
        for name in ("web-0", "web-1", "web-2"):
            await plane.create(PODS, pod(name))
        await plane.create(BUDGETS, budget(minAvailable=3))
        await asyncio.sleep(5)
        assert await counts(plane) == (3, 3, 3, 0)
        with pytest.raises(TooManyRequests, match="would violate the pod's disruption budget") as refused:
            await evict(plane, "web-0")
        (cause,) = (refused.value.details or {})["causes"]
        assert cause["reason"] == "DisruptionBudget"
        patch = {"spec": {"minAvailable": 2}}
        await plane.client.patch(BUDGETS, "web", patch, "default", patch_type=PatchType.MERGE)
        await asyncio.sleep(1)
        await evict(plane, "web-0")
        gone = await plane.get(PODS, "web-0")
        assert gone["metadata"]["deletionTimestamp"]
        target = get_condition(gone["status"]["conditions"], "DisruptionTarget")
        assert target is not None
        assert target["reason"] == "EvictionByEvictionAPI"
        await asyncio.sleep(5)
        assert await counts(plane) == (2, 2, 2, 0)


@virtual_time
async def test_a_share_of_unmanaged_pods_allows_nothing_but_is_computed() -> None:
    async with control_plane() as plane:
        await plane.create(PODS, pod("web-0"))
        await plane.create(BUDGETS, budget(maxUnavailable=1))
        await asyncio.sleep(5)
        assert await counts(plane) == (0, 1, 0, 0)
        condition = get_condition((await plane.get(BUDGETS, "web"))["status"]["conditions"], "DisruptionAllowed")
        assert condition is not None
        assert condition["reason"] == "InsufficientPods"
