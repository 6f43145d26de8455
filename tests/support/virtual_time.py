"""An event loop whose clock jumps to the next timer when nothing else is to do, so that tests never wait."""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

from minikube_py import clock

START_SECONDS = 1_767_225_600.0  # 2026-01-01T00:00:00Z
_THREAD_GRACE_SECONDS = 0.002


class _JumpingSelector(selectors.DefaultSelector):
    """Polls without waiting; where a real loop would sleep, the loop's clock is moved instead."""

    loop: "VirtualTimeLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if ready or timeout <= 0:
            return ready
        if self.loop.outside_work:
            # A thread is busy for somebody: give it real time before virtual time runs ahead of it.
            ready = super().select(_THREAD_GRACE_SECONDS)
            if ready or self.loop.outside_work:
                return ready
        self.loop.advance(timeout)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Time starts at START_SECONDS (wall clock) and moves only when every task waits for it."""

    def __init__(self) -> None:
        selector = _JumpingSelector()
        selector.loop = self
        self._virtual = 0.0
        self.outside_work = 0
        super().__init__(selector)
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._virtual

    def wall_clock(self) -> float:
        return START_SECONDS + self._virtual

    def advance(self, seconds: float) -> None:
        self._virtual += seconds

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        self.outside_work += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._work_done)
        return future

    def _work_done(self, _future: asyncio.Future[Any]) -> None:
        self.outside_work -= 1


def virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on virtual time; the program's wall clock follows. Fixtures of the test must be sync."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            with asyncio.Runner(loop_factory=_new_loop) as runner:
                runner.run(test(*args, **kwargs))
        finally:
            clock.reset_source()

    return run


def _new_loop() -> VirtualTimeLoop:
    loop = VirtualTimeLoop()
    clock.set_source(loop.wall_clock)
    return loop


def running_loop() -> VirtualTimeLoop:
    """The virtual loop of the running test."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return loop
