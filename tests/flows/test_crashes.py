"""Controllers that are killed after any one of their writes end in the state that they would have come to anyway."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from minikube_py.client.protocol import PatchType
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import finalizers, labels, name
from minikube_py.resources.kind import GVR
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.mortal import mortal_controllers
from tests.support.virtual_time import virtual_time

DEPLOYMENTS, REPLICA_SETS = GVR("apps", "v1", "deployments"), GVR("apps", "v1", "replicasets")
STATEFUL_SETS, REVISIONS = GVR("apps", "v1", "statefulsets"), GVR("apps", "v1", "controllerrevisions")
DAEMON_SETS = GVR("apps", "v1", "daemonsets")
JOBS, CLAIMS = GVR("batch", "v1", "jobs"), GVR("", "v1", "persistentvolumeclaims")
SETTLE_SECONDS = 30.0

Step = Callable[[ControlPlane], Awaitable[Any]]


@dataclass(frozen=True)
class Story:
    """What happens: begin and change, each followed by waiting until is_done; state is what has to come out."""

    controllers: tuple[str, ...]
    begin: Step
    change: Step | None
    is_done: Step
    state: Step


def template(image: str, notes: dict[str, str] | None = None, **spec: Any) -> Object:
    metadata = {"labels": {"app": "x"}, "annotations": notes or {}}
    return {"metadata": metadata, "spec": {"containers": [{"name": "c", "image": image}], **spec}}


def named(**spec: Any) -> Object:
    return {"metadata": {"name": "x"}, "spec": {"selector": {"matchLabels": {"app": "x"}}, **spec}}


async def new_image(plane: ControlPlane, gvr: GVR) -> None:
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "x:2"}]}}}}
    await plane.client.patch(gvr, "x", patch, "default", patch_type=PatchType.STRATEGIC)


def timeless(status: Object) -> Object:
    """The status without times, and conditions by type."""
    kept = {field: value for field, value in status.items() if not field.endswith("Time") and field != "conditions"}
    kept["conditions"] = sorted((c["type"], c["status"], c.get("reason")) for c in status.get("conditions") or ())
    return kept


async def pods(plane: ControlPlane) -> list[tuple[Any, ...]]:
    return sorted(
        (p["spec"]["containers"][0]["image"], p["status"]["phase"], len(finalizers(p)))
        for p in await plane.pods("app=x")
    )


# --- a Deployment's rollout -------------------------------------------------------------------------------------------


async def begin_deployment(plane: ControlPlane) -> None:
    await plane.create(DEPLOYMENTS, named(replicas=3, template=template("x:1")))


async def is_rolled_out(plane: ControlPlane) -> bool:
    found = await plane.get(DEPLOYMENTS, "x")
    status = found.get("status") or {}
    counts = [status.get(field, 0) for field in ("replicas", "updatedReplicas", "availableReplicas")]
    return bool(status.get("observedGeneration") == found["metadata"]["generation"] and counts == [3, 3, 3])


async def deployment_state(plane: ControlPlane) -> Any:
    sets = [
        (
            rs["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
            rs["spec"]["template"]["spec"]["containers"][0]["image"],
            rs["spec"]["replicas"],
            timeless(rs["status"]),
        )
        for rs in await plane.items(REPLICA_SETS)
    ]
    found = await plane.get(DEPLOYMENTS, "x")
    return timeless(found["status"]), found["metadata"]["annotations"], sorted(sets, key=str), await pods(plane)


ROLLOUT = Story(
    ("deployment", "replicaset"),
    begin_deployment,
    lambda plane: new_image(plane, DEPLOYMENTS),
    is_rolled_out,
    deployment_state,
)


# --- a StatefulSet's update -------------------------------------------------------------------------------------------


async def begin_stateful_set(plane: ControlPlane) -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    policy = {"whenScaled": "Delete", "whenDeleted": "Delete"}
    made = named(
        replicas=2, serviceName="x", template=template("x:1"), volumeClaimTemplates=[claim],
        persistentVolumeClaimRetentionPolicy=policy,
    )  # fmt: skip
    await plane.create(STATEFUL_SETS, made)
    for number in range(2):
        volume = {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": f"/tmp/{number}"},
        }  # fmt: skip
        await plane.create(
            GVR("", "v1", "persistentvolumes"), {"metadata": {"name": f"pv-{number}"}, "spec": volume}, ""
        )


async def is_updated(plane: ControlPlane) -> bool:
    found = await plane.get(STATEFUL_SETS, "x")
    status = found.get("status") or {}
    return bool(
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status.get("readyReplicas") == status.get("updatedReplicas") == status.get("currentReplicas") == 2
        and status["currentRevision"] == status["updateRevision"]
    )


async def stateful_set_state(plane: ControlPlane) -> Any:
    status = timeless((await plane.get(STATEFUL_SETS, "x"))["status"])
    revisions = [
        (r["revision"], r["data"]["spec"]["template"]["spec"]["containers"]) for r in await plane.items(REVISIONS)
    ]
    members = sorted((name(p), labels(p)["controller-revision-hash"]) for p in await plane.pods("app=x"))
    claims = [
        (name(c), [o["kind"] for o in c["metadata"].get("ownerReferences") or ()]) for c in await plane.items(CLAIMS)
    ]
    return status, sorted(revisions, key=str), members, sorted(claims), await pods(plane)


UPDATE = Story(
    ("statefulset",),
    begin_stateful_set,
    lambda plane: new_image(plane, STATEFUL_SETS),
    is_updated,
    stateful_set_state,
)


# --- a DaemonSet's update ---------------------------------------------------------------------------------------------


async def begin_daemon_set(plane: ControlPlane) -> None:
    await plane.create(DAEMON_SETS, named(template=template("x:1")))


async def is_everywhere(plane: ControlPlane) -> bool:
    found = await plane.get(DAEMON_SETS, "x")
    status = found.get("status") or {}
    counts = [status.get(field, 0) for field in ("desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable")]
    return bool(status.get("observedGeneration") == found["metadata"]["generation"] and counts == [2, 2, 2])


async def daemon_set_state(plane: ControlPlane) -> Any:
    revisions = sorted(r["revision"] for r in await plane.items(REVISIONS))
    nodes = sorted((p["spec"]["nodeName"], labels(p)["controller-revision-hash"]) for p in await plane.pods("app=x"))
    return timeless((await plane.get(DAEMON_SETS, "x"))["status"]), revisions, nodes, await pods(plane)


DAEMONS = Story(
    ("daemonset",),
    begin_daemon_set,
    lambda plane: new_image(plane, DAEMON_SETS),
    is_everywhere,
    daemon_set_state,
)


# --- a Job ------------------------------------------------------------------------------------------------------------


async def begin_job(plane: ControlPlane) -> None:
    notes = {"fake.mkube.io/run-seconds": "3"}
    work = template("x:1", notes, restartPolicy="Never")
    await plane.create(
        JOBS, {"metadata": {"name": "x"}, "spec": {"completions": 5, "parallelism": 2, "template": work}}
    )


async def begin_failing_job(plane: ControlPlane) -> None:
    notes = {"fake.mkube.io/run-seconds": "1", "fake.mkube.io/exit-code": "3"}
    work = template("x:1", notes, restartPolicy="Never")
    spec = {
        "completions": 2,
        "parallelism": 2,
        "completionMode": "Indexed",
        "backoffLimitPerIndex": 1,
        "template": work,
    }
    await plane.create(JOBS, {"metadata": {"name": "x"}, "spec": spec})


async def is_over(plane: ControlPlane) -> bool:
    conditions = ((await plane.get(JOBS, "x")).get("status") or {}).get("conditions") or ()
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in conditions)


async def job_state(plane: ControlPlane) -> Any:
    return timeless((await plane.get(JOBS, "x"))["status"]), await pods(plane)


JOB = Story(("job",), begin_job, None, is_over, job_state)
FAILING_JOB = Story(("job",), begin_failing_job, None, is_over, job_state)


async def play(story: Story, last_write: int) -> tuple[Any, int]:
    """(the state in the end, how many writes the first life made)."""
    async with control_plane(nodes=2, without=story.controllers) as plane:
        async with mortal_controllers(plane, story.controllers, last_write) as life:
            await story.begin(plane)
            await plane.until(lambda: story.is_done(plane), 300)
            if story.change is not None:
                await story.change(plane)
                await plane.until(lambda: story.is_done(plane), 300)
            await asyncio.sleep(SETTLE_SECONDS)
            return await story.state(plane), life.writes


@pytest.mark.parametrize(
    "story",
    [ROLLOUT, UPDATE, DAEMONS, JOB, FAILING_JOB],
    ids=["rollout", "stateful-set", "daemon-set", "job", "failing-job"],
)
@virtual_time
async def test_a_crash_after_any_write_changes_nothing_in_the_end(story: Story) -> None:
    expected, writes = await play(story, 0)
    assert writes > 10
    for last_write in range(1, writes + 1):
        state, made = await play(story, last_write)
        assert made == last_write
        assert state == expected, f"killed after write {last_write} of {writes}"
