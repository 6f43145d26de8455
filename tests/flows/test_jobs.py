"""Jobs and CronJobs through the real server: completion, retries, indexes, policies, 100 days of a schedule."""

import asyncio
from typing import Any

from minikube_py.objects.conditions import is_true
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import annotations, deep_copy
from minikube_py.resources.kind import GVR
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.node_stub import EXIT_CODE, RUN_SECONDS
from tests.support.virtual_time import virtual_time

JOBS, CRON_JOBS = GVR("batch", "v1", "jobs"), GVR("batch", "v1", "cronjobs")


def job_spec(*, seconds: int = 5, code: int = 0, **spec: Any) -> Object:
    return {
        "template": {
            "metadata": {"labels": {"job": "work"}, "annotations": {RUN_SECONDS: str(seconds), EXIT_CODE: str(code)}},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "work:1"}]},
        },
        **spec,
    }


def job(**spec: Any) -> Object:
    return {"metadata": {"name": "work"}, "spec": job_spec(**spec)}


async def ended(plane: ControlPlane, type_: str = "Complete") -> bool:
    found = await plane.get(JOBS, "work")
    return is_true((found.get("status") or {}).get("conditions"), type_)


@virtual_time
async def test_a_job_runs_to_completion() -> None:
    async with control_plane() as plane:
        await plane.create(JOBS, job(completions=5, parallelism=2))
        most = 0

        async def done() -> bool:
            nonlocal most
            most = max(most, ((await plane.get(JOBS, "work")).get("status") or {}).get("active", 0))
            return await ended(plane)

        await plane.until(done)
        status = (await plane.get(JOBS, "work"))["status"]
        assert status["succeeded"] == 5
        assert most == 2
        assert status["completionTime"] > status["startTime"]
        assert not status.get("uncountedTerminatedPods")
        assert "active" not in status
        assert all(not pod["metadata"].get("finalizers") for pod in await plane.pods())
        assert await plane.events("Completed") == ["Job completed"]


@virtual_time
async def test_failures_are_retried_with_back_off_until_the_limit() -> None:
    async with control_plane() as plane:
        await plane.create(JOBS, job(code=1, backoffLimit=2))
        await plane.until(lambda: ended(plane, "Failed"), 300)
        found = await plane.get(JOBS, "work")
        assert found["status"]["failed"] == 3
        condition = next(c for c in found["status"]["conditions"] if c["type"] == "Failed")
        assert condition["reason"] == "BackoffLimitExceeded"
        created = sorted(pod["metadata"]["creationTimestamp"] for pod in await plane.pods())
        assert len(created) == 3
        # 1 s to start, 5 s to run, then 10 s and 20 s of back-off.
        assert (created[1][-3:-1], created[2][-3:-1]) != (created[0][-3:-1], created[1][-3:-1])


@virtual_time
async def test_an_indexed_job_runs_every_index_once() -> None:
    async with control_plane() as plane:
        await plane.create(JOBS, job(completions=4, parallelism=3, completionMode="Indexed"))
        await plane.until(lambda: ended(plane))
        assert (await plane.get(JOBS, "work"))["status"]["completedIndexes"] == "0-3"
        indexes = sorted(annotations(p)["batch.kubernetes.io/job-completion-index"] for p in await plane.pods())
        assert indexes == ["0", "1", "2", "3"]


@virtual_time
async def test_indexes_fail_on_their_own() -> None:
    async with control_plane() as plane:
        spec = {"completions": 2, "parallelism": 2, "completionMode": "Indexed", "backoffLimitPerIndex": 1}
        await plane.create(JOBS, job(code=1, backoffLimit=100, **spec))
        await plane.until(lambda: ended(plane, "Failed"), 600)
        status = (await plane.get(JOBS, "work"))["status"]
        assert status["failedIndexes"] == "0,1"
        assert status["failed"] == 4


@virtual_time
async def test_a_suspended_job_runs_no_pods_until_it_is_resumed() -> None:
    async with control_plane() as plane:
        await plane.create(JOBS, job(suspend=True))
        await asyncio.sleep(30)
        assert await plane.pods() == []
        assert is_true((await plane.get(JOBS, "work"))["status"]["conditions"], "Suspended")
        found = deep_copy(await plane.get(JOBS, "work"))
        found["spec"]["suspend"] = False
        await plane.client.update(JOBS, found)
        await plane.until(lambda: ended(plane))


@virtual_time
async def test_a_deadline_ends_a_job() -> None:
    async with control_plane() as plane:
        await plane.create(JOBS, job(seconds=10_000, activeDeadlineSeconds=60))
        await plane.until(lambda: ended(plane, "Failed"), 90)
        found = await plane.get(JOBS, "work")
        condition = next(c for c in found["status"]["conditions"] if c["type"] == "Failed")
        assert condition["reason"] == "DeadlineExceeded"
        assert await plane.pods() == []


@virtual_time
async def test_a_failure_policy_can_fail_the_job_at_once() -> None:
    async with control_plane() as plane:
        rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
        await plane.create(JOBS, job(code=42, podFailurePolicy={"rules": [rule]}))
        await plane.until(lambda: ended(plane, "Failed"), 60)
        found = await plane.get(JOBS, "work")
        condition = next(c for c in found["status"]["conditions"] if c["type"] == "Failed")
        (pod,) = await plane.pods()
        assert condition["reason"] == "PodFailurePolicy"
        assert condition["message"] == (
            f"Container c for pod default/{pod['metadata']['name']} failed with exit code 42 "
            "matching FailJob rule at index 0"
        )


@virtual_time
async def test_a_finished_job_goes_after_its_ttl() -> None:
    async with control_plane() as plane:
        await plane.create(JOBS, job(ttlSecondsAfterFinished=100))
        await plane.until(lambda: ended(plane))
        await asyncio.sleep(90)
        assert await plane.exists(JOBS, "work")
        await asyncio.sleep(20)
        assert not await plane.exists(JOBS, "work")
        assert await plane.pods() == []


@virtual_time
async def test_a_hundred_days_of_a_cron_job() -> None:
    async with control_plane(nodes=1, heartbeats=False, without=("nodelifecycle",)) as plane:
        cron = {
            "metadata": {"name": "report"},
            "spec": {
                "schedule": "30 3 * * *",
                "concurrencyPolicy": "Allow",
                "successfulJobsHistoryLimit": 3,
                "failedJobsHistoryLimit": 1,
                "jobTemplate": {"spec": job_spec()},
            },
        }
        await plane.client.patch(GVR("", "v1", "nodes"), "node-0", {"spec": {"taints": None}})
        await plane.create(CRON_JOBS, cron)
        started: set[str] = set()
        for _ in range(100):
            await asyncio.sleep(86_400)
            started |= {item["metadata"]["name"] for item in await plane.items(JOBS)}
        assert len(started) == 100
        assert len(await plane.items(JOBS)) == 3
        status = (await plane.get(CRON_JOBS, "report"))["status"]
        assert status["lastScheduleTime"] == "2026-04-10T03:30:00Z"
        assert not status.get("active")
