"""The queue: order, back-off, and waking by what changed."""

import asyncio

from minikube_py.scheduler.framework import Change, Wake
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.queue import SchedulingQueue
from tests.support.virtual_time import running_loop, virtual_time
from tests.unit.scheduler.cluster_picture import info, pod


def queue() -> SchedulingQueue:
    return SchedulingQueue(lambda _pod, rule, change: rule == "Fit" and change.wake is Wake.POD_GONE)


def made(name: str, priority: int = 0) -> PodInfo:
    return info(pod(name, priority=priority))


@virtual_time
async def test_important_pods_first_then_in_order_of_arrival() -> None:
    waiting = queue()
    for name, priority in (("a", 0), ("b", 0), ("vip", 9)):
        waiting.put(made(name, priority))
    assert [(await waiting.take()).pod.name for _ in range(3)] == ["vip", "a", "b"]


@virtual_time
async def test_a_failed_pod_comes_back_only_after_a_change_that_helps() -> None:
    waiting = queue()
    waiting.put(made("a"))
    waiting.failed(await waiting.take(), {"Fit"})
    taking = asyncio.create_task(waiting.take())
    waiting.wake(Change(Wake.NODE_LABELS))
    await asyncio.sleep(60)
    assert not taking.done()
    waiting.wake(Change(Wake.POD_GONE))
    await asyncio.sleep(0.1)
    assert taking.done()


@virtual_time
async def test_back_off_grows_to_ten_seconds() -> None:
    waiting = queue()
    waiting.put(made("a"))
    waits = []
    entry = await waiting.take()
    for _ in range(6):
        started = running_loop().time()
        waiting.failed(entry, {"Fit"})
        waiting.wake(Change(Wake.POD_GONE))
        entry = await waiting.take()
        waits.append(round(running_loop().time() - started, 2))
    assert waits == [1, 2, 4, 8, 10, 10]


@virtual_time
async def test_without_a_change_nothing_happens() -> None:
    waiting = queue()
    waiting.put(made("a"))
    waiting.failed(await waiting.take(), {"Affinity"})
    taking = asyncio.create_task(waiting.take())
    await asyncio.sleep(100_000)
    assert not taking.done()
    taking.cancel()


@virtual_time
async def test_a_removed_pod_never_comes() -> None:
    waiting = queue()
    gone = made("gone")
    waiting.put(gone)
    waiting.put(made("here"))
    waiting.remove(gone.uid)
    assert (await waiting.take()).pod.name == "here"
    assert len(waiting) == 1


@virtual_time
async def test_a_pod_that_waits_for_its_victims_takes_their_place_at_once() -> None:
    waiting = queue()
    for name, node_name in (("promised", "n1"), ("other", "")):
        pending = made(name)
        pending.nominated = node_name
        waiting.put(pending)
        waiting.failed(await waiting.take(), {"Fit"})
    waiting.wake(Change(Wake.POD_GONE, pod=info(pod(), "n1")))
    assert (await waiting.take()).pod.name == "promised"
    assert running_loop().time() == 0
    assert (await waiting.take()).pod.name == "other"
    assert running_loop().time() == 1
