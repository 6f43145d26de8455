"""Controllers that die at any write, or lose it, and go on from what is stored: the end is always the same."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from minikube_py.client.protocol import DeleteOptions, WriteOptions
from minikube_py.controllers.catalog import CONTROLLERS
from minikube_py.objects.conditions import is_true
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import annotations, deep_copy, labels
from minikube_py.resources.kind import GVR
from tests.support.control_plane import PODS, ControlPlane, control_plane
from tests.support.crashes import SCHEDULER, WAYS, Crash, crashing_controllers
from tests.support.node_stub import EXIT_CODE, RUN_SECONDS
from tests.support.virtual_time import virtual_time

DEPLOYMENTS, REPLICA_SETS = GVR("apps", "v1", "deployments"), GVR("apps", "v1", "replicasets")
STATEFUL_SETS, REVISIONS = GVR("apps", "v1", "statefulsets"), GVR("apps", "v1", "controllerrevisions")
DAEMON_SETS = GVR("apps", "v1", "daemonsets")
JOBS, CRON_JOBS = GVR("batch", "v1", "jobs"), GVR("batch", "v1", "cronjobs")
SLICES, ENDPOINTS = GVR("discovery.k8s.io", "v1", "endpointslices"), GVR("", "v1", "endpoints")
SERVICES, CONFIG_MAPS = GVR("", "v1", "services"), GVR("", "v1", "configmaps")
NAMESPACES, PRIORITIES = GVR("", "v1", "namespaces"), GVR("scheduling.k8s.io", "v1", "priorityclasses")
VOLUMES, NODES = GVR("", "v1", "persistentvolumes"), GVR("", "v1", "nodes")
BUDGETS, QUOTAS = GVR("policy", "v1", "poddisruptionbudgets"), GVR("", "v1", "resourcequotas")
CLAIMS = GVR("", "v1", "persistentvolumeclaims")

State = Any
_EVICTION = WriteOptions(subresource="eviction")
_MOVING = ("lastTransitionTime", "lastUpdateTime", "lastProbeTime", "startTime", "completionTime", "message")


def template(image: str = "web:1", **notes: str) -> Object:
    keys = {"seconds": RUN_SECONDS, "code": EXIT_CODE}
    return {
        "metadata": {"labels": {"app": "a"}, "annotations": {keys[key]: value for key, value in notes.items()}},
        "spec": {"containers": [{"name": "c", "image": image}]},
    }


async def set_image(plane: ControlPlane, gvr: GVR, image: str, **spec: Any) -> None:
    found = deep_copy(await plane.get(gvr, "a"))
    found["spec"] |= spec
    found["spec"]["template"]["spec"]["containers"][0]["image"] = image
    await plane.client.update(gvr, found)


def status_of(obj: Object) -> State:
    """Without the times, which a crash may move, and the messages, which name generated names."""
    status = deep_copy(obj.get("status") or {})
    status["conditions"] = sorted(
        ({key: value for key, value in c.items() if key not in _MOVING} for c in status.get("conditions") or ()),
        key=lambda c: str(c["type"]),
    )
    return {key: value for key, value in status.items() if key not in _MOVING}


async def pods_of(plane: ControlPlane, *, named: bool = False) -> State:
    """What the pods are, with their names where these mean something."""
    return sorted(
        (
            pod["metadata"]["name"] if named else "",
            pod["spec"]["containers"][0]["image"],
            (pod.get("status") or {}).get("phase", ""),
            bool(pod["metadata"].get("deletionTimestamp")),
            len(pod["metadata"].get("finalizers") or ()),
            labels(pod).get("controller-revision-hash", "") if named else "",
        )
        for pod in await plane.pods("app=a")
    )


def settled(status: Object, obj: Object, **counts: int) -> bool:
    is_seen = status.get("observedGeneration", 0) >= obj["metadata"]["generation"]
    return is_seen and all(status.get(key, 0) == count for key, count in counts.items())


async def until_status(plane: ControlPlane, gvr: GVR, **counts: int) -> None:
    async def is_so() -> bool:
        found = await plane.get(gvr, "a")
        return settled(found.get("status") or {}, found, **counts)

    await plane.until(is_so, 600)


# --- the scenarios ---------------------------------------------------------------------------------------------------


async def rollout(plane: ControlPlane) -> State:
    """A Deployment that is made, rolled to another image, and scaled."""
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "a"}}, "template": template()}
    await plane.create(DEPLOYMENTS, {"metadata": {"name": "a"}, "spec": spec})
    await until_status(plane, DEPLOYMENTS, replicas=3, updatedReplicas=3, availableReplicas=3)
    await set_image(plane, DEPLOYMENTS, "web:2", replicas=4)
    await until_status(plane, DEPLOYMENTS, replicas=4, updatedReplicas=4, availableReplicas=4)
    await asyncio.sleep(30)
    sets = await plane.items(REPLICA_SETS)
    deployment = await plane.get(DEPLOYMENTS, "a")
    return {
        "pods": await pods_of(plane),
        "sets": sorted(
            (
                one["spec"]["template"]["spec"]["containers"][0]["image"],
                one["spec"]["replicas"],
                annotations(one)["deployment.kubernetes.io/revision"],
                str(status_of(one)),
            )
            for one in sets
        ),
        "status": status_of(deployment),
        "revision": annotations(deployment)["deployment.kubernetes.io/revision"],
    }


async def stateful_update(plane: ControlPlane) -> State:
    """A StatefulSet with claims that is made, rolled to another image, and scaled down."""
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    spec = {
        "replicas": 3,
        "serviceName": "a",
        "selector": {"matchLabels": {"app": "a"}},
        "template": template(),
        "volumeClaimTemplates": [claim],
        "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete", "whenDeleted": "Retain"},
    }
    await plane.create(STATEFUL_SETS, {"metadata": {"name": "a"}, "spec": spec})
    await _bind_claims(plane, 3)
    await until_status(plane, STATEFUL_SETS, replicas=3, readyReplicas=3)
    await set_image(plane, STATEFUL_SETS, "web:2")
    await until_status(plane, STATEFUL_SETS, replicas=3, readyReplicas=3, updatedReplicas=3)
    await set_image(plane, STATEFUL_SETS, "web:2", replicas=2)
    await until_status(plane, STATEFUL_SETS, replicas=2, readyReplicas=2)
    await asyncio.sleep(30)
    return {
        "pods": await pods_of(plane, named=True),
        "claims": sorted(one["metadata"]["name"] for one in await plane.items(CLAIMS)),
        "revisions": sorted((one["metadata"]["name"], one["revision"]) for one in await plane.items(REVISIONS)),
        "status": status_of(await plane.get(STATEFUL_SETS, "a")),
    }


async def _bind_claims(plane: ControlPlane, count: int) -> None:
    """Volumes for the claims; the binding is another controller's, which runs all the time."""
    volumes = GVR("", "v1", "persistentvolumes")
    for number in range(count):
        spec = {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": f"/data/{number}"},
        }
        await plane.client.create(volumes, {"metadata": {"name": f"volume-{number}"}, "spec": spec})


async def daemon_update(plane: ControlPlane) -> State:
    """A DaemonSet that is made and rolled to another image."""
    spec = {"selector": {"matchLabels": {"app": "a"}}, "template": template()}
    await plane.create(DAEMON_SETS, {"metadata": {"name": "a"}, "spec": spec})
    await until_status(plane, DAEMON_SETS, numberReady=3, desiredNumberScheduled=3)
    await set_image(plane, DAEMON_SETS, "web:2")
    await until_status(plane, DAEMON_SETS, numberReady=3, updatedNumberScheduled=3, numberAvailable=3)
    await asyncio.sleep(30)
    return {
        "pods": await pods_of(plane),
        "revisions": sorted((one["metadata"]["name"], one["revision"]) for one in await plane.items(REVISIONS)),
        "status": status_of(await plane.get(DAEMON_SETS, "a")),
    }


async def job_run(plane: ControlPlane) -> State:
    """A Job that completes: no pod too many, each counted once."""
    spec = {"completions": 4, "parallelism": 2, "template": template(seconds="5")}
    spec["template"]["spec"]["restartPolicy"] = "Never"
    await plane.create(JOBS, {"metadata": {"name": "a"}, "spec": spec})
    return await _job_end(plane, "Complete")


async def job_failure(plane: ControlPlane) -> State:
    """A Job whose pods fail until its limit."""
    spec = {"backoffLimit": 2, "template": template(seconds="5", code="1")}
    spec["template"]["spec"]["restartPolicy"] = "Never"
    await plane.create(JOBS, {"metadata": {"name": "a"}, "spec": spec})
    return await _job_end(plane, "Failed")


async def indexed_job(plane: ControlPlane) -> State:
    """An Indexed Job: every index once."""
    spec = {"completions": 3, "parallelism": 3, "completionMode": "Indexed", "template": template(seconds="5")}
    spec["template"]["spec"]["restartPolicy"] = "Never"
    await plane.create(JOBS, {"metadata": {"name": "a"}, "spec": spec})
    return await _job_end(plane, "Complete")


async def _job_end(plane: ControlPlane, condition: str) -> State:
    async def is_over() -> bool:
        return is_true(((await plane.get(JOBS, "a")).get("status") or {}).get("conditions"), condition)

    await plane.until(is_over, 1200)
    await asyncio.sleep(30)
    return {"status": status_of(await plane.get(JOBS, "a")), "pods": await pods_of(plane)}


async def cron_job(plane: ControlPlane) -> State:
    """A CronJob over three minutes: one Job a minute, old ones cleared away."""
    spec = {"template": template(seconds="5")}
    spec["template"]["spec"]["restartPolicy"] = "Never"
    cron = {"schedule": "* * * * *", "jobTemplate": {"spec": spec}, "successfulJobsHistoryLimit": 1}
    await plane.create(CRON_JOBS, {"metadata": {"name": "a"}, "spec": cron})
    await asyncio.sleep(3 * 60 + 30)
    status = (await plane.get(CRON_JOBS, "a"))["status"]
    jobs = sorted((job["metadata"]["name"], job["status"].get("succeeded")) for job in await plane.items(JOBS))
    # The time of the last success is when somebody looked at it.
    return {
        "jobs": jobs,
        "last": status["lastScheduleTime"],
        "active": status.get("active"),
        "pods": await pods_of(plane),
    }


async def clearing(plane: ControlPlane) -> State:
    """A namespace with a Deployment in it that goes away with everything."""
    await plane.client.create(NAMESPACES, {"metadata": {"name": "short"}})
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "a"}}, "template": template()}
    await plane.create(DEPLOYMENTS, {"metadata": {"name": "a"}, "spec": spec}, "short")
    await plane.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "short")
    await asyncio.sleep(10)
    await plane.client.delete(NAMESPACES, "short")

    async def is_gone() -> bool:
        return not await plane.exists(NAMESPACES, "short", "")

    await plane.until(is_gone, 600)
    return [await plane.items(gvr, "short") for gvr in (DEPLOYMENTS, REPLICA_SETS, PODS, CONFIG_MAPS)]


async def cascade(plane: ControlPlane) -> State:
    """A Deployment that is deleted in the foreground, and one whose ReplicaSets are left as orphans."""
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "a"}}, "template": template()}
    for name, propagation in (("a", "Foreground"), ("b", "Orphan")):
        body = {"metadata": {"name": name}, "spec": {**spec, "selector": {"matchLabels": {"app": "a", "own": name}}}}
        body["spec"]["template"] = {**template(), "metadata": {"labels": {"app": "a", "own": name}}}
        await plane.create(DEPLOYMENTS, body)
        await asyncio.sleep(10)
        await plane.client.delete(DEPLOYMENTS, name, "default", options=DeleteOptions(propagation=propagation))
    await asyncio.sleep(120)
    sets = await plane.items(REPLICA_SETS)
    left = [(labels(one)["own"], one["metadata"].get("ownerReferences"), status_of(one)["replicas"]) for one in sets]
    return {"deployments": await plane.items(DEPLOYMENTS), "sets": left, "pods": await pods_of(plane)}


async def endpoints(plane: ControlPlane) -> State:
    """A Service whose pods come and go."""
    port = {"name": "http", "port": 80, "targetPort": 8080}
    await plane.create(SERVICES, {"metadata": {"name": "a"}, "spec": {"selector": {"app": "a"}, "ports": [port]}})
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "a"}}, "template": template()}
    await plane.create(REPLICA_SETS, {"metadata": {"name": "a"}, "spec": spec})
    await asyncio.sleep(20)
    await plane.client.patch(REPLICA_SETS, "a", {"spec": {"replicas": 1}}, "default")
    await asyncio.sleep(60)
    pods = {pod["status"]["podIP"] for pod in await plane.pods()}
    slices = await plane.items(SLICES)
    addresses = [address for one in slices for end in one["endpoints"] for address in end["addresses"]]
    subsets = (await plane.get(ENDPOINTS, "a")).get("subsets")
    return {
        "slices": len(slices),
        "in_slices": set(addresses) == pods and len(addresses) == len(pods),
        "in_endpoints": {address["ip"] for subset in subsets or () for address in subset["addresses"]} == pods,
    }


async def scheduling(plane: ControlPlane) -> State:
    """Pods that get a node, one that has to wait for room, and one that takes another's place.

    Which pods go and how many is up to the moment; no node may have too many, and none stay empty while pods wait.
    """
    await plane.client.create(PRIORITIES, {"metadata": {"name": "high"}, "value": 1000})
    spec = template()["spec"]
    spec["containers"][0]["resources"] = {"requests": {"cpu": "20"}}
    for name in ("a", "b", "c", "d"):
        await plane.create(PODS, {"metadata": {"name": name, "labels": {"app": "a"}}, "spec": spec})
    await asyncio.sleep(10)
    urgent = {**spec, "priorityClassName": "high"}
    await plane.create(PODS, {"metadata": {"name": "urgent", "labels": {"app": "a"}}, "spec": urgent})
    await asyncio.sleep(30)
    await plane.create(PODS, {"metadata": {"name": "e", "labels": {"app": "a"}}, "spec": spec})
    await asyncio.sleep(30)
    pods = {pod["metadata"]["name"]: pod for pod in await plane.pods()}
    nodes = [pod["spec"]["nodeName"] for pod in pods.values() if pod["spec"].get("nodeName")]
    return {"urgent": bool(pods["urgent"]["spec"].get("nodeName")), "nodes": sorted(nodes)}


def _claim(name: str, gigabytes: int) -> Object:
    resources = {"requests": {"storage": f"{gigabytes}Gi"}}
    return {
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": resources, "storageClassName": ""},
    }


async def binding(plane: ControlPlane) -> State:
    """Claims that get the volumes that fit best, and volumes that are given back."""
    for number, (size, policy) in enumerate(((5, "Retain"), (1, "Delete"), (2, "Retain"))):
        volume = {
            "capacity": {"storage": f"{size}Gi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": f"/data/{number}"},
            "persistentVolumeReclaimPolicy": policy,
        }
        await plane.client.create(VOLUMES, {"metadata": {"name": f"v{number}"}, "spec": volume})
    await asyncio.sleep(10)  # only volumes that are known to be available are taken, so they have to be first
    for name, size in (("small", 1), ("middle", 2), ("none", 50)):
        await plane.create(CLAIMS, _claim(name, size))
    await asyncio.sleep(30)
    await plane.client.delete(CLAIMS, "middle", "default")
    await asyncio.sleep(60)
    await plane.create(CLAIMS, _claim("late", 3))
    await asyncio.sleep(60)
    claims = await plane.items(CLAIMS)
    volumes = await plane.items(VOLUMES, "")
    return {
        "claims": sorted(
            (c["metadata"]["name"], c["status"]["phase"], c["spec"].get("volumeName", "")) for c in claims
        ),
        "volumes": sorted(
            (v["metadata"]["name"], v["status"]["phase"], (v["spec"].get("claimRef") or {}).get("name", ""))
            for v in volumes
        ),
    }


async def budget(plane: ControlPlane) -> State:
    """What a PodDisruptionBudget allows while pods come and go."""
    spec = {"minAvailable": 2, "selector": {"matchLabels": {"app": "a"}}}
    await plane.create(BUDGETS, {"metadata": {"name": "a"}, "spec": spec})
    sets = {"replicas": 3, "selector": {"matchLabels": {"app": "a"}}, "template": template()}
    await plane.create(REPLICA_SETS, {"metadata": {"name": "a"}, "spec": sets})
    await asyncio.sleep(30)
    pod = (await plane.pods())[0]["metadata"]["name"]
    await plane.client.create(PODS, {"metadata": {"name": pod}}, "default", name=pod, options=_EVICTION)
    await asyncio.sleep(30)
    await plane.client.patch(REPLICA_SETS, "a", {"spec": {"replicas": 2}}, "default")
    await asyncio.sleep(200)
    return status_of(await plane.get(BUDGETS, "a"))


async def quota(plane: ControlPlane) -> State:
    """The use that a ResourceQuota shows of pods that come and go."""
    hard = {"hard": {"pods": "10", "requests.cpu": "5"}}
    await plane.create(QUOTAS, {"metadata": {"name": "a"}, "spec": hard})
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "a"}}, "template": template()}
    spec["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "500m"}}
    await plane.create(REPLICA_SETS, {"metadata": {"name": "a"}, "spec": spec})
    await asyncio.sleep(30)
    await plane.client.patch(REPLICA_SETS, "a", {"spec": {"replicas": 1}}, "default")
    await asyncio.sleep(60)
    await plane.create(QUOTAS, {"metadata": {"name": "b"}, "spec": hard})
    await asyncio.sleep(30)
    return [status_of(await plane.get(QUOTAS, name)) for name in ("a", "b")]


async def lost_node(plane: ControlPlane) -> State:
    """A node that stops reporting: its pods go elsewhere, and it is welcome again."""
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "a"}}, "template": template()}
    await plane.create(REPLICA_SETS, {"metadata": {"name": "a"}, "spec": spec})
    await asyncio.sleep(30)
    plane.nodes.lost.add("node-1")
    await asyncio.sleep(1000)
    away = sorted(pod["spec"]["nodeName"] for pod in await plane.pods() if not pod["metadata"].get("deletionTimestamp"))
    taints = [taint["key"] for taint in (await plane.get(NODES, "node-1", ""))["spec"].get("taints") or ()]
    plane.nodes.lost.discard("node-1")
    await asyncio.sleep(120)
    node = await plane.get(NODES, "node-1", "")
    ready = is_true(node["status"]["conditions"], "Ready")
    return {"away": "node-1" in away, "pods": len(away), "taints": sorted(taints), "ready": ready,
            "left": node["spec"].get("taints")}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A scenario and the controllers (or the scheduler) that are killed in it. beside: others that it needs."""

    scenario: Callable[[ControlPlane], Awaitable[State]]
    controllers: tuple[str, ...]
    beside: tuple[str, ...] = ()


CASES = {
    "rollout": Case(rollout, ("deployment", "replicaset")),
    "stateful_update": Case(stateful_update, ("statefulset",)),
    "daemon_update": Case(daemon_update, ("daemonset",)),
    "job_run": Case(job_run, ("job",)),
    "job_failure": Case(job_failure, ("job",)),
    "indexed_job": Case(indexed_job, ("job",)),
    "cron_job": Case(cron_job, ("cronjob", "job")),
    "clearing": Case(clearing, ("namespace", "garbagecollector"), ("deployment", "replicaset")),
    "cascade": Case(cascade, ("garbagecollector",), ("deployment", "replicaset")),
    "endpoints": Case(endpoints, ("endpoints", "endpointslice"), ("replicaset",)),
    "scheduling": Case(scheduling, ("scheduler",)),
    "binding": Case(binding, ("persistentvolume", "pvcprotection", "pvprotection")),
    "budget": Case(budget, ("disruption",), ("replicaset",)),
    "quota": Case(quota, ("resourcequota",), ("replicaset",)),
    "lost_node": Case(lost_node, ("nodelifecycle", "tainteviction"), ("replicaset", "podgc")),
}
BESIDE = frozenset(("garbagecollector", "persistentvolume", "pvcprotection", "nodelifecycle", "serviceaccount"))
"""Controllers that run all the time in every scenario."""


def run(case: Case, crash: Crash) -> State:
    """The end state of a scenario with that crash in it."""
    found: list[State] = []

    @virtual_time
    async def one() -> None:
        wanted = {*BESIDE, SCHEDULER, *case.beside} - set(case.controllers)
        without = {*CONTROLLERS, SCHEDULER} - wanted
        async with control_plane(without=without) as plane, crashing_controllers(plane, case.controllers, crash):
            found.append(await case.scenario(plane))

    one()
    return found[0]


def points(total: int) -> Iterator[tuple[int, str]]:
    for way in WAYS:
        for at in range(1, total + 1):
            yield at, way


@pytest.mark.parametrize("name", CASES)
def test_the_end_is_the_same_whatever_write_goes_wrong(name: str) -> None:
    case, calm = CASES[name], Crash()
    expected = run(case, calm)
    assert len(calm.writes) >= 4
    wrong = {}
    for at, way in points(len(calm.writes)):
        crash = Crash(at, way)
        state = run(case, crash)
        assert len(crash.writes) >= at, "the write to go wrong never came"
        if state != expected:
            wrong[f"{way} at {at}: {crash.writes[at - 1]}"] = state
    assert not wrong, f"expected {expected}"
