"""The pages of a simulated node's own metrics."""

import asyncio
from typing import Any

import pytest

from minikube_py.objects.errors import NotFound, Object
from tests.support.control_plane import PODS, ControlPlane, control_plane
from tests.support.fake_nodes import fake_nodes
from tests.support.prometheus import parse
from tests.support.virtual_time import virtual_time

PODS_OF_A = {"namespace": "default", "pod": "a"}


def pod() -> Object:
    resources = {"requests": {"cpu": "250m"}, "limits": {"cpu": "500m", "memory": "64Mi"}}
    side = {"name": "side", "image": "s:2"}
    return {
        "metadata": {
            "name": "a",
            "annotations": {"fake.mkube.io/cpu.main": "200m", "fake.mkube.io/memory.main": "32Mi"},
        },
        "spec": {"containers": [{"name": "main", "image": "m:1", "resources": resources}, side]},
    }


async def running(plane: ControlPlane) -> None:
    async def is_running() -> bool:
        found = (await plane.get(PODS, "a")).get("status") or {}
        return all("running" in s["state"] for s in found.get("containerStatuses") or [{"state": {}}])

    await plane.until(is_running)


@virtual_time
async def test_cadvisor_page() -> None:
    async with control_plane(nodes=0) as plane, fake_nodes(plane, 1) as nodes:
        await plane.create(PODS, pod())
        await running(plane)
        node: Any = nodes.find("fake-0")
        before = parse(await node.page("/metrics/cadvisor"))
        await asyncio.sleep(60)
        after = parse(await node.page("/metrics/cadvisor"))
        main = {**PODS_OF_A, "container": "main", "image": "m:1"}
        cpu = "container_cpu_usage_seconds_total"
        assert after.value(cpu, **main) - before.value(cpu, **main) == pytest.approx(12)  # 0.2 cores for a minute
        assert after.value(cpu, container="side") == 0
        assert after.value(cpu, id="/") == after.value(cpu, **main)
        assert after.value("container_memory_working_set_bytes", **main) == 32 * 2**20
        assert after.value("container_spec_memory_limit_bytes", **main) == 64 * 2**20
        assert after.value("container_spec_cpu_quota", **main) == 50_000
        assert after.value("container_spec_cpu_shares", **main) == 256
        assert after.values("container_spec_cpu_quota", container="side") == []
        (labels, _), *_ = after.samples["container_memory_rss"]
        uid = (await plane.get(PODS, "a"))["metadata"]["uid"]
        assert labels["id"].startswith(f"/kubepods/burstable/pod{uid}/")
        assert labels["name"]
        assert after.value("machine_cpu_cores") == 32


@virtual_time
async def test_resource_page() -> None:
    async with control_plane(nodes=0) as plane, fake_nodes(plane, 1) as nodes:
        await plane.create(PODS, pod())
        await running(plane)
        await asyncio.sleep(10)
        node: Any = nodes.find("fake-0")
        found = parse(await node.page("/metrics/resource"))
        seconds = found.value("container_cpu_usage_seconds_total", container="main", **PODS_OF_A)
        assert seconds == pytest.approx(2, abs=0.2)
        assert found.value("pod_cpu_usage_seconds_total", **PODS_OF_A) == pytest.approx(seconds)
        assert found.value("node_cpu_usage_seconds_total") == pytest.approx(seconds)
        assert found.value("pod_memory_working_set_bytes", **PODS_OF_A) == 32 * 2**20
        assert found.value("node_memory_working_set_bytes") == 32 * 2**20
        assert found.value("resource_scrape_error") == 0
        assert len(found.values("container_start_time_seconds", **PODS_OF_A)) == 2


@virtual_time
async def test_kubelet_page() -> None:
    async with control_plane(nodes=0) as plane, fake_nodes(plane, 1) as nodes:
        await plane.create(PODS, pod())
        await running(plane)
        node: Any = nodes.find("fake-0")
        found = parse(await node.page("/metrics"))
        assert found.value("kubelet_node_name", node="fake-0") == 1
        assert found.value("kubelet_running_pods") == 1
        assert found.value("kubelet_running_containers", container_state="running") == 2
        assert found.value("kubelet_started_pods_total") == 1
        assert found.value("kubelet_started_containers_total") == 2
        assert found.value("kubelet_pod_start_duration_seconds_count") == 1
        operations = "kubelet_runtime_operations_total"
        assert found.value(operations, operation_type="start_container") == 2
        assert found.value("kubelet_runtime_operations_errors_total", operation_type="start_container") == 0
        await plane.client.delete(PODS, "a", "default")
        await plane.until(lambda: _gone(plane))
        await asyncio.sleep(1)
        found = parse(await node.page("/metrics/"))
        assert found.value("kubelet_running_pods") == 0
        assert found.value(operations, operation_type="stop_container") == 2
        assert parse(await node.page("/metrics/probes")).types == {"prober_probe": "counter"}
        for path in ("/", "/metrics/other", "/configz"):
            with pytest.raises(NotFound):
                await node.page(path)


async def _gone(plane: ControlPlane) -> bool:
    return not await plane.exists(PODS, "a")
