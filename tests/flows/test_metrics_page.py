"""/metrics of the whole control plane: Kubernetes' names, true numbers, for those who may read them."""

import asyncio

import pytest

from minikube_py.objects.errors import Forbidden, NotFound, Object
from minikube_py.resources.kind import GVR
from tests.support.control_plane import PODS, ControlPlane, control_plane
from tests.support.prometheus import Metrics, parse
from tests.support.virtual_time import virtual_time

DEPLOYMENTS = GVR("apps", "v1", "deployments")


async def read(plane: ControlPlane) -> Metrics:
    return parse(await plane.client.raw("GET", "/metrics"))


def pod(name: str, **spec: object) -> Object:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i:1"}], **spec}}


@virtual_time
async def test_requests_are_counted_by_what_they_were() -> None:
    async with control_plane(nodes=0) as plane:
        raw = plane.client.raw
        before = await read(plane)
        for _ in range(3):
            await raw("GET", "/api/v1/namespaces/default/pods")
        await raw("GET", "/api/v1/nodes")
        await raw("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "a"}})
        with pytest.raises(NotFound):
            await raw("GET", "/api/v1/namespaces/default/pods/none")
        await raw("GET", "/version")
        after = await read(plane)

        def grown(**labels: str) -> float:
            name = "apiserver_request_total"
            return after.total(name, **labels) - before.total(name, **labels)

        assert grown(verb="LIST", resource="pods", scope="namespace", code="200", version="v1", group="") == 3
        assert grown(verb="LIST", resource="nodes", scope="cluster", code="200") == 1
        assert grown(verb="POST", resource="configmaps", code="201") == 1
        assert grown(verb="GET", resource="pods", scope="resource", code="404") == 1
        assert grown(verb="GET", resource="", code="200") == 2  # /version, and /metrics before
        seconds = "apiserver_request_duration_seconds_count"
        assert after.total(seconds, resource="pods", verb="LIST") == 3
        assert after.total("apiserver_request_sli_duration_seconds_count", resource="pods", verb="LIST") == 3
        assert after.value("apiserver_current_inflight_requests", request_kind="readOnly") == 1  # this one
        assert after.value("apiserver_current_inflight_requests", request_kind="mutating") == 0
        assert after.value("apiserver_storage_objects", resource="configmaps") >= 1
        calls = "rest_client_requests_total"
        with pytest.raises(NotFound):
            await plane.client.get(PODS, "none", "default")
        await plane.create(PODS, pod("one"))
        later = await read(plane)
        assert later.value(calls, method="GET", code="404") - after.total(calls, method="GET", code="404") == 1
        assert later.value(calls, method="POST", code="201") - after.total(calls, method="POST", code="201") >= 1
        assert after.value("apiserver_resource_objects", group="apps", resource="deployments") == 0
        assert after.value("kubernetes_build_info", major="1", minor="37") == 1
        assert after.value("process_resident_memory_bytes") > 1e6


@virtual_time
async def test_no_client_can_make_the_page_grow() -> None:
    async with control_plane(nodes=0) as plane:
        for number in range(50):
            for path in (
                f"/apis/g{number}.io/v1/things",
                f"/api/v1/no{number}",
                f"/api/v1/pods/x/sub{number}",
                f"/no{number}",
            ):
                with pytest.raises(NotFound):
                    await plane.client.raw("GET", path)
            await plane.client.raw("GET", "/version", {"m": number})
        found = await read(plane)
        assert len(found.values("apiserver_request_total", code="404")) <= 2
        assert found.total("apiserver_request_total", code="404") == 200


@virtual_time
async def test_controllers_and_scheduler_are_counted() -> None:
    async with control_plane(nodes=1) as plane:
        await plane.create(PODS, pod("fits"))
        await plane.create(PODS, pod("too-big", nodeSelector={"no": "such"}))
        await asyncio.sleep(5)
        found = await read(plane)
        attempts = "scheduler_schedule_attempts_total"
        assert found.value(attempts, result="scheduled", profile="default-scheduler") == 1
        assert found.value(attempts, result="unschedulable") >= 1
        assert found.value("scheduler_pending_pods", queue="unschedulable") == 1
        assert found.value("scheduler_pod_scheduling_sli_duration_seconds_count") == 1
        duration = "scheduler_scheduling_attempt_duration_seconds_count"
        assert found.value(duration, result="scheduled") == 1
        assert found.value("workqueue_adds_total", name="endpointslice") >= 0
        assert found.value("workqueue_depth", name="deployment") == 0
        before = found.value("workqueue_adds_total", name="deployment")
        body = {
            "metadata": {"name": "web"},
            "spec": {
                "selector": {"matchLabels": {"a": "b"}},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod("x")["spec"]},
            },
        }
        await plane.create(DEPLOYMENTS, body)
        await asyncio.sleep(5)
        found = await read(plane)
        assert found.value("workqueue_adds_total", name="deployment") > before
        waited, worked = "workqueue_queue_duration_seconds_count", "workqueue_work_duration_seconds_count"
        assert found.value(waited, name="deployment") == found.value(worked, name="deployment") > 0
        assert found.value("workqueue_unfinished_work_seconds", name="deployment") == 0


@virtual_time
async def test_only_the_permitted_read_it() -> None:
    async with control_plane(nodes=0) as plane:
        monitor = plane.cluster.client("prometheus", ("system:monitoring", "system:authenticated"))
        assert "apiserver_request_total" in await monitor.raw("GET", "/metrics")
        checks = parse(await monitor.raw("GET", "/metrics/slis"))
        assert checks.value("kubernetes_healthcheck", name="ping", type="livez") == 1
        stranger = plane.cluster.client("stranger", ("system:authenticated",))
        for path in ("/metrics", "/metrics/slis"):
            with pytest.raises(Forbidden):
                await stranger.raw("GET", path)
        plane.denials.clear()
