"""HorizontalPodAutoscalers on simulated nodes whose pods use what their annotations say, on virtual time."""

import asyncio
from itertools import pairwise
from typing import Any

import orjson
import pytest

from minikube_py.apiserver.messages import HttpRequest, Reply
from minikube_py.client.protocol import WriteOptions
from minikube_py.objects.conditions import get_condition
from minikube_py.objects.errors import Invalid, Object
from minikube_py.objects.meta import deep_copy
from minikube_py.resources.kind import GVR
from tests.support.control_plane import PODS, ControlPlane, control_plane
from tests.support.fake_nodes import fake_nodes
from tests.support.virtual_time import virtual_time

DEPLOYMENTS = GVR("apps", "v1", "deployments")
AUTOSCALERS = GVR("autoscaling", "v2", "horizontalpodautoscalers")
AUTOSCALERS_V1 = GVR("autoscaling", "v1", "horizontalpodautoscalers")
DEFINITIONS = GVR("apiextensions.k8s.io", "v1", "customresourcedefinitions")
_STATUS = WriteOptions(subresource="status")


def deployment(replicas: int = 1, name: str = "web", *, requests: Any = None, **uses: str) -> Object:
    requests = {"cpu": "100m", "memory": "100Mi"} if requests is None else requests
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {
                    "labels": {"app": name},
                    "annotations": {f"fake.mkube.io/{key}": value for key, value in uses.items()},
                },
                "spec": {"containers": [{"name": "c", "image": "web:1", "resources": {"requests": requests}}]},
            },
        },
    }


def cpu(percent: int) -> Object:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def autoscaler(*metrics: Object, low: int = 1, high: int = 10, target: Object | None = None, **spec: Any) -> Object:
    return {
        "metadata": {"name": "web"},
        "spec": {
            "scaleTargetRef": target or {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": low,
            "maxReplicas": high,
            "metrics": list(metrics),
            **spec,
        },
    }


async def replicas(plane: ControlPlane, name: str = "web") -> int:
    return int((await plane.get(DEPLOYMENTS, name))["spec"]["replicas"])


async def until_replicas(plane: ControlPlane, wanted: int, seconds: float = 600) -> None:
    async def are_there() -> bool:
        return await replicas(plane) == wanted

    await plane.until(are_there, seconds)


async def use(plane: ControlPlane, **uses: str) -> None:
    """Change what every pod of the Deployment uses, those to come included."""
    notes = {f"fake.mkube.io/{key}": value for key, value in uses.items()}
    for pod in await plane.pods("app=web"):
        await plane.client.patch(PODS, pod["metadata"]["name"], {"metadata": {"annotations": notes}}, "default")


async def condition(plane: ControlPlane, type_: str) -> tuple[str, str]:
    found = get_condition((await plane.get(AUTOSCALERS, "web")).get("status", {}).get("conditions"), type_)
    return (found["status"], found["reason"]) if found else ("", "")


@virtual_time
async def test_cpu_load_adds_replicas_and_its_end_takes_them_away_after_the_window() -> None:
    async with control_plane(nodes=0) as plane, fake_nodes(plane):
        await plane.create(DEPLOYMENTS, deployment(1, cpu="200m"))
        await plane.create(AUTOSCALERS, autoscaler(cpu(50), high=6))
        await until_replicas(plane, 4)  # 200 % of 50 % asks for 4, and 4 may be added in one step
        await until_replicas(plane, 6)
        found = (await plane.get(AUTOSCALERS, "web"))["status"]
        assert found["desiredReplicas"] == 6
        assert await condition(plane, "AbleToScale") == ("True", "SucceededRescale")
        await asyncio.sleep(120)
        found = (await plane.get(AUTOSCALERS, "web"))["status"]
        assert found["currentReplicas"] == 6
        assert found["currentMetrics"][0]["resource"]["current"] == {"averageUtilization": 200, "averageValue": "200m"}
        assert await condition(plane, "ScalingActive") == ("True", "ValidMetricFound")
        assert await condition(plane, "ScalingLimited") == ("True", "TooManyReplicas")
        assert "New size: 6; reason: cpu resource utilization (percentage of request) above target" in (
            await plane.events("SuccessfulRescale")
        )
        await use(plane, cpu="10m")
        loop = asyncio.get_running_loop()
        began = loop.time()
        await until_replicas(plane, 2, 900)  # 10 % of 50 % of 6 replicas is 1.2
        assert 285 <= loop.time() - began <= 345  # five minutes since the last higher recommendation
        await until_replicas(plane, 1, 900)
        assert "New size: 1; reason: All metrics below target" in await plane.events("SuccessfulRescale")


@virtual_time
async def test_nothing_happens_within_the_tolerance_unless_the_autoscaler_has_a_narrower_one() -> None:
    async with control_plane(nodes=0) as plane, fake_nodes(plane):
        await plane.create(DEPLOYMENTS, deployment(10, cpu="54m"))
        made = await plane.create(AUTOSCALERS, autoscaler(cpu(50), high=20))
        await asyncio.sleep(400)
        assert await replicas(plane) == 10  # 8 % above the target
        changed = deep_copy(await plane.get(AUTOSCALERS, made["metadata"]["name"]))
        changed["spec"]["behavior"] = {"scaleUp": {"tolerance": "50m"}}
        await plane.client.update(AUTOSCALERS, changed)
        await until_replicas(plane, 11)


@virtual_time
async def test_memory_and_average_values() -> None:
    async with control_plane(nodes=0) as plane, fake_nodes(plane):
        await plane.create(DEPLOYMENTS, deployment(2, memory="150Mi", cpu="10m"))
        by_memory = {
            "type": "Resource",
            "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "100Mi"}},
        }
        await plane.create(AUTOSCALERS, autoscaler(by_memory, cpu(50)))
        await until_replicas(plane, 3)  # the highest proposal of all metrics
        await asyncio.sleep(60)
        metrics = (await plane.get(AUTOSCALERS, "web"))["status"]["currentMetrics"]
        assert metrics[0]["resource"]["current"] == {"averageValue": "157286400"}
        assert metrics[1]["resource"]["current"]["averageUtilization"] == 10


@virtual_time
async def test_the_use_of_one_container() -> None:
    async with control_plane(nodes=0) as plane, fake_nodes(plane):
        made = deployment(1, **{"cpu.c": "100m", "cpu.side": "1"})
        side = {"name": "side", "image": "s:1", "resources": {"requests": {"cpu": "1m"}}}
        made["spec"]["template"]["spec"]["containers"].append(side)
        await plane.create(DEPLOYMENTS, made)
        target = {"type": "Utilization", "averageUtilization": 50}
        by_container = {
            "type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c", "target": target},
        }  # fmt: skip
        await plane.create(AUTOSCALERS, autoscaler(by_container, high=3))
        await until_replicas(plane, 2)
        await asyncio.sleep(400)
        status = (await plane.get(AUTOSCALERS, "web"))["status"]
        assert status["currentMetrics"][0]["containerResource"]["name"] == "cpu"
        assert status["currentMetrics"][0]["containerResource"]["container"] == "c"


@virtual_time
async def test_policies_limit_the_pace() -> None:
    behavior = {
        "scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]},
        "scaleDown": {
            "stabilizationWindowSeconds": 0,
            "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}],
        },
    }
    async with control_plane(nodes=0) as plane, fake_nodes(plane):
        loop = asyncio.get_running_loop()
        await plane.create(DEPLOYMENTS, deployment(1, cpu="500m"))
        await plane.create(AUTOSCALERS, autoscaler(cpu(50), high=4, behavior=behavior))
        steps = []
        for wanted in (2, 3, 4):
            await until_replicas(plane, wanted)
            steps.append(loop.time())
            if wanted == 3:
                await asyncio.sleep(16)
                assert await condition(plane, "ScalingLimited") == ("True", "ScaleUpLimit")
        assert all(58 <= later - earlier <= 80 for earlier, later in pairwise(steps))
        await asyncio.sleep(65)  # until the last step up is out of the policy's sight
        await use(plane, cpu="0")
        await until_replicas(plane, 2)
        began = loop.time()
        await until_replicas(plane, 1)
        assert 58 <= loop.time() - began <= 80


@virtual_time
async def test_scaling_down_can_be_disabled() -> None:
    async with control_plane(nodes=0) as plane, fake_nodes(plane):
        await plane.create(DEPLOYMENTS, deployment(5, cpu="1m"))
        behavior = {"scaleDown": {"selectPolicy": "Disabled"}}
        await plane.create(AUTOSCALERS, autoscaler(cpu(50), behavior=behavior))
        await asyncio.sleep(1000)
        assert await replicas(plane) == 5


@virtual_time
async def test_bounds_are_kept_without_any_metric() -> None:
    async with control_plane(nodes=0) as plane, fake_nodes(plane):
        await plane.create(DEPLOYMENTS, deployment(1, requests={}))
        await plane.create(AUTOSCALERS, autoscaler(cpu(50), low=3, high=5))
        await until_replicas(plane, 3)
        assert "New size: 3; reason: Current number of replicas below Spec.MinReplicas" in (
            await plane.events("SuccessfulRescale")
        )
        await plane.client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 9}}, "default")
        await until_replicas(plane, 5)
        await asyncio.sleep(40)
        assert await condition(plane, "ScalingActive") == ("False", "FailedGetResourceMetric")
        (event, *_) = await plane.events("FailedGetResourceMetric")
        assert "failed to get cpu utilization: missing request for cpu in container c of Pod web-" in event
        (event, *_) = await plane.events("FailedComputeMetricsReplicas")
        assert event.startswith("invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource")


@virtual_time
async def test_a_target_of_no_replicas_is_left_alone() -> None:
    async with control_plane(nodes=0) as plane, fake_nodes(plane):
        await plane.create(DEPLOYMENTS, deployment(0, cpu="500m"))
        await plane.create(AUTOSCALERS, autoscaler(cpu(50), low=2))
        await asyncio.sleep(60)
        assert await replicas(plane) == 0
        assert await condition(plane, "ScalingActive") == ("False", "ScalingDisabled")


class Queue:
    """Stands for an aggregated server of external.metrics.k8s.io: it knows the length of a queue."""

    def __init__(self) -> None:
        self.length = 0

    def of_path(self, path: str) -> str | None:
        return path if path.startswith("/apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue") else None

    async def forward(self, _api: Any, _request: HttpRequest) -> Reply:
        items = [{"metricName": "queue", "timestamp": "2026-01-01T00:00:00Z", "value": str(self.length)}]
        return Reply(orjson.dumps({"kind": "ExternalMetricValueList", "items": items}))


def by_queue(target: int) -> Object:
    return {
        "type": "External",
        "external": {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": str(target)}},
    }


@virtual_time
async def test_an_external_metric_puts_a_target_to_sleep_and_wakes_it() -> None:
    async with control_plane(nodes=0) as plane, fake_nodes(plane):
        plane.cluster.api.pipeline.aggregated = queue = Queue()  # type: ignore[assignment]
        await plane.create(DEPLOYMENTS, deployment(2))
        await plane.create(AUTOSCALERS, autoscaler(by_queue(10), cpu(50), low=0))
        await until_replicas(plane, 0)
        await asyncio.sleep(1)
        assert await condition(plane, "ScaledToZero") == ("True", "ScaledToZero")
        await asyncio.sleep(100)
        assert await replicas(plane) == 0
        assert await condition(plane, "ScalingActive") == ("True", "ValidMetricFound")
        queue.length = 35
        await until_replicas(plane, 4)
        await asyncio.sleep(1)
        assert await condition(plane, "ScaledToZero") == ("False", "NotScaledToZero")
        # Whoever scales to zero by hand means it.
        await plane.client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 0}}, "default")
        await asyncio.sleep(100)
        assert await replicas(plane) == 0
        assert await condition(plane, "ScalingActive") == ("False", "ScalingDisabled")


@virtual_time
async def test_zero_replicas_need_a_metric_that_exists_without_pods() -> None:
    async with control_plane(nodes=0) as plane:
        with pytest.raises(Invalid, match="must specify at least one Object or External metric"):
            await plane.create(AUTOSCALERS, autoscaler(cpu(50), low=0))


@virtual_time
async def test_a_missing_target_and_missing_apis_are_told() -> None:
    async with control_plane(nodes=0) as plane, fake_nodes(plane):
        nowhere = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"}
        await plane.create(AUTOSCALERS, autoscaler(cpu(50), target=nowhere))
        await asyncio.sleep(1)
        assert await condition(plane, "AbleToScale") == ("False", "FailedGetScale")
        await plane.client.delete(AUTOSCALERS, "web", "default")
        await plane.create(DEPLOYMENTS, deployment(1))
        by_pods = {
            "type": "Pods",
            "pods": {"metric": {"name": "qps"}, "target": {"type": "AverageValue", "averageValue": "10"}},
        }
        outside = {
            "type": "External",
            "external": {"metric": {"name": "queue"}, "target": {"type": "Value", "value": "10"}},
        }
        await plane.create(AUTOSCALERS, autoscaler(by_pods, outside))
        await asyncio.sleep(20)
        assert await condition(plane, "ScalingActive") == ("False", "FailedGetPodsMetric")
        (event,) = await plane.events("FailedGetPodsMetric")
        assert "no custom metrics API (custom.metrics.k8s.io) registered" in event
        (event,) = await plane.events("FailedGetExternalMetric")
        assert "unable to get external metric default/queue/nil" in event


@virtual_time
async def test_two_autoscalers_of_the_same_pods_do_nothing() -> None:
    async with control_plane(nodes=0) as plane, fake_nodes(plane):
        await plane.create(DEPLOYMENTS, deployment(1, cpu="500m"))
        second = autoscaler(cpu(50))
        second["metadata"]["name"] = "other"
        await asyncio.gather(plane.create(AUTOSCALERS, autoscaler(cpu(50))), plane.create(AUTOSCALERS, second))
        await asyncio.sleep(40)
        assert await condition(plane, "ScalingActive") == ("False", "AmbiguousSelector")
        (text, *_) = await plane.events("AmbiguousSelector")
        assert text == "pods by selector app=web are controlled by multiple HPAs: [default/other default/web]"


@virtual_time
async def test_v1_autoscalers_scale_and_show_their_percentage() -> None:
    async with control_plane(nodes=0) as plane, fake_nodes(plane):
        await plane.create(DEPLOYMENTS, deployment(1, cpu="100m"))
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
        spec = {"scaleTargetRef": target, "maxReplicas": 2, "targetCPUUtilizationPercentage": 50}
        await plane.create(AUTOSCALERS_V1, {"metadata": {"name": "web"}, "spec": spec})
        await until_replicas(plane, 2)
        await asyncio.sleep(60)
        found = await plane.get(AUTOSCALERS_V1, "web")
        assert found["status"]["currentCPUUtilizationPercentage"] == 100
        assert "ValidMetricFound" in found["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/conditions"]


@virtual_time
async def test_a_custom_kind_with_a_scale_is_scaled() -> None:
    names = {"plural": "robots", "singular": "robot", "kind": "Robot", "listKind": "RobotList"}
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    scale = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    version = {
        "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}, "scale": scale},
    }  # fmt: skip
    definition = {
        "metadata": {"name": "robots.acme.io"},
        "spec": {"group": "acme.io", "scope": "Namespaced", "names": names, "versions": [version]},
    }
    robots = GVR("acme.io", "v1", "robots")
    async with control_plane(nodes=0) as plane, fake_nodes(plane):
        await plane.client.create(DEFINITIONS, definition)
        await asyncio.sleep(1)
        body = {"apiVersion": "acme.io/v1", "kind": "Robot", "metadata": {"name": "r"}, "spec": {"replicas": 1}}
        await plane.create(robots, body)
        await plane.client.patch(
            robots, "r", {"status": {"replicas": 1, "selector": "app=web"}}, "default", options=_STATUS
        )
        await plane.create(DEPLOYMENTS, deployment(1, cpu="100m"))  # somebody else makes the robot's pods
        target = {"apiVersion": "acme.io/v1", "kind": "Robot", "name": "r"}
        await plane.create(AUTOSCALERS, autoscaler(cpu(50), target=target))

        async def is_scaled() -> bool:
            return (await plane.get(robots, "r"))["spec"]["replicas"] == 2

        await plane.until(is_scaled, 600)


@virtual_time
async def test_without_an_autoscaler_nobody_asks_for_statistics() -> None:
    async with control_plane(nodes=0) as plane, fake_nodes(plane, 1) as nodes:
        await plane.create(DEPLOYMENTS, deployment(1, cpu="500m"))
        await plane.until(lambda: plane.exists(GVR("", "v1", "nodes"), "fake-0", ""))
        asked = 0
        connection: Any = nodes.find("fake-0")

        class Counted:
            async def stats(self) -> Any:
                nonlocal asked
                asked += 1
                return await connection.stats()

        with plane.connected.connected("fake-0", Counted()):  # type: ignore[arg-type]
            await asyncio.sleep(600)
            assert asked == 0
            await plane.create(AUTOSCALERS, autoscaler(cpu(50)))
            await asyncio.sleep(60)
            assert 4 <= asked <= 6
            await plane.client.delete(AUTOSCALERS, "web", "default")
            await asyncio.sleep(16)
            before = asked
            await asyncio.sleep(600)
            assert asked == before
