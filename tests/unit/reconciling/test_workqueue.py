"""The work queue: one worker per key, delays, back-off; and the controller loop over it."""

import asyncio
from collections.abc import Sequence

from minikube_py.objects.errors import Conflict
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source, run_controller
from minikube_py.reconciling.workqueue import WorkQueue
from tests.support.virtual_time import running_loop, virtual_time


@virtual_time
async def test_a_key_added_twice_comes_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    queue.add("a")
    assert len(queue) == 1


@virtual_time
async def test_a_key_added_while_it_is_worked_on_comes_again_only_after_done() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"


@virtual_time
async def test_of_several_delays_the_earliest_holds() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 50)
    queue.add_after("a", 3)
    queue.add_after("a", 20)
    assert await queue.get() == "a"
    assert running_loop().time() == 3


@virtual_time
async def test_back_off_doubles_and_ends_with_forget() -> None:
    queue: WorkQueue[str] = WorkQueue()
    waits = []
    for _ in range(4):
        before = running_loop().time()
        queue.add_rate_limited("a")
        queue.done(await queue.get())
        waits.append(round(running_loop().time() - before, 3))
    assert waits == [0.005, 0.01, 0.02, 0.04]
    queue.forget("a")
    assert queue.failures("a") == 0


@virtual_time
async def test_a_cancelled_waiter_passes_its_wake_up_on() -> None:
    queue: WorkQueue[str] = WorkQueue()
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await asyncio.wait_for(second, 1) == "a"


class Stubborn:
    """Fails twice on each key, then wants to be asked again once."""

    name = "stubborn"

    def __init__(self) -> None:
        self.calls: list[tuple[float, Key]] = []

    def bind(self, queue: WorkQueue[Key]) -> None:
        queue.add(Key("", "x"))

    def sources(self) -> Sequence[Source]:
        return ()

    async def reconcile(self, key: Key) -> float | None:
        self.calls.append((round(running_loop().time(), 3), key))
        if len(self.calls) == 1:
            raise Conflict("stale")
        if len(self.calls) == 2:
            raise ValueError("a bug")
        return 60 if len(self.calls) == 3 else None


@virtual_time
async def test_failures_are_retried_and_a_wish_to_look_again_is_granted() -> None:
    controller = Stubborn()
    task = asyncio.create_task(run_controller(controller, workers=2))
    await asyncio.sleep(3600)
    task.cancel()
    assert [when for when, _ in controller.calls] == [0, 0.005, 0.015, 60.015]
