"""Claims of the local storage class: a volume on the node of the first pod, which ends with the claim."""

import asyncio

from minikube_py.controllers.context import ControllerOptions
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import GVR
from minikube_py.resources.storage.local_volumes import LOCAL_DRIVER
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.virtual_time import virtual_time

PODS, CLAIMS = GVR("", "v1", "pods"), GVR("", "v1", "persistentvolumeclaims")
VOLUMES, CLASSES = GVR("", "v1", "persistentvolumes"), GVR("storage.k8s.io", "v1", "storageclasses")


def storage_class(mode: str = "WaitForFirstConsumer", policy: str = "Delete") -> Object:
    return {
        "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": LOCAL_DRIVER,
        "volumeBindingMode": mode,
        "reclaimPolicy": policy,
    }


def claim(name: str = "data", **spec: object) -> Object:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"metadata": {"name": name}, "spec": wanted | spec}


def pod(name: str, claim_name: str = "data") -> Object:
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": claim_name}}
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "x"}], "volumes": [volume]}}


async def phase(plane: ControlPlane, name: str = "data") -> str:
    return str((await plane.get(CLAIMS, name)).get("status", {}).get("phase"))


@virtual_time
async def test_a_claim_gets_its_volume_with_its_first_pod_and_takes_it_along() -> None:
    removed: list[tuple[str, str]] = []

    async def remove(node: str, handle: str) -> None:
        removed.append((node, handle))

    async with control_plane(options=ControllerOptions(root_ca_pem="CA", remove_volume=remove)) as plane:
        await plane.create(CLASSES, storage_class(), "")
        await plane.create(CLAIMS, claim())
        await asyncio.sleep(60)
        assert await phase(plane) == "Pending"
        assert "waiting for first consumer" in (await plane.events("WaitForFirstConsumer"))[0]

        await plane.create(PODS, pod("first"))
        await plane.until(lambda: _is_bound(plane, "first"))
        node = (await plane.get(PODS, "first"))["spec"]["nodeName"]
        (volume,) = await plane.items(VOLUMES, "")
        hostname = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]
        assert (hostname["values"], volume["spec"]["capacity"]) == ([node], {"storage": "1Gi"})
        await plane.create(PODS, pod("second"))
        await plane.until(lambda: _is_bound(plane, "second"))
        assert (await plane.get(PODS, "second"))["spec"]["nodeName"] == node

        for name in ("first", "second"):
            await plane.client.delete(PODS, name, "default")
        await plane.client.delete(CLAIMS, "data", "default")
        await plane.until(lambda: _is_gone(plane))
        assert removed == [(node, volume["spec"]["csi"]["volumeHandle"])]


async def _is_bound(plane: ControlPlane, name: str) -> bool:
    return bool((await plane.get(PODS, name))["spec"].get("nodeName")) and await phase(plane) == "Bound"


async def _is_gone(plane: ControlPlane) -> bool:
    return not await plane.items(VOLUMES, "")


@virtual_time
async def test_retained_volumes_and_claims_that_do_not_wait() -> None:
    async with control_plane(options=ControllerOptions(root_ca_pem="CA")) as plane:
        await plane.create(CLASSES, storage_class("Immediate", "Retain"), "")
        await plane.create(CLAIMS, claim())
        await plane.until(lambda: _has_phase(plane, "Bound"))
        await plane.client.delete(CLAIMS, "data", "default")
        await asyncio.sleep(120)
        (volume,) = await plane.items(VOLUMES, "")
        assert volume["status"]["phase"] == "Released"

        await plane.create(CLAIMS, claim("block", volumeMode="Block"))
        await asyncio.sleep(30)
        assert await phase(plane, "block") == "Pending"
        assert "volumeMode Block is not supported" in (await plane.events("ProvisioningFailed"))[0]


async def _has_phase(plane: ControlPlane, wanted: str) -> bool:
    return await phase(plane) == wanted
