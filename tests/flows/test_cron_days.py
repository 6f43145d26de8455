"""A hundred days of several CronJobs in seconds: time zones, concurrency, suspension, and a long sleep."""

import asyncio
from collections import Counter
from typing import Any

from minikube_py.controllers.catalog import CONTROLLERS
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import GVR
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.crashes import Crash, crashing_controllers
from tests.support.node_stub import RUN_SECONDS
from tests.support.virtual_time import virtual_time

JOBS, CRON_JOBS = GVR("batch", "v1", "jobs"), GVR("batch", "v1", "cronjobs")
SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
DAY = 86_400
BESIDE = frozenset(("garbagecollector", "serviceaccount"))
KILLED = ("cronjob", "job")


def cron_job(name: str, schedule: str, *, seconds: int = 60, **spec: Any) -> Object:
    template = {
        "metadata": {"annotations": {RUN_SECONDS: str(seconds)}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i:1"}]},
    }
    return {
        "metadata": {"name": name},
        "spec": {"schedule": schedule, "jobTemplate": {"spec": {"template": template}}, **spec},
    }


class Journal:
    """Every Job that was ever there, by the CronJob that made it: when it was due."""

    def __init__(self) -> None:
        self.due: dict[str, list[str]] = {}
        self._seen: set[str] = set()

    async def keep(self, plane: ControlPlane) -> None:
        async for event in plane.client.watch(JOBS):
            metadata = event.object["metadata"]
            if event.type == "ADDED" and metadata["uid"] not in self._seen:
                self._seen.add(metadata["uid"])
                owner = metadata["ownerReferences"][0]["name"]
                self.due.setdefault(owner, []).append(metadata["annotations"][SCHEDULED_AT])


@virtual_time
async def test_a_hundred_days() -> None:
    journal = Journal()
    async with control_plane(nodes=1, heartbeats=False, without={*CONTROLLERS} - BESIDE) as plane:
        await plane.client.patch(GVR("", "v1", "nodes"), "node-0", {"spec": {"taints": None}})
        keeping = asyncio.create_task(journal.keep(plane))
        async with crashing_controllers(plane, KILLED, Crash()):
            for cron in (
                cron_job("daily", "30 3 * * *"),
                cron_job("berlin", "30 2 * * *", timeZone="Europe/Berlin"),
                cron_job("new-york", "0 9 * * 1-5", timeZone="America/New_York"),
                cron_job("monthly", "0 0 1 * *"),
                # They run for a day and a half, every day: each finds another running, and waits or takes its place.
                cron_job("forbid", "0 12 * * *", seconds=DAY * 3 // 2, concurrencyPolicy="Forbid"),
                cron_job("replace", "0 12 * * *", seconds=DAY * 3 // 2, concurrencyPolicy="Replace"),
                cron_job("suspended", "0 6 * * *"),
            ):
                await plane.create(CRON_JOBS, cron)
            await asyncio.sleep(40 * DAY)
            await plane.client.patch(CRON_JOBS, "suspended", {"spec": {"suspend": True}}, "default")
            await asyncio.sleep(30 * DAY)
            await plane.client.patch(CRON_JOBS, "suspended", {"spec": {"suspend": False}}, "default")
            await asyncio.sleep(30 * DAY)
        keeping.cancel()
        counts = Counter({name: len(due) for name, due in journal.due.items()})
        assert counts["daily"] == 100
        assert len(set(journal.due["daily"])) == 100
        # On 29 March the clocks of Berlin skip from 2:00 to 3:00.
        assert counts["berlin"] == 99
        assert {due[10:] for due in journal.due["berlin"]} == {"T02:30:00+01:00", "T02:30:00+02:00"}
        assert not any(due.startswith("2026-03-29") for due in journal.due["berlin"])
        assert counts["new-york"] == 72  # the working days from 1 January to 10 April
        assert {due[10:] for due in journal.due["new-york"]} == {"T09:00:00-05:00", "T09:00:00-04:00"}
        assert journal.due["monthly"] == [f"2026-0{month}-01T00:00:00Z" for month in (2, 3, 4)]
        assert counts["forbid"] == 67  # the one that was held back starts when the other has ended
        assert counts["replace"] == 100
        running = [job for job in await plane.items(JOBS) if (job.get("status") or {}).get("active")]
        assert sorted(job["metadata"]["ownerReferences"][0]["name"] for job in running) in (
            ["forbid", "replace"], ["replace"],
        )  # fmt: skip
        # One run is made up for what was missed while it was suspended.
        assert counts["suspended"] == 40 + 1 + 30
        left = Counter(job["metadata"]["ownerReferences"][0]["name"] for job in await plane.items(JOBS))
        assert left["daily"] == left["berlin"] == 3  # the history limit


@virtual_time
async def test_after_a_long_sleep_each_schedule_is_caught_up_on_once() -> None:
    journal = Journal()
    async with control_plane(nodes=1, heartbeats=False, without={*CONTROLLERS} - BESIDE) as plane:
        await plane.client.patch(GVR("", "v1", "nodes"), "node-0", {"spec": {"taints": None}})
        keeping = asyncio.create_task(journal.keep(plane))
        await plane.create(CRON_JOBS, cron_job("minutes", "*/5 * * * *"))
        await plane.create(CRON_JOBS, cron_job("days", "0 1 * * *"))
        await plane.create(CRON_JOBS, cron_job("punctual", "0 1 * * *", startingDeadlineSeconds=60))
        async with crashing_controllers(plane, KILLED, Crash()):
            await asyncio.sleep(3700)
        before = Counter({name: len(due) for name, due in journal.due.items()})
        assert before == {"minutes": 12, "days": 1, "punctual": 1}
        await asyncio.sleep(30 * DAY)
        async with crashing_controllers(plane, KILLED, Crash()):
            await asyncio.sleep(100)
        keeping.cancel()
        after = Counter({name: len(due) for name, due in journal.due.items()})
        assert after == {"minutes": 13, "days": 2, "punctual": 1}
        assert journal.due["minutes"][-1] == "2026-01-31T01:00:00Z"
        assert journal.due["days"][-1] == "2026-01-31T01:00:00Z"
