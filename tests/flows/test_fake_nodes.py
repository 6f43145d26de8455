"""Simulated nodes under the real server, controllers and scheduler."""

import asyncio

from minikube_py.client.protocol import PatchType, WriteOptions
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import GVR
from tests.support.control_plane import PODS, ControlPlane, control_plane
from tests.support.fake_nodes import fake_nodes
from tests.support.virtual_time import virtual_time

DEPLOYMENTS = GVR("apps", "v1", "deployments")
JOBS = GVR("batch", "v1", "jobs")
NODES = GVR("", "v1", "nodes")


def deployment(replicas: int = 3, annotations: dict[str, str] | None = None) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}, "annotations": annotations or {}},
                "spec": {"containers": [{"name": "c", "image": "web:1"}]},
            },
        },
    }


async def patch_pod(plane: ControlPlane, subresource: str, spec: Object) -> None:
    options = WriteOptions(subresource=subresource)
    await plane.client.patch(PODS, "web", {"spec": spec}, "default", patch_type=PatchType.STRATEGIC, options=options)


async def available(plane: ControlPlane) -> int:
    return int(((await plane.get(DEPLOYMENTS, "web")).get("status") or {}).get("availableReplicas", 0))


@virtual_time
async def test_deployment_becomes_ready_on_simulated_nodes() -> None:
    async with control_plane(nodes=0) as plane, fake_nodes(plane):
        await plane.create(DEPLOYMENTS, deployment())

        async def is_available() -> bool:
            return await available(plane) == 3

        await plane.until(is_available, 20)
        pods = await plane.pods("app=web")
        assert {pod["spec"]["nodeName"] for pod in pods} == {"fake-0", "fake-1"}
        assert len({pod["status"]["podIP"] for pod in pods}) == 3
        await plane.client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 1}}, "default")

        async def is_small() -> bool:
            return len(await plane.pods("app=web")) == 1

        await plane.until(is_small, 20)


@virtual_time
async def test_crashing_deployment_never_becomes_available() -> None:
    script = {"fake.mkube.io/run-seconds": "1", "fake.mkube.io/exit-code": "1"}
    async with control_plane(nodes=0) as plane, fake_nodes(plane):
        await plane.create(DEPLOYMENTS, deployment(1, script))

        async def is_in_back_off() -> bool:
            states = [s for pod in await plane.pods() for s in pod["status"].get("containerStatuses", ())]
            return any((s["state"].get("waiting") or {}).get("reason") == "CrashLoopBackOff" for s in states)

        await plane.until(is_in_back_off, 30)
        await asyncio.sleep(120)
        pod = (await plane.pods())[0]
        assert pod["status"]["containerStatuses"][0]["restartCount"] >= 4


@virtual_time
async def test_a_job_completes() -> None:
    notes = {"fake.mkube.io/run-seconds": "3"}
    template = {
        "metadata": {"annotations": notes},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "work:1"}]},
    }
    async with control_plane(nodes=0) as plane, fake_nodes(plane):
        spec = {"completions": 4, "parallelism": 2, "template": template}
        await plane.create(JOBS, {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": spec})

        async def is_complete() -> bool:
            conditions = ((await plane.get(JOBS, "j")).get("status") or {}).get("conditions") or ()
            return any(c["type"] == "Complete" and c["status"] == "True" for c in conditions)

        await plane.until(is_complete, 60)
        assert [pod["status"]["phase"] for pod in await plane.pods()] == ["Succeeded"] * 4


@virtual_time
async def test_a_pod_is_debugged_and_resized_while_it_runs() -> None:
    async with control_plane(nodes=0) as plane, fake_nodes(plane):
        container = {"name": "c", "image": "web:1", "resources": {"requests": {"cpu": "1"}}}
        await plane.create(PODS, {"metadata": {"name": "web"}, "spec": {"containers": [container]}})
        await asyncio.sleep(5)
        debugger = {"name": "debug", "image": "tools:1", "targetContainerName": "c"}
        await patch_pod(plane, "ephemeralcontainers", {"ephemeralContainers": [debugger]})
        await patch_pod(plane, "resize", {"containers": [{"name": "c", "resources": {"requests": {"cpu": "2"}}}]})
        await asyncio.sleep(5)
        status = (await plane.get(PODS, "web"))["status"]
        assert "running" in status["ephemeralContainerStatuses"][0]["state"]
        assert status["containerStatuses"][0]["resources"] == {"requests": {"cpu": "2"}}
        assert status["containerStatuses"][0]["restartCount"] == 0
        assert status["observedGeneration"] == 3
        await patch_pod(plane, "resize", {"containers": [{"name": "c", "resources": {"requests": {"cpu": "99"}}}]})
        await asyncio.sleep(5)
        status = (await plane.get(PODS, "web"))["status"]
        pending = next(c for c in status["conditions"] if c["type"] == "PodResizePending")
        assert pending["reason"] == "Infeasible"
        assert status["containerStatuses"][0]["allocatedResources"] == {"cpu": "2"}


@virtual_time
async def test_nodes_stay_ready_for_hours() -> None:
    async with control_plane(nodes=0) as plane, fake_nodes(plane, 3):
        await asyncio.sleep(2 * 3600)
        nodes = await plane.items(NODES, "")
        assert len(nodes) == 3
        for node in nodes:
            ready = [c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready"]
            assert ready == ["True"]
            assert not node["spec"].get("taints")


@virtual_time
async def test_pods_by_the_hundred() -> None:
    async with control_plane(nodes=0) as plane, fake_nodes(plane, 10):
        await plane.create(DEPLOYMENTS, deployment(500))

        async def is_available() -> bool:
            return await available(plane) == 500

        await plane.until(is_available, 120)
        statuses = [pod["status"]["phase"] for pod in await plane.items(PODS)]
        assert statuses == ["Running"] * 500
