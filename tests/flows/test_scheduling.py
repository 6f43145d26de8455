"""Scheduling through the real server: reasons, waking, priorities and preemption, gates, volumes, budgets."""

import asyncio
from typing import Any

from minikube_py.objects.conditions import get_condition
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import GVR
from minikube_py.scheduler.configuration.reading import read_configuration
from tests.flows.test_deployments import DEPLOYMENTS, deployment, is_rolled_out
from tests.support.control_plane import EVENTS, ControlPlane, control_plane
from tests.support.virtual_time import virtual_time

PODS, NODES = GVR("", "v1", "pods"), GVR("", "v1", "nodes")
CLASSES = GVR("scheduling.k8s.io", "v1", "priorityclasses")
VOLUMES, CLAIMS = GVR("", "v1", "persistentvolumes"), GVR("", "v1", "persistentvolumeclaims")
STORAGE_CLASSES, BUDGETS = GVR("storage.k8s.io", "v1", "storageclasses"), GVR("policy", "v1", "poddisruptionbudgets")


def pod(name: str, cpu: str = "", **spec: Any) -> Object:
    container: Object = {"name": "c", "image": "x:1"}
    if cpu:
        container["resources"] = {"requests": {"cpu": cpu}}
    return {"metadata": {"name": name, "labels": {"app": name}}, "spec": {"containers": [container], **spec}}


async def node_of(plane: ControlPlane, name: str) -> str:
    return str((await plane.get(PODS, name))["spec"].get("nodeName", ""))


async def verdict(plane: ControlPlane, name: str) -> Object:
    condition = get_condition((await plane.get(PODS, name))["status"].get("conditions"), "PodScheduled")
    assert condition is not None
    return condition


@virtual_time
async def test_a_pod_that_fits_nowhere_says_why_and_starts_when_it_fits() -> None:
    async with control_plane(nodes=2) as plane:
        await plane.nodes.add_node("tainted", spec={"taints": [{"key": "gpu", "value": "a", "effect": "NoSchedule"}]})
        await asyncio.sleep(2)  # the not-ready taint that every new node has is gone
        await plane.create(PODS, pod("big", cpu="40"))
        await asyncio.sleep(1)
        expected = (
            "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. preemption: 0/3 "
            "nodes are available: 3 Preemption is not helpful for scheduling."
        )
        condition = await verdict(plane, "big")
        assert (condition["status"], condition["reason"], condition["message"]) == ("False", "Unschedulable", expected)
        assert await plane.events("FailedScheduling") == [expected]
        await plane.nodes.add_node("large", cpu="64")
        await asyncio.sleep(3)
        assert await node_of(plane, "big") == "large"
        assert (await verdict(plane, "big"))["status"] == "True"


@virtual_time
async def test_without_nodes() -> None:
    async with control_plane(nodes=0) as plane:
        await plane.create(PODS, pod("lonely"))
        await asyncio.sleep(1)
        assert (await verdict(plane, "lonely"))["message"] == "no nodes available to schedule pods"


@virtual_time
async def test_a_pod_waits_for_room_and_takes_it() -> None:
    async with control_plane(nodes=1) as plane:
        await plane.create(PODS, pod("first", cpu="30"))
        await plane.create(PODS, pod("second", cpu="30"))
        await asyncio.sleep(5)
        assert await node_of(plane, "first")
        assert not await node_of(plane, "second")
        assert "1 Insufficient cpu" in (await verdict(plane, "second"))["message"]
        assert "1 No preemption victims found for incoming pod" in (await verdict(plane, "second"))["message"]
        await plane.client.delete(PODS, "first", "default")
        await asyncio.sleep(12)
        assert await node_of(plane, "second")


@virtual_time
async def test_a_more_important_pod_evicts_a_less_important_one() -> None:
    async with control_plane(nodes=1) as plane:
        urgent = {"metadata": {"name": "urgent"}, "value": 1000}
        await plane.create(CLASSES, urgent, "")
        await plane.create(PODS, pod("small", cpu="30"))
        await asyncio.sleep(3)
        await plane.create(PODS, pod("urgent", cpu="30", priorityClassName="urgent"))
        await asyncio.sleep(0.3)
        victim = await plane.get(PODS, "small")
        target = get_condition(victim["status"]["conditions"], "DisruptionTarget")
        assert target is not None
        assert target["reason"] == "PreemptionByScheduler"
        assert (await plane.get(PODS, "urgent"))["status"]["nominatedNodeName"] == "node-0"
        await asyncio.sleep(12)
        assert await node_of(plane, "urgent") == "node-0"
        assert not await plane.exists(PODS, "small")
        (message,) = await plane.events("Preempted")
        assert message.endswith("on node node-0")


@virtual_time
async def test_gated_pods_wait_for_their_gates() -> None:
    async with control_plane(nodes=1) as plane:
        await plane.create(PODS, pod("gated", schedulingGates=[{"name": "example.com/quota"}]))
        await asyncio.sleep(5)
        assert not await node_of(plane, "gated")
        await plane.client.patch(PODS, "gated", {"spec": {"schedulingGates": None}}, "default")
        await asyncio.sleep(2)
        assert await node_of(plane, "gated")


@virtual_time
async def test_other_schedulers_pods_are_left_alone() -> None:
    async with control_plane(nodes=1) as plane:
        await plane.create(PODS, pod("foreign", schedulerName="mine"))
        await asyncio.sleep(5)
        assert not await node_of(plane, "foreign")


@virtual_time
async def test_a_claim_that_waits_for_its_consumer_is_bound_where_the_pod_goes() -> None:
    async with control_plane(nodes=3) as plane:
        storage_class = {
            "metadata": {"name": "local"},
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
        }
        await plane.create(STORAGE_CLASSES, storage_class, "")
        field = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-2"]}
        volume = {
            "metadata": {"name": "disk"},
            "spec": {
                "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local",
                "persistentVolumeReclaimPolicy": "Retain", "local": {"path": "/disk"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [field]}]}},
            },
        }  # fmt: skip
        await plane.create(VOLUMES, volume, "")
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "local",
            "resources": {"requests": {"storage": "5Gi"}},
        }
        await plane.create(CLAIMS, {"metadata": {"name": "data"}, "spec": spec})
        await asyncio.sleep(2)
        assert (await plane.get(CLAIMS, "data"))["status"]["phase"] == "Pending"
        assert await plane.events("WaitForFirstConsumer")
        volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
        await plane.create(PODS, pod("user", volumes=volumes))
        await asyncio.sleep(3)
        assert await node_of(plane, "user") == "node-2"
        claim = await plane.get(CLAIMS, "data")
        assert claim["spec"]["volumeName"] == "disk"
        assert claim["status"]["phase"] == "Bound"
        assert (await plane.get(VOLUMES, "disk", ""))["status"]["phase"] == "Bound"
        await plane.client.delete(CLAIMS, "data", "default")
        await asyncio.sleep(2)
        assert await plane.exists(CLAIMS, "data")  # in use
        await plane.client.delete(PODS, "user", "default")
        await asyncio.sleep(5)
        assert not await plane.exists(CLAIMS, "data")
        assert (await plane.get(VOLUMES, "disk", ""))["status"]["phase"] == "Released"


@virtual_time
async def test_a_budget_counts_the_healthy_pods() -> None:
    async with control_plane() as plane:
        await plane.create(DEPLOYMENTS, deployment(4))
        spec = {"maxUnavailable": "25%", "selector": {"matchLabels": {"app": "web"}}}
        await plane.create(BUDGETS, {"metadata": {"name": "web"}, "spec": spec})
        await plane.until(lambda: is_rolled_out(plane))
        await asyncio.sleep(1)
        status = (await plane.get(BUDGETS, "web"))["status"]
        counts = ("expectedPods", "currentHealthy", "desiredHealthy", "disruptionsAllowed")
        assert [status[field] for field in counts] == [4, 4, 3, 1]
        condition = get_condition(status["conditions"], "DisruptionAllowed")
        assert condition is not None
        assert condition["reason"] == "SufficientPods"


@virtual_time
async def test_profiles_serve_pods_by_their_scheduler_name_beside_custom_schedulers() -> None:
    packing = {
        "schedulerName": "packing",
        "plugins": {
            "postFilter": {"disabled": [{"name": "*"}]},
            "score": {"disabled": [{"name": "NodeResourcesBalancedAllocation"}]},
        },
        "pluginConfig": [{"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "MostAllocated"}}}],
    }
    scheduling = read_configuration(
        {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "profiles": [{"schedulerName": "default-scheduler"}, packing],
        }
    )
    async with control_plane(nodes=3, scheduling=scheduling) as plane:
        await plane.create(PODS, pod("first", cpu="8"))
        await plane.create(PODS, pod("foreign", cpu="1", schedulerName="mine"))
        await asyncio.sleep(3)
        chosen = await node_of(plane, "first")
        for number in range(3):
            await plane.create(PODS, pod(f"packed-{number}", cpu="4", schedulerName="packing"))
            await asyncio.sleep(1)
            assert await node_of(plane, f"packed-{number}") == chosen
        await plane.create(PODS, pod("spread", cpu="1"))
        await asyncio.sleep(1)
        assert await node_of(plane, "spread") != chosen
        assert not await node_of(plane, "foreign")
        sources = {
            event["involvedObject"]["name"]: event["source"]["component"]
            for event in await plane.items(EVENTS)
            if event["reason"] == "Scheduled"
        }
        assert sources == {
            "first": "default-scheduler", "spread": "default-scheduler", "packed-0": "packing", "packed-1": "packing",
            "packed-2": "packing",
        }  # fmt: skip
        await plane.create(PODS, pod("large", cpu="400", schedulerName="packing"))
        await asyncio.sleep(1)
        assert (await verdict(plane, "large"))["message"] == "0/3 nodes are available: 3 Insufficient cpu."


@virtual_time
async def test_a_nomination_is_taken_back_for_a_more_important_pod() -> None:
    async with control_plane(nodes=1) as plane:
        for name, value in (("middle", 500), ("high", 1000)):
            await plane.create(CLASSES, {"metadata": {"name": name}, "value": value}, "")
        await plane.create(PODS, pod("small", cpu="30"))
        await asyncio.sleep(3)
        # The finalizer keeps the victim, and so the decision, open.
        patch = {"metadata": {"finalizers": ["example.com/slow"]}}
        await plane.client.patch(PODS, "small", patch, "default")
        await plane.create(PODS, pod("middle", cpu="30", priorityClassName="middle"))
        await asyncio.sleep(1)
        assert (await plane.get(PODS, "middle"))["status"]["nominatedNodeName"] == "node-0"
        await plane.create(PODS, pod("high", cpu="30", priorityClassName="high"))
        await asyncio.sleep(1)
        assert (await plane.get(PODS, "high"))["status"]["nominatedNodeName"] == "node-0"
        assert "nominatedNodeName" not in (await plane.get(PODS, "middle"))["status"]
        await plane.client.patch(PODS, "small", {"metadata": {"finalizers": None}}, "default")
        await asyncio.sleep(15)
        assert await node_of(plane, "high") == "node-0"
        assert not await node_of(plane, "middle")
