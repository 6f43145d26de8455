"""Policies of Jobs and CronJobs: success, failure, replacement, managers, adoption; time zones, deadlines, history."""

import asyncio
from typing import Any

from minikube_py import clock
from minikube_py.client.protocol import PatchType, WriteOptions
from minikube_py.objects.conditions import get_condition, is_true
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy, name, uid
from minikube_py.resources.kind import GVR
from tests.flows.test_jobs import CRON_JOBS, JOBS, ended, job, job_spec
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.node_stub import RUN_SECONDS
from tests.support.virtual_time import virtual_time

PODS = GVR("", "v1", "pods")
STATUS = WriteOptions(subresource="status")
DAY = 86_400


async def status(plane: ControlPlane) -> Object:
    return (await plane.get(JOBS, "work")).get("status") or {}


async def set_phase(plane: ControlPlane, pod: str, phase: str, **more: Any) -> None:
    patch = {"status": {"phase": phase, **more}}
    await plane.client.patch(PODS, pod, patch, "default", patch_type=PatchType.STRATEGIC, options=STATUS)


@virtual_time
async def test_a_success_policy_ends_the_job_with_its_first_index() -> None:
    async with control_plane() as plane:
        policy = {"rules": [{"succeededIndexes": "0-1", "succeededCount": 1}]}
        await plane.create(
            JOBS, job(completions=4, parallelism=4, completionMode="Indexed", successPolicy=policy, seconds=60)
        )
        await asyncio.sleep(5)
        first = next(
            p for p in await plane.pods() if p["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] == "1"
        )
        await set_phase(plane, name(first), "Succeeded")
        await plane.until(lambda: ended(plane))
        found = await status(plane)
        assert is_true(found["conditions"], "SuccessCriteriaMet")
        complete = get_condition(found["conditions"], "Complete")
        assert complete is not None
        assert complete["reason"] == "SuccessPolicy"
        assert found["completedIndexes"] == "1"
        assert [name(p) for p in await plane.pods()] == [name(first)]


@virtual_time
async def test_pods_that_are_disrupted_do_not_count_as_failures_when_the_policy_says_so() -> None:
    async with control_plane() as plane:
        rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
        await plane.create(JOBS, job(seconds=300, backoffLimit=0, podFailurePolicy={"rules": [rule]}))
        await asyncio.sleep(5)
        (pod,) = await plane.pods()
        target = {"type": "DisruptionTarget", "status": "True", "reason": "Test"}
        await set_phase(plane, name(pod), "Failed", conditions=[target])
        await asyncio.sleep(30)
        assert len([p for p in await plane.pods() if p["status"]["phase"] == "Running"]) == 1
        found = await status(plane)
        assert not found.get("failed")
        assert not is_true(found.get("conditions"), "Failed")


@virtual_time
async def test_an_index_may_be_given_up_and_too_many_end_the_job() -> None:
    async with control_plane() as plane:
        rule = {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [42]}}
        spec = {"completionMode": "Indexed", "backoffLimitPerIndex": 3, "podFailurePolicy": {"rules": [rule]}}
        await plane.create(JOBS, job(seconds=2, code=42, completions=5, parallelism=1, maxFailedIndexes=1, **spec))
        await plane.until(lambda: ended(plane, "Failed"))
        found = await status(plane)
        assert found["failedIndexes"] == "0,1"
        failed = get_condition(found["conditions"], "Failed")
        assert failed is not None
        assert failed["reason"] == "MaxFailedIndexesExceeded"
        assert found["failed"] == 2


@virtual_time
async def test_a_terminating_pod_is_replaced_at_once_or_when_it_has_failed() -> None:
    for policy, soon in (("TerminatingOrFailed", 2), ("Failed", 1)):
        async with control_plane() as plane:
            plane.nodes.lost.update(f"node-{n}" for n in range(3))  # nobody ends the pods
            await plane.create(JOBS, job(podReplacementPolicy=policy))
            await asyncio.sleep(5)
            (pod,) = await plane.pods()
            await set_phase(plane, name(pod), "Running")
            await plane.client.delete(PODS, name(pod), "default")
            await asyncio.sleep(15)
            assert len(await plane.pods()) == soon, policy
            assert (await status(plane))["terminating"] == 1
            await set_phase(plane, name(pod), "Failed")
            await asyncio.sleep(30)
            assert len([p for p in await plane.pods() if not p["metadata"].get("deletionTimestamp")]) == 1


@virtual_time
async def test_a_job_with_another_manager_is_left_alone() -> None:
    async with control_plane() as plane:
        await plane.create(JOBS, job(managedBy="example.com/queue"))
        await asyncio.sleep(30)
        assert await plane.pods() == []
        assert not await status(plane)


@virtual_time
async def test_orphans_are_adopted_and_pods_that_match_no_more_are_replaced() -> None:
    async with control_plane() as plane:
        made = await plane.create(JOBS, job(seconds=600, parallelism=2, completions=2))
        await asyncio.sleep(5)
        pod = deep_copy((await plane.pods())[0])
        pod["metadata"].pop("ownerReferences")
        await plane.client.update(PODS, pod)
        await asyncio.sleep(5)
        pod = deep_copy(await plane.get(PODS, name(pod)))
        assert pod["metadata"]["ownerReferences"][0]["uid"] == uid(made)
        pod["metadata"]["labels"] = {}
        await plane.client.update(PODS, pod)
        await asyncio.sleep(5)
        freed = await plane.get(PODS, name(pod))
        assert not freed["metadata"].get("ownerReferences")
        assert len(await plane.pods("job=work")) == 2


# --- CronJobs ---------------------------------------------------------------------------------------------------------


def cron(schedule: str, *, seconds: int = 5, **spec: Any) -> Object:
    template = job_spec(seconds=seconds)
    return {"metadata": {"name": "report"}, "spec": {"schedule": schedule, "jobTemplate": {"spec": template}, **spec}}


async def active(plane: ControlPlane) -> int:
    return len(
        [j for j in await plane.items(JOBS) if not is_true((j.get("status") or {}).get("conditions"), "Complete")]
    )


@virtual_time
async def test_concurrency_policies() -> None:
    expected = {"Allow": 3, "Forbid": 1, "Replace": 1}
    for policy, most in expected.items():
        async with control_plane() as plane:
            await plane.create(CRON_JOBS, cron("* * * * *", seconds=150, concurrencyPolicy=policy))
            seen: set[str] = set()
            running = 0
            for _ in range(40):
                await asyncio.sleep(15)
                running = max(running, await active(plane))
                seen |= {name(j) for j in await plane.items(JOBS)}
            assert running == most, policy
            assert (len(seen) >= 9) == (policy != "Forbid")
            if policy == "Forbid":
                assert "JobAlreadyActive" in {e["reason"] for e in await plane.items(GVR("", "v1", "events"))}


@virtual_time
async def test_a_suspended_cron_job_starts_nothing_and_catches_up_once() -> None:
    async with control_plane() as plane:
        await plane.create(CRON_JOBS, cron("*/5 * * * *", suspend=True, successfulJobsHistoryLimit=10))
        await asyncio.sleep(3600)
        assert await plane.items(JOBS) == []
        await plane.client.patch(CRON_JOBS, "report", {"spec": {"suspend": False}}, "default")
        await asyncio.sleep(60)
        assert len(await plane.items(JOBS)) == 1


@virtual_time
async def test_what_is_later_than_its_deadline_is_not_started() -> None:
    async with control_plane() as plane:
        made = cron("0 * * * *", suspend=True, startingDeadlineSeconds=120)
        await plane.create(CRON_JOBS, made)
        await asyncio.sleep(3600 + 600)
        await plane.client.patch(CRON_JOBS, "report", {"spec": {"suspend": False}}, "default")
        await asyncio.sleep(600)
        assert await plane.items(JOBS) == []
        await asyncio.sleep(3600)
        assert len(await plane.items(JOBS)) == 1


@virtual_time
async def test_a_time_zone_moves_the_schedule() -> None:
    async with control_plane() as plane:
        await plane.create(CRON_JOBS, cron("0 9 * * *", timeZone="Asia/Tokyo"))
        await asyncio.sleep(DAY + 60)
        (made,) = await plane.items(JOBS)
        scheduled = made["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"]
        # Tests begin at 2026-01-01T00:00:00Z, which is 9 o'clock in Tokyo and no time after it.
        assert scheduled == "2026-01-02T09:00:00+09:00"
        assert clock.parse((await plane.get(CRON_JOBS, "report"))["status"]["lastScheduleTime"]).hour == 0


@virtual_time
async def test_history_limits_hold_for_each_kind_of_end() -> None:
    async with control_plane() as plane:
        made = cron("* * * * *", successfulJobsHistoryLimit=2, failedJobsHistoryLimit=1)
        await plane.create(CRON_JOBS, made)
        await asyncio.sleep(600)
        assert len(await plane.items(JOBS)) in (2, 3)
        template = {"metadata": {"annotations": {RUN_SECONDS: "1", "fake.mkube.io/exit-code": "1"}}}
        patch = {"spec": {"jobTemplate": {"spec": {"backoffLimit": 0, "template": template}}}}
        await plane.client.patch(CRON_JOBS, "report", patch, "default")
        await asyncio.sleep(600)
        ends = [j for j in await plane.items(JOBS) if is_true((j.get("status") or {}).get("conditions"), "Failed")]
        assert len(ends) in (1, 2)
