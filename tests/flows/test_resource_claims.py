"""ResourceClaims: made from templates for pods, noted in the pods' status, and freed when no pod uses them."""

import asyncio
from typing import Any

from minikube_py.client.protocol import PatchType, WriteOptions
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy
from minikube_py.resources.kind import GVR
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.virtual_time import virtual_time

PODS = GVR("", "v1", "pods")
CLAIMS = GVR("resource.k8s.io", "v1", "resourceclaims")
TEMPLATES = GVR("resource.k8s.io", "v1", "resourceclaimtemplates")
STATUS = WriteOptions(subresource="status")
REQUEST = {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}]}}


def template() -> Object:
    return {"metadata": {"name": "gpu"}, "spec": {"metadata": {"labels": {"team": "ml"}}, "spec": REQUEST}}


def pod(**claim: Any) -> Object:
    return {
        "metadata": {"name": "trainer"},
        "spec": {
            "schedulerName": "nobody",
            "containers": [{"name": "c", "image": "train:1"}],
            "resourceClaims": [{"name": "device", **claim}],
        },
    }


async def noted_claim(plane: ControlPlane) -> str:
    statuses = (await plane.get(PODS, "trainer"))["status"].get("resourceClaimStatuses") or ()
    return next((one["resourceClaimName"] for one in statuses if one["name"] == "device"), "")


async def allocate(plane: ControlPlane, claim_name: str) -> None:
    """What a scheduler does: a finalizer, an allocation, a reservation for the pod."""
    user = (await plane.get(PODS, "trainer"))["metadata"]["uid"]
    patch = {"metadata": {"finalizers": ["resource.kubernetes.io/delete-protection"]}}
    await plane.client.patch(CLAIMS, claim_name, patch, "default", patch_type=PatchType.MERGE)
    claim = deep_copy(await plane.get(CLAIMS, claim_name))
    claim["status"] = {
        "allocation": {"devices": {"results": [
            {"request": "gpu", "driver": "gpu.example.com", "pool": "node-0", "device": "gpu-0"}
        ]}},
        "reservedFor": [{"resource": "pods", "name": "trainer", "uid": user}],
    }  # fmt: skip
    await plane.client.update(CLAIMS, claim, options=STATUS)


@virtual_time
async def test_a_pod_gets_a_claim_of_its_own_from_the_template() -> None:
    async with control_plane(nodes=0) as plane:
        await plane.create(TEMPLATES, template())
        made = await plane.create(PODS, pod(resourceClaimTemplateName="gpu"))
        await asyncio.sleep(2)
        claim = await plane.get(CLAIMS, await noted_claim(plane))
        assert claim["metadata"]["name"].startswith("trainer-device-")
        assert claim["metadata"]["labels"] == {"team": "ml"}
        assert claim["metadata"]["annotations"]["resource.kubernetes.io/pod-claim-name"] == "device"
        (owner,) = claim["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("Pod", made["metadata"]["uid"], True)
        assert claim["spec"]["devices"]["requests"][0]["exactly"]["deviceClassName"] == "gpu.example.com"
        await plane.client.delete(PODS, "trainer", "default")
        await asyncio.sleep(5)
        assert await plane.items(CLAIMS) == []


@virtual_time
async def test_a_template_may_come_after_the_pod_and_a_lost_claim_is_made_again() -> None:
    async with control_plane(nodes=0) as plane:
        await plane.create(PODS, pod(resourceClaimTemplateName="gpu"))
        await asyncio.sleep(2)
        assert not await noted_claim(plane)
        assert any("gpu" in text for text in await plane.events("FailedResourceClaimCreation"))
        await plane.create(TEMPLATES, template())
        await asyncio.sleep(5)
        first = await noted_claim(plane)
        assert first
        await plane.client.delete(CLAIMS, first, "default")
        await asyncio.sleep(2)
        second = await noted_claim(plane)
        assert second not in ("", first)
        assert [c["metadata"]["name"] for c in await plane.items(CLAIMS)] == [second]


@virtual_time
async def test_a_shared_claim_is_freed_when_its_last_pod_has_ended() -> None:
    async with control_plane(nodes=0) as plane:
        await plane.create(CLAIMS, {"metadata": {"name": "shared"}, "spec": REQUEST})
        await plane.create(PODS, pod(resourceClaimName="shared"))
        await allocate(plane, "shared")
        await asyncio.sleep(2)
        assert (await plane.get(CLAIMS, "shared"))["status"]["allocation"]
        await plane.client.delete(CLAIMS, "shared", "default")
        await asyncio.sleep(2)
        assert (await plane.get(CLAIMS, "shared"))["metadata"]["deletionTimestamp"]
        ended = {"status": {"phase": "Succeeded"}}
        await plane.client.patch(PODS, "trainer", ended, "default", patch_type=PatchType.MERGE, options=STATUS)
        await asyncio.sleep(2)
        assert not await plane.exists(CLAIMS, "shared")


@virtual_time
async def test_a_finished_pod_loses_the_claim_that_was_made_for_it() -> None:
    async with control_plane(nodes=0) as plane:
        await plane.create(TEMPLATES, template())
        await plane.create(PODS, pod(resourceClaimTemplateName="gpu"))
        await asyncio.sleep(2)
        await allocate(plane, await noted_claim(plane))
        ended = {"status": {"phase": "Failed"}}
        await plane.client.patch(PODS, "trainer", ended, "default", patch_type=PatchType.MERGE, options=STATUS)
        await asyncio.sleep(2)
        assert await plane.items(CLAIMS) == []
        assert await plane.exists(PODS, "trainer")
