"""Leader election by Lease: one works, another takes over, and whoever loses the Lease stops in time."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from minikube_py.objects.errors import Conflict, Object, ServiceUnavailable
from minikube_py.reconciling.informer import InformerSet
from minikube_py.reconciling.leader import LEASES, Election, Leader
from minikube_py.resources.kind import GVR
from minikube_py.scheduler.scheduler import Scheduler
from tests.flows.test_scheduling import PODS, node_of, pod
from tests.support.cluster import Cluster, test_cluster
from tests.support.control_plane import control_plane
from tests.support.virtual_time import virtual_time


class Worker:
    """Notes who works when: never two at a time."""

    busy: "Worker | None" = None

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name = name
        self.client: Any = Severable(cluster.client())
        self.leader = Leader(self.client, Election("kube-scheduler", name), self.work)
        self.starts: list[float] = []

    async def work(self) -> None:
        assert Worker.busy is None, f"{self.name} begins while {Worker.busy} works"
        Worker.busy = self
        self.starts.append(asyncio.get_running_loop().time())
        try:
            await asyncio.Event().wait()
        finally:
            Worker.busy = None


class Severable:
    """A client whose writes and reads fail while it is cut off."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.is_cut_off = False

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._inner, name)

        async def passed(*args: Any, **options: Any) -> Any:
            if self.is_cut_off:
                raise ServiceUnavailable("cut off")
            return await call(*args, **options)

        return passed


async def lease_of(cluster: Cluster) -> Object:
    spec: Object = (await cluster.client().get(LEASES, "kube-scheduler", "kube-system"))["spec"]
    return spec


async def stop(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@virtual_time
async def test_one_leads_and_the_other_takes_over_when_it_stops() -> None:
    async with test_cluster() as cluster:
        first, second = Worker(cluster, "first"), Worker(cluster, "second")
        leading = asyncio.create_task(first.leader.run())
        await asyncio.sleep(1)
        waiting = asyncio.create_task(second.leader.run())
        await asyncio.sleep(120)
        assert Worker.busy is first
        spec = await lease_of(cluster)
        assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("first", 15, 0)
        await stop(leading)
        assert (await lease_of(cluster))["holderIdentity"] == ""
        await asyncio.sleep(3)  # released: no need to wait until it has run out
        assert Worker.busy is second
        assert (await lease_of(cluster))["leaseTransitions"] == 1
        await stop(waiting)


@virtual_time
async def test_the_other_takes_over_from_one_that_died_once_the_lease_has_run_out() -> None:
    async with test_cluster() as cluster:
        first, second = Worker(cluster, "first"), Worker(cluster, "second")
        leading = asyncio.create_task(first.leader.run())
        await asyncio.sleep(1)
        waiting = asyncio.create_task(second.leader.run())
        await asyncio.sleep(20)
        first.client.is_cut_off = True  # it can't release it either
        died = asyncio.get_running_loop().time()
        await stop(leading)
        await asyncio.sleep(30)
        assert Worker.busy is second
        assert 12 < second.starts[0] - died < 20
        await stop(waiting)


@virtual_time
async def test_a_leader_that_is_cut_off_stops_before_the_other_begins_and_comes_back_later() -> None:
    async with test_cluster() as cluster:
        first, second = Worker(cluster, "first"), Worker(cluster, "second")
        tasks = [asyncio.create_task(first.leader.run())]
        await asyncio.sleep(1)
        tasks.append(asyncio.create_task(second.leader.run()))
        await asyncio.sleep(20)
        first.client.is_cut_off = True
        await asyncio.sleep(10.5)
        assert Worker.busy is None
        await asyncio.sleep(20)
        assert Worker.busy is second
        first.client.is_cut_off = False
        await asyncio.sleep(60)
        assert Worker.busy is second
        second.client.is_cut_off = True
        await asyncio.sleep(40)
        assert Worker.busy is first
        assert len(first.starts) == 2
        for task in tasks:
            await stop(task)


@virtual_time
async def test_a_leader_whose_lease_was_taken_stops_at_once() -> None:
    async with test_cluster() as cluster:
        first = Worker(cluster, "first")
        task = asyncio.create_task(first.leader.run())
        await asyncio.sleep(5)
        lease = await cluster.client().get(LEASES, "kube-scheduler", "kube-system")
        with suppress(Conflict):
            await cluster.client().update(LEASES, {**lease, "spec": {**lease["spec"], "holderIdentity": "thief"}})
        await asyncio.sleep(3)
        assert Worker.busy is None
        assert (await lease_of(cluster))["holderIdentity"] == "thief"
        await stop(task)


@virtual_time
async def test_work_that_fails_is_not_hidden() -> None:
    async def fail() -> None:
        raise LookupError("broken")

    async with test_cluster() as cluster:
        leader = Leader(cluster.client(), Election("x", "me"), fail)
        with pytest.raises(LookupError):
            await leader.run()
        assert (await cluster.client().get(LEASES, "x", "kube-system"))["spec"]["holderIdentity"] == ""


@virtual_time
async def test_two_schedulers_within_the_rights_of_kubernetes_policy() -> None:
    async with control_plane(nodes=2, without=("scheduler",)) as plane:

        async def candidate(name: str) -> None:
            client = plane.cluster.client("system:kube-scheduler", ("system:authenticated",))
            watched = InformerSet(client)
            async with asyncio.TaskGroup() as group:
                group.create_task(watched.run())
                leader = Leader(client, Election("kube-scheduler", name), lambda: Scheduler(client, watched).run())
                group.create_task(leader.run())

        first = asyncio.create_task(candidate("one"))
        await asyncio.sleep(1)
        second = asyncio.create_task(candidate("two"))
        await plane.create(PODS, pod("early"))
        await asyncio.sleep(2)
        assert await node_of(plane, "early")
        await stop(first)
        await plane.create(PODS, pod("late"))
        await asyncio.sleep(5)
        assert await node_of(plane, "late")
        lease = await plane.get(GVR("coordination.k8s.io", "v1", "leases"), "kube-scheduler", "kube-system")
        assert lease["spec"]["holderIdentity"] == "two"
        await stop(second)
