"""DaemonSets: a pod for every node that qualifies, updates in turn, taints and labels."""

import asyncio

from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy
from minikube_py.resources.kind import GVR
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.node_stub import NEVER_READY
from tests.support.virtual_time import virtual_time

DAEMON_SETS, NODES = GVR("apps", "v1", "daemonsets"), GVR("", "v1", "nodes")
REVISIONS = GVR("apps", "v1", "controllerrevisions")


def daemon_set(**pod_spec: object) -> Object:
    return {
        "metadata": {"name": "agent"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "template": {
                "metadata": {"labels": {"app": "agent"}},
                "spec": {"containers": [{"name": "c", "image": "agent:1"}], **pod_spec},
            },
        },
    }


async def nodes_with_pods(plane: ControlPlane) -> list[str]:
    pods = [p for p in await plane.pods("app=agent") if not p["metadata"].get("deletionTimestamp")]
    return sorted(pod["spec"].get("nodeName", "") for pod in pods)


async def is_settled(plane: ControlPlane) -> bool:
    found = await plane.get(DAEMON_SETS, "agent")
    status = found.get("status") or {}
    desired = status.get("desiredNumberScheduled", 0)
    return bool(
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status.get("updatedNumberScheduled", 0) == status.get("numberAvailable", 0) == desired > 0
    )


@virtual_time
async def test_every_node_gets_a_pod_also_later_ones() -> None:
    async with control_plane() as plane:
        await plane.create(DAEMON_SETS, daemon_set())
        await plane.until(lambda: is_settled(plane))
        assert await nodes_with_pods(plane) == ["node-0", "node-1", "node-2"]
        await plane.nodes.add_node("node-3")
        await asyncio.sleep(5)
        assert await nodes_with_pods(plane) == ["node-0", "node-1", "node-2", "node-3"]
        assert (await plane.get(DAEMON_SETS, "agent"))["status"]["numberReady"] == 4


@virtual_time
async def test_labels_and_taints_choose_the_nodes() -> None:
    async with control_plane() as plane:
        await plane.client.patch(NODES, "node-1", {"metadata": {"labels": {"disk": "ssd"}}})
        await plane.create(DAEMON_SETS, daemon_set(nodeSelector={"disk": "ssd"}))
        await plane.until(lambda: is_settled(plane))
        assert await nodes_with_pods(plane) == ["node-1"]
        await plane.client.patch(NODES, "node-2", {"metadata": {"labels": {"disk": "ssd"}}})
        await asyncio.sleep(5)
        assert await nodes_with_pods(plane) == ["node-1", "node-2"]
        taint = [{"key": "gone", "effect": "NoExecute"}]
        await plane.client.patch(NODES, "node-2", {"spec": {"taints": taint}})
        await plane.client.patch(NODES, "node-1", {"spec": {"unschedulable": True}})
        await asyncio.sleep(5)
        assert await nodes_with_pods(plane) == ["node-1"]


@virtual_time
async def test_a_rolling_update_takes_one_node_after_the_other() -> None:
    async with control_plane() as plane:
        await plane.create(DAEMON_SETS, daemon_set())
        await plane.until(lambda: is_settled(plane))
        found = deep_copy(await plane.get(DAEMON_SETS, "agent"))
        found["spec"]["template"]["spec"]["containers"][0]["image"] = "agent:2"
        await plane.client.update(DAEMON_SETS, found)
        fewest = 3

        async def settled() -> bool:
            nonlocal fewest
            pods = await plane.pods("app=agent")
            ready = [
                p
                for p in pods
                if any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"].get("conditions") or ())
            ]
            fewest = min(fewest, len(ready))
            return await is_settled(plane)

        await plane.until(settled)
        assert fewest == 2
        assert {p["spec"]["containers"][0]["image"] for p in await plane.pods("app=agent")} == {"agent:2"}
        assert sorted(r["revision"] for r in await plane.items(REVISIONS)) == [1, 2]


@virtual_time
async def test_a_surging_update_never_leaves_a_node_without_a_pod() -> None:
    async with control_plane() as plane:
        made = daemon_set()
        made["spec"]["updateStrategy"] = {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
        }
        await plane.create(DAEMON_SETS, made)
        await plane.until(lambda: is_settled(plane))
        found = deep_copy(await plane.get(DAEMON_SETS, "agent"))
        found["spec"]["template"]["spec"]["containers"][0]["image"] = "agent:2"
        await plane.client.update(DAEMON_SETS, found)
        covered = []

        async def settled() -> bool:
            covered.append(len(set(await nodes_with_pods(plane)) - {""}))
            images = {p["spec"]["containers"][0]["image"] for p in await plane.pods("app=agent")}
            return images == {"agent:2"} and await is_settled(plane)

        await plane.until(settled)
        assert min(covered) == 3


@virtual_time
async def test_failed_pods_are_replaced() -> None:
    async with control_plane(nodes=1) as plane:
        made = daemon_set()
        made["spec"]["template"]["metadata"]["annotations"] = {
            "fake.mkube.io/run-seconds": "5", "fake.mkube.io/exit-code": "1",
        }  # fmt: skip
        await plane.create(DAEMON_SETS, made)
        await asyncio.sleep(60)
        failures = await plane.events("FailedDaemonPod")
        assert failures
        assert failures[0].startswith("Found failed daemon pod default/agent-")
        assert len(await nodes_with_pods(plane)) == 1


@virtual_time
async def test_a_second_revision_of_the_same_template_restarts_nothing() -> None:
    async with control_plane() as plane:
        await plane.create(DAEMON_SETS, daemon_set())
        await plane.until(lambda: is_settled(plane))
        before = {p["metadata"]["uid"] for p in await plane.pods("app=agent")}
        (first,) = await plane.items(REVISIONS)
        metadata = {**first["metadata"], "name": "agent-by-hand"}
        metadata["labels"] = {**metadata["labels"], "controller-revision-hash": "by-hand"}
        metadata = {k: metadata[k] for k in ("name", "labels", "ownerReferences")}
        await plane.create(REVISIONS, {"metadata": metadata, "data": first["data"], "revision": 2})
        await asyncio.sleep(5)
        assert len(await plane.items(REVISIONS)) == 2
        assert {p["metadata"]["uid"] for p in await plane.pods("app=agent")} == before
        await plane.client.delete(REVISIONS, first["metadata"]["name"], "default")
        await asyncio.sleep(10)
        found = deep_copy(await plane.get(DAEMON_SETS, "agent"))
        found["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 1
        await plane.client.update(DAEMON_SETS, found)
        await plane.until(lambda: is_settled(plane))
        await plane.client.delete(REVISIONS, "agent-by-hand", "default")
        await asyncio.sleep(2)
        assert [r["revision"] for r in await plane.items(REVISIONS)] == [3]


@virtual_time
async def test_on_delete_waits_until_somebody_deletes_the_pod() -> None:
    async with control_plane() as plane:
        made = daemon_set()
        made["spec"]["updateStrategy"] = {"type": "OnDelete"}
        await plane.create(DAEMON_SETS, made)
        await plane.until(lambda: is_settled(plane))
        before = {p["metadata"]["uid"]: p["metadata"]["name"] for p in await plane.pods("app=agent")}
        found = deep_copy(await plane.get(DAEMON_SETS, "agent"))
        found["spec"]["template"]["spec"]["containers"][0]["image"] = "agent:2"
        await plane.client.update(DAEMON_SETS, found)
        await asyncio.sleep(30)
        assert {p["metadata"]["uid"] for p in await plane.pods("app=agent")} == set(before)
        assert (await plane.get(DAEMON_SETS, "agent"))["status"].get("updatedNumberScheduled", 0) == 0
        await plane.client.delete(GVR("", "v1", "pods"), next(iter(before.values())), "default")
        await asyncio.sleep(10)
        images = sorted(p["spec"]["containers"][0]["image"] for p in await plane.pods("app=agent"))
        assert images == ["agent:1", "agent:1", "agent:2"]


@virtual_time
async def test_a_rollback_leaves_pods_that_were_not_updated_alone() -> None:
    async with control_plane() as plane:
        await plane.create(DAEMON_SETS, daemon_set())
        await plane.until(lambda: is_settled(plane))
        before = {p["metadata"]["uid"] for p in await plane.pods("app=agent")}
        found = deep_copy(await plane.get(DAEMON_SETS, "agent"))
        template = deep_copy(found["spec"]["template"])
        found["spec"]["template"]["spec"]["containers"][0]["image"] = "agent:bad"
        found["spec"]["template"]["metadata"]["annotations"] = {NEVER_READY: "true"}
        await plane.client.update(DAEMON_SETS, found)
        await asyncio.sleep(30)
        kept = before & {p["metadata"]["uid"] for p in await plane.pods("app=agent")}
        assert len(kept) == 2
        found = deep_copy(await plane.get(DAEMON_SETS, "agent"))
        found["spec"]["template"] = template
        await plane.client.update(DAEMON_SETS, found)
        await plane.until(lambda: is_settled(plane))
        assert kept < {p["metadata"]["uid"] for p in await plane.pods("app=agent")}
        assert sorted(r["revision"] for r in await plane.items(REVISIONS)) == [2, 3]
