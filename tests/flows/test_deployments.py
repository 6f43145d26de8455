"""Deployments through the real server, controllers and scheduler: rollout, rollback, scale, recreate, deletion."""

import asyncio
from typing import Any

from minikube_py.objects.conditions import get_condition
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import annotations, deep_copy
from minikube_py.resources.kind import GVR
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.node_stub import NEVER_READY
from tests.support.virtual_time import virtual_time

DEPLOYMENTS = GVR("apps", "v1", "deployments")
REPLICA_SETS = GVR("apps", "v1", "replicasets")
REVISION = "deployment.kubernetes.io/revision"
ROLLBACK_TO = "deprecated.deployment.rollback.to"


def deployment(replicas: int = 3, image: str = "web:1", **spec: Any) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "progressDeadlineSeconds": 600,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": image}]},
            },
            **spec,
        },
    }


async def is_rolled_out(plane: ControlPlane) -> bool:
    found = await plane.get(DEPLOYMENTS, "web")
    status, wanted = found.get("status") or {}, found["spec"]["replicas"]
    return bool(
        status.get("observedGeneration", 0) >= found["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == status.get("replicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
    )


async def set_image(plane: ControlPlane, image: str, **annotations_: str) -> None:
    found = deep_copy(await plane.get(DEPLOYMENTS, "web"))
    found["spec"]["template"]["spec"]["containers"][0]["image"] = image
    if annotations_:
        found["spec"]["template"]["metadata"]["annotations"] = annotations_
    await plane.client.update(DEPLOYMENTS, found)


def images(pods: list[Object]) -> set[str]:
    return {pod["spec"]["containers"][0]["image"] for pod in pods}


async def staying(plane: ControlPlane) -> list[Object]:
    """The deployment's pods that are not being deleted."""
    return [pod for pod in await plane.pods("app=web") if not pod["metadata"].get("deletionTimestamp")]


@virtual_time
async def test_a_deployment_becomes_available() -> None:
    async with control_plane() as plane:
        await plane.create(DEPLOYMENTS, deployment(3))
        await plane.until(lambda: is_rolled_out(plane))
        pods = await plane.pods("app=web")
        assert len(pods) == 3
        assert {pod["spec"]["nodeName"] for pod in pods} == {"node-0", "node-1", "node-2"}
        found = await plane.get(DEPLOYMENTS, "web")
        assert annotations(found)[REVISION] == "1"
        conditions = found["status"]["conditions"]
        available, progressing = get_condition(conditions, "Available"), get_condition(conditions, "Progressing")
        assert available is not None
        assert (available["status"], available["reason"]) == ("True", "MinimumReplicasAvailable")
        assert progressing is not None
        (rs,) = await plane.items(REPLICA_SETS)
        assert progressing["reason"] == "NewReplicaSetAvailable"
        assert progressing["message"] == f'ReplicaSet "{rs["metadata"]["name"]}" has successfully progressed.'
        digest = rs["metadata"]["labels"]["pod-template-hash"]
        assert rs["metadata"]["name"] == f"web-{digest}"
        assert all(pod["metadata"]["labels"]["pod-template-hash"] == digest for pod in pods)
        assert await plane.events("ScalingReplicaSet") == [f"Scaled up replica set web-{digest} from 0 to 3"]
        created = await plane.events("SuccessfulCreate")
        assert sorted(created) == sorted(f"Created pod: {pod['metadata']['name']}" for pod in pods)
        scheduled = await plane.events("Scheduled")
        assert sorted(scheduled) == sorted(
            f"Successfully assigned default/{p['metadata']['name']} to {p['spec']['nodeName']}" for p in pods
        )


@virtual_time
async def test_a_rollout_never_goes_below_what_must_be_available() -> None:
    async with control_plane() as plane:
        spec = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}
        await plane.create(DEPLOYMENTS, deployment(4, **spec))
        await plane.until(lambda: is_rolled_out(plane))
        await set_image(plane, "web:2")
        seen: list[tuple[int, int]] = []

        async def rolled_out() -> bool:
            pods = await staying(plane)
            ready = [
                p for p in pods if (get_condition(p["status"].get("conditions"), "Ready") or {}).get("status") == "True"
            ]
            seen.append((len(pods), len(ready)))
            return await is_rolled_out(plane)

        await plane.until(rolled_out)
        assert max(total for total, _ in seen) == 5
        assert min(ready for _, ready in seen) >= 4
        assert images(await staying(plane)) == {"web:2"}
        sizes = sorted(rs["spec"]["replicas"] for rs in await plane.items(REPLICA_SETS))
        assert sizes == [0, 4]


@virtual_time
async def test_rollback_uses_the_old_replica_set_under_a_new_revision() -> None:
    async with control_plane() as plane:
        await plane.create(DEPLOYMENTS, deployment(2))
        await plane.until(lambda: is_rolled_out(plane))
        (first,) = await plane.items(REPLICA_SETS)
        await set_image(plane, "web:2")
        await plane.until(lambda: is_rolled_out(plane))
        await set_image(plane, "web:1")
        await plane.until(lambda: is_rolled_out(plane))
        sets = {rs["metadata"]["name"]: rs for rs in await plane.items(REPLICA_SETS)}
        again = sets[first["metadata"]["name"]]
        assert again["spec"]["replicas"] == 2
        assert annotations(again)[REVISION] == "3"
        assert annotations(again)["deployment.kubernetes.io/revision-history"] == "1"
        assert annotations(await plane.get(DEPLOYMENTS, "web"))[REVISION] == "3"


async def ask_for_rollback(plane: ControlPlane, revision: str) -> None:
    found = deep_copy(await plane.get(DEPLOYMENTS, "web"))
    found["metadata"].setdefault("annotations", {})[ROLLBACK_TO] = revision
    await plane.client.update(DEPLOYMENTS, found)

    async def is_answered() -> bool:
        return ROLLBACK_TO not in annotations(await plane.get(DEPLOYMENTS, "web"))

    await plane.until(is_answered)
    await plane.until(lambda: is_rolled_out(plane))


@virtual_time
async def test_the_annotation_of_old_clients_rolls_back() -> None:
    async with control_plane() as plane:
        made = deployment(2)
        made["metadata"]["annotations"] = {"note": "first"}
        await plane.create(DEPLOYMENTS, made)
        await plane.until(lambda: is_rolled_out(plane))
        changed = deep_copy(await plane.get(DEPLOYMENTS, "web"))
        changed["metadata"]["annotations"] |= {"note": "second", "more": "too"}
        changed["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2"
        await plane.client.update(DEPLOYMENTS, changed)
        await plane.until(lambda: is_rolled_out(plane))

        await ask_for_rollback(plane, "0")  # the last one
        found = await plane.get(DEPLOYMENTS, "web")
        assert annotations(found) == {REVISION: "3", "note": "first"}
        assert found["spec"]["template"]["metadata"]["labels"] == {"app": "web"}
        assert images(await staying(plane)) == {"web:1"}
        assert await plane.events("DeploymentRollback") == ['Rolled back deployment "web" to revision 1']

        await ask_for_rollback(plane, "2")
        found = await plane.get(DEPLOYMENTS, "web")
        assert annotations(found) == {REVISION: "4", "note": "second", "more": "too"}
        assert images(await staying(plane)) == {"web:2"}

        await ask_for_rollback(plane, "4")
        await ask_for_rollback(plane, "17")
        assert annotations(await plane.get(DEPLOYMENTS, "web"))[REVISION] == "4"
        unchanged = 'The rollback revision contains the same template as current deployment "web"'
        assert await plane.events("DeploymentRollbackTemplateUnchanged") == [unchanged]
        missing = "Unable to find the revision to rollback to."
        assert await plane.events("DeploymentRollbackRevisionNotFound") == [missing]


@virtual_time
async def test_a_first_revision_has_nothing_to_roll_back_to() -> None:
    async with control_plane() as plane:
        await plane.create(DEPLOYMENTS, deployment(1))
        await plane.until(lambda: is_rolled_out(plane))
        await ask_for_rollback(plane, "0")
        assert await plane.events("DeploymentRollbackRevisionNotFound") == ["Unable to find last revision."]


@virtual_time
async def test_scaling_up_and_down() -> None:
    async with control_plane() as plane:
        await plane.create(DEPLOYMENTS, deployment(2))
        await plane.until(lambda: is_rolled_out(plane))
        for size in (7, 1, 0):
            found = deep_copy(await plane.get(DEPLOYMENTS, "web"))
            found["spec"]["replicas"] = size
            await plane.client.update(DEPLOYMENTS, found)
            await plane.until(lambda: is_rolled_out(plane))
            assert len(await staying(plane)) == size


@virtual_time
async def test_recreate_stops_all_old_pods_first() -> None:
    async with control_plane() as plane:
        await plane.create(DEPLOYMENTS, deployment(3, strategy={"type": "Recreate"}))
        await plane.until(lambda: is_rolled_out(plane))
        await set_image(plane, "web:2")
        mixed = []

        async def rolled_out() -> bool:
            mixed.append(len(images(await plane.pods("app=web"))))
            return await is_rolled_out(plane)

        await plane.until(rolled_out)
        assert max(mixed) == 1


@virtual_time
async def test_a_stuck_rollout_exceeds_its_deadline_and_keeps_the_old_pods() -> None:
    async with control_plane() as plane:
        await plane.create(DEPLOYMENTS, deployment(4, progressDeadlineSeconds=60))
        await plane.until(lambda: is_rolled_out(plane))
        await set_image(plane, "web:bad", **{NEVER_READY: "true"})

        async def timed_out() -> bool:
            found = await plane.get(DEPLOYMENTS, "web")
            condition = get_condition(found["status"]["conditions"], "Progressing")
            return condition is not None and condition["reason"] == "ProgressDeadlineExceeded"

        await plane.until(timed_out, seconds=90)
        found = await plane.get(DEPLOYMENTS, "web")
        assert found["status"]["availableReplicas"] == 3
        condition = get_condition(found["status"]["conditions"], "Progressing")
        assert condition is not None
        assert condition["message"].endswith("has timed out progressing.")


@virtual_time
async def test_a_paused_deployment_waits_and_then_rolls_out() -> None:
    async with control_plane() as plane:
        await plane.create(DEPLOYMENTS, deployment(2, paused=True))

        async def is_paused() -> bool:
            found = await plane.get(DEPLOYMENTS, "web")
            condition = get_condition((found.get("status") or {}).get("conditions"), "Progressing")
            return condition is not None and condition["reason"] == "DeploymentPaused"

        await plane.until(is_paused)
        assert await plane.pods("app=web") == []
        found = deep_copy(await plane.get(DEPLOYMENTS, "web"))
        del found["spec"]["paused"]
        await plane.client.update(DEPLOYMENTS, found)
        await plane.until(lambda: is_rolled_out(plane))


@virtual_time
async def test_history_is_cut_at_its_limit() -> None:
    async with control_plane() as plane:
        await plane.create(DEPLOYMENTS, deployment(1, revisionHistoryLimit=1))
        await plane.until(lambda: is_rolled_out(plane))
        for version in (2, 3, 4):
            await set_image(plane, f"web:{version}")
            await plane.until(lambda: is_rolled_out(plane))

        async def is_cut() -> bool:
            return len(await plane.items(REPLICA_SETS)) == 2

        await plane.until(is_cut)


@virtual_time
async def test_deleting_a_deployment_takes_its_replica_sets_and_pods_along() -> None:
    async with control_plane() as plane:
        await plane.create(DEPLOYMENTS, deployment(3))
        await plane.until(lambda: is_rolled_out(plane))
        await plane.client.delete(DEPLOYMENTS, "web", "default")

        async def is_empty() -> bool:
            return not await plane.pods() and not await plane.items(REPLICA_SETS)

        await plane.until(is_empty)


async def sizes(plane: ControlPlane) -> dict[str, int]:
    """Replicas by the image of the ReplicaSet's template."""
    sets = await plane.items(REPLICA_SETS)
    return {rs["spec"]["template"]["spec"]["containers"][0]["image"]: rs["spec"]["replicas"] for rs in sets}


@virtual_time
async def test_a_new_size_in_the_middle_of_a_rollout_is_shared_out_in_proportion() -> None:
    async with control_plane() as plane:
        limits = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
        await plane.create(DEPLOYMENTS, deployment(10, strategy=limits))
        await plane.until(lambda: is_rolled_out(plane))
        await set_image(plane, "web:bad", **{NEVER_READY: "true"})
        await asyncio.sleep(30)
        assert await sizes(plane) == {"web:1": 8, "web:bad": 5}
        found = deep_copy(await plane.get(DEPLOYMENTS, "web"))
        found["spec"]["replicas"] = 30
        await plane.client.update(DEPLOYMENTS, found)
        await asyncio.sleep(30)
        assert await sizes(plane) == {"web:1": 20, "web:bad": 13}


@virtual_time
async def test_a_rollout_that_is_overtaken_by_the_next_one_is_given_up() -> None:
    async with control_plane() as plane:
        limits = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        await plane.create(DEPLOYMENTS, deployment(2, minReadySeconds=10, strategy=limits))
        await plane.until(lambda: is_rolled_out(plane))
        await set_image(plane, "web:bad", **{NEVER_READY: "true"})
        await asyncio.sleep(5)
        assert (await sizes(plane))["web:bad"] == 1
        found = deep_copy(await plane.get(DEPLOYMENTS, "web"))
        found["spec"]["template"]["metadata"]["annotations"] = {}
        found["spec"]["template"]["spec"]["containers"][0]["image"] = "web:3"
        await plane.client.update(DEPLOYMENTS, found)
        await plane.until(lambda: is_rolled_out(plane))
        assert await sizes(plane) == {"web:1": 0, "web:bad": 0, "web:3": 2}


@virtual_time
async def test_a_matching_replica_set_is_adopted_and_one_that_matches_no_more_is_released() -> None:
    async with control_plane() as plane:
        labels = {"app": "web", "own": "hand"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "web:0"}]}}
        made = {"metadata": {"name": "hand", "labels": labels, "annotations": {REVISION: "41"}}}
        made["spec"] = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        await plane.create(REPLICA_SETS, made)
        await asyncio.sleep(5)
        await plane.create(DEPLOYMENTS, deployment(1))
        await plane.until(lambda: is_rolled_out(plane))
        await asyncio.sleep(5)
        adopted = await plane.get(REPLICA_SETS, "hand")
        assert adopted["metadata"]["ownerReferences"][0]["name"] == "web"
        assert adopted["spec"]["replicas"] == 0
        assert annotations(await plane.get(DEPLOYMENTS, "web"))[REVISION] == "42"
        patch = {"metadata": {"labels": {"app": "other"}}}
        await plane.client.patch(REPLICA_SETS, "hand", patch, "default")
        await asyncio.sleep(5)
        assert not (await plane.get(REPLICA_SETS, "hand"))["metadata"].get("ownerReferences")
