"""Hands out keys to workers: each key once, never to two workers at a time, with delays and back-off per key."""

import asyncio
from collections import deque
from collections.abc import Hashable
from time import perf_counter
from typing import Generic, TypeVar

from minikube_py.prometheus import Histogram, exponential

K = TypeVar("K", bound=Hashable)

_FIRST_RETRY_SECONDS = 0.005
_LONGEST_RETRY_SECONDS = 1000.0


class QueueClosed(Exception):
    """The queue was closed; no more keys come."""


BOUNDS = exponential(1e-8, 10, 10)
"""Upper ends of the histograms, in seconds, as client-go has them."""


class QueueCounts(Generic[K]):
    """What has passed through a queue, in plain numbers. Times are of perf_counter."""

    def __init__(self) -> None:
        self.adds = 0
        self.retries = 0
        self.waited = Histogram(BOUNDS)
        self.worked = Histogram(BOUNDS)
        self._added_at: dict[K, float] = {}
        self._taken_at: dict[K, float] = {}

    def added(self, key: K) -> None:
        self.adds += 1
        self._added_at[key] = perf_counter()

    def taken(self, key: K) -> None:
        now = perf_counter()
        self.waited.observe(now - self._added_at.pop(key, now))
        self._taken_at[key] = now

    def done(self, key: K) -> None:
        taken = self._taken_at.pop(key, None)
        if taken is not None:
            self.worked.observe(perf_counter() - taken)

    def unfinished(self) -> list[float]:
        """How long each key that is worked on has been worked on, in seconds."""
        now = perf_counter()
        return [now - taken for taken in self._taken_at.values()]


class WorkQueue(Generic[K]):
    """A key that is added while a worker has it is handed out again after `done`."""

    def __init__(
        self,
        *,
        first_retry_seconds: float = _FIRST_RETRY_SECONDS,
        longest_retry_seconds: float = _LONGEST_RETRY_SECONDS,
    ) -> None:
        self._first_retry = first_retry_seconds
        self._longest_retry = longest_retry_seconds
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()
        self._processing: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._closed = False
        self.counts: QueueCounts[K] = QueueCounts()

    def __len__(self) -> int:
        """How many keys wait now, not counting delayed ones."""
        return len(self._ready)

    @property
    def is_idle(self) -> bool:
        """Nothing waits and nobody works (delayed keys may exist)."""
        return not self._ready and not self._processing

    def add(self, key: K) -> None:
        if self._closed or key in self._dirty:
            return
        self._dirty.add(key)
        self.counts.added(key)
        if key not in self._processing:
            self._ready.append(key)
            self._wake()

    def add_after(self, key: K, seconds: float) -> None:
        """Add the key later; of several delays for one key the earliest holds."""
        if self._closed:
            return
        if seconds <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= when:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(when, self._expire, key)

    def add_rate_limited(self, key: K) -> None:
        """Add the key after its back-off: 5 ms, doubling with every call until `forget`, at most 1000 s."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.counts.retries += 1
        self.add_after(key, min(self._first_retry * 2 ** min(failures, 30), self._longest_retry))

    def forget(self, key: K) -> None:
        """Start the key's back-off afresh."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """How often the key was added with back-off since `forget`."""
        return self._failures.get(key, 0)

    async def get(self) -> K:
        """The next key; call `done` with it afterwards. Raises QueueClosed."""
        while not self._ready:
            if self._closed:
                raise QueueClosed
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake()  # pass the wake-up on
                elif waiter in self._waiters:
                    self._waiters.remove(waiter)
                raise
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        self.counts.taken(key)
        return key

    def done(self, key: K) -> None:
        self._processing.discard(key)
        self.counts.done(key)
        if key in self._dirty:
            self._ready.append(key)
            self._wake()

    def close(self) -> None:
        """End: timers are dropped and every waiting `get` raises QueueClosed once the ready keys are taken."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        while self._waiters:
            self._wake()

    def _expire(self, key: K) -> None:
        del self._timers[key]
        self.add(key)

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
