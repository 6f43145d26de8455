"""StatefulSets: order, scaling, rolling update with partition, claims, replacement of failed pods."""

import asyncio
from typing import Any

from minikube_py.client.protocol import DeleteOptions, PatchType, WriteOptions
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy
from minikube_py.resources.kind import GVR
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.virtual_time import virtual_time

STATEFUL_SETS, CLAIMS = GVR("apps", "v1", "statefulsets"), GVR("", "v1", "persistentvolumeclaims")
PODS = GVR("", "v1", "pods")


def stateful_set(replicas: int = 3, **spec: Any) -> Object:
    return {
        "metadata": {"name": "db"},
        "spec": {
            "replicas": replicas,
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": {
                "metadata": {"labels": {"app": "db"}},
                "spec": {"containers": [{"name": "c", "image": "db:1"}]},
            },
            **spec,
        },
    }


async def ready_names(plane: ControlPlane) -> list[str]:
    return sorted(
        p["metadata"]["name"]
        for p in await plane.pods("app=db")
        if any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"].get("conditions") or ())
    )


async def images(plane: ControlPlane) -> dict[str, str]:
    return {p["metadata"]["name"]: p["spec"]["containers"][0]["image"] for p in await plane.pods("app=db")}


async def change(plane: ControlPlane, image: str = "", **spec: Any) -> None:
    found = deep_copy(await plane.get(STATEFUL_SETS, "db"))
    found["spec"].update(spec)
    if image:
        found["spec"]["template"]["spec"]["containers"][0]["image"] = image
    await plane.client.update(STATEFUL_SETS, found)


async def is_ready(plane: ControlPlane, count: int) -> bool:
    found = await plane.get(STATEFUL_SETS, "db")
    status = found.get("status") or {}
    return bool(
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status.get("replicas") == count
        and status.get("readyReplicas", 0) == count
    )


async def is_updated(plane: ControlPlane) -> bool:
    status = (await plane.get(STATEFUL_SETS, "db")).get("status") or {}
    return bool(await is_ready(plane, 3) and status["currentRevision"] == status["updateRevision"])


@virtual_time
async def test_pods_come_in_order_and_go_in_reverse() -> None:
    async with control_plane() as plane:
        await plane.create(STATEFUL_SETS, stateful_set())
        seen: list[list[str]] = []

        async def ready() -> bool:
            names = sorted(p["metadata"]["name"] for p in await plane.pods("app=db"))
            if not seen or seen[-1] != names:
                seen.append(names)
            return await is_ready(plane, 3)

        await plane.until(ready)
        assert [names for names in seen if names] == [["db-0"], ["db-0", "db-1"], ["db-0", "db-1", "db-2"]]
        pod = await plane.get(PODS, "db-1")
        assert pod["spec"]["hostname"] == "db-1"
        assert pod["spec"]["subdomain"] == "db"
        assert pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] == "db-1"
        assert pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "1"
        await change(plane, replicas=1)
        seen.clear()

        async def scaled() -> bool:
            names = sorted(p["metadata"]["name"] for p in await plane.pods("app=db"))
            if not seen or seen[-1] != names:
                seen.append(names)
            return await is_ready(plane, 1)

        await plane.until(scaled)
        assert seen[-2:] == [["db-0", "db-1"], ["db-0"]]


@virtual_time
async def test_parallel_sets_start_all_pods_at_once() -> None:
    async with control_plane() as plane:
        await plane.create(STATEFUL_SETS, stateful_set(5, podManagementPolicy="Parallel"))
        await asyncio.sleep(0.5)
        assert len(await plane.pods("app=db")) == 5


@virtual_time
async def test_a_rolling_update_goes_from_the_last_pod_down_and_stops_at_the_partition() -> None:
    async with control_plane() as plane:
        await plane.create(STATEFUL_SETS, stateful_set())
        await plane.until(lambda: is_ready(plane, 3))
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
        await change(plane, "db:2", updateStrategy=strategy)
        await asyncio.sleep(20)
        assert await images(plane) == {"db-0": "db:1", "db-1": "db:1", "db-2": "db:2"}
        status = (await plane.get(STATEFUL_SETS, "db"))["status"]
        assert (status["currentReplicas"], status["updatedReplicas"]) == (2, 1)
        await plane.client.delete(PODS, "db-0", "default")
        await asyncio.sleep(10)
        assert (await images(plane))["db-0"] == "db:1"
        await change(plane, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
        least = 3

        async def updated() -> bool:
            nonlocal least
            least = min(least, len(await ready_names(plane)))
            return await is_updated(plane)

        await plane.until(updated)
        assert set((await images(plane)).values()) == {"db:2"}
        assert least == 2


@virtual_time
async def test_on_delete_leaves_the_pods_alone() -> None:
    async with control_plane() as plane:
        await plane.create(STATEFUL_SETS, stateful_set(updateStrategy={"type": "OnDelete"}))
        await plane.until(lambda: is_ready(plane, 3))
        await change(plane, "db:2")
        await asyncio.sleep(20)
        assert set((await images(plane)).values()) == {"db:1"}
        await plane.client.delete(PODS, "db-1", "default")
        await asyncio.sleep(10)
        assert (await images(plane))["db-1"] == "db:2"


@virtual_time
async def test_claims_are_made_and_kept_or_deleted_by_policy() -> None:
    async with control_plane() as plane:
        template = {
            "metadata": {"name": "data"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "",
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
        volumes = GVR("", "v1", "persistentvolumes")
        for number in range(2):
            await plane.create(volumes, {
                "metadata": {"name": f"pv-{number}"},
                "spec": {
                    "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "",
                    "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": f"/tmp/{number}"},
                },
            }, "")  # fmt: skip
        made = stateful_set(2, volumeClaimTemplates=[template])
        made["spec"]["persistentVolumeClaimRetentionPolicy"] = {"whenDeleted": "Delete", "whenScaled": "Retain"}
        await plane.create(STATEFUL_SETS, made)
        await plane.until(lambda: is_ready(plane, 2))
        assert {c["metadata"]["name"] for c in await plane.items(CLAIMS)} == {"data-db-0", "data-db-1"}
        pod = await plane.get(PODS, "db-1")
        assert {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-1"}} in [
            {k: v for k, v in volume.items() if k != "readOnly"}
            | {"persistentVolumeClaim": {"claimName": volume["persistentVolumeClaim"]["claimName"]}}
            for volume in pod["spec"]["volumes"]
            if volume["name"] == "data"
        ]
        await change(plane, replicas=1)
        await asyncio.sleep(10)
        assert len(await plane.items(CLAIMS)) == 2
        await plane.client.delete(STATEFUL_SETS, "db", "default")
        await asyncio.sleep(10)
        left = [c for c in await plane.items(CLAIMS) if not c["metadata"].get("deletionTimestamp")]
        assert [c["metadata"]["name"] for c in left] in ([], ["data-db-1"])


@virtual_time
async def test_a_pod_that_is_not_ready_does_not_keep_the_set_from_going_away() -> None:
    async with control_plane() as plane:
        await plane.create(STATEFUL_SETS, stateful_set())
        await plane.until(lambda: is_ready(plane, 3))
        unready = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
        options = WriteOptions(subresource="status")
        await plane.client.patch(PODS, "db-1", unready, "default", patch_type=PatchType.STRATEGIC, options=options)
        await change(plane, replicas=0)
        await plane.until(lambda: is_ready(plane, 0))
        assert await plane.pods("app=db") == []


@virtual_time
async def test_ordinals_may_start_anywhere() -> None:
    async with control_plane() as plane:
        await plane.create(STATEFUL_SETS, stateful_set(2, ordinals={"start": 5}))
        await plane.until(lambda: is_ready(plane, 2))
        assert await ready_names(plane) == ["db-5", "db-6"]
        await change(plane, ordinals={"start": 4})
        await plane.until(lambda: is_ready(plane, 2))
        await asyncio.sleep(10)
        assert await ready_names(plane) == ["db-4", "db-5"]


@virtual_time
async def test_an_update_takes_as_many_pods_at_once_as_may_be_unavailable() -> None:
    async with control_plane() as plane:
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}
        await plane.create(STATEFUL_SETS, stateful_set(4, podManagementPolicy="Parallel", updateStrategy=strategy))
        await plane.until(lambda: is_ready(plane, 4))
        fewest = 4

        async def updated() -> bool:
            nonlocal fewest
            fewest = min(fewest, len(await ready_names(plane)))
            return set((await images(plane)).values()) == {"db:2"} and len(await ready_names(plane)) == 4

        await change(plane, image="db:2")
        await plane.until(updated)
        assert fewest == 2


@virtual_time
async def test_a_failed_pod_is_made_again_under_its_name() -> None:
    async with control_plane() as plane:
        await plane.create(STATEFUL_SETS, stateful_set(1))
        await plane.until(lambda: is_ready(plane, 1))
        (before,) = await plane.pods("app=db")
        options = WriteOptions(subresource="status")
        failed = {"status": {"phase": "Failed"}}
        await plane.client.patch(PODS, "db-0", failed, "default", patch_type=PatchType.MERGE, options=options)
        await asyncio.sleep(10)
        (after,) = await plane.pods("app=db")
        assert after["metadata"]["name"] == "db-0"
        assert after["metadata"]["uid"] != before["metadata"]["uid"]
        assert len(await plane.events("RecreatingFailedPod")) == 1


@virtual_time
async def test_going_back_to_a_template_goes_back_to_its_revision() -> None:
    async with control_plane() as plane:
        await plane.create(STATEFUL_SETS, stateful_set())
        await plane.until(lambda: is_updated(plane))
        first = (await plane.get(STATEFUL_SETS, "db"))["status"]["currentRevision"]
        await change(plane, image="db:2")
        await plane.until(lambda: is_updated(plane))
        assert (await plane.get(STATEFUL_SETS, "db"))["status"]["currentRevision"] != first
        await change(plane, image="db:1")
        await plane.until(lambda: is_updated(plane))
        assert (await plane.get(STATEFUL_SETS, "db"))["status"]["currentRevision"] == first


@virtual_time
async def test_a_pod_that_matches_is_adopted_and_one_that_matches_no_more_is_let_go() -> None:
    async with control_plane() as plane:
        await plane.create(STATEFUL_SETS, stateful_set(1))
        await plane.until(lambda: is_ready(plane, 1))
        await plane.client.delete(STATEFUL_SETS, "db", "default", options=DeleteOptions(propagation="Orphan"))
        await asyncio.sleep(5)
        (orphan,) = await plane.pods("app=db")
        assert not orphan["metadata"].get("ownerReferences")
        await plane.create(STATEFUL_SETS, stateful_set(1))
        await plane.until(lambda: is_ready(plane, 1))
        (adopted,) = await plane.pods("app=db")
        assert adopted["metadata"]["uid"] == orphan["metadata"]["uid"]
        assert adopted["metadata"]["ownerReferences"][0]["kind"] == "StatefulSet"
