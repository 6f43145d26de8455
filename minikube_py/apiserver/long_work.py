"""Keeps long work from holding up others: on the loop in short slices, one in each round, or in a thread of its own."""

import asyncio
import contextvars
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from time import perf_counter
from typing import ParamSpec, TypeVar

from minikube_py.apiserver.call import ApiCall
from minikube_py.objects.json_pieces import IN_PIECES, free

P = ParamSpec("P")
T = TypeVar("T")

LONG_BYTES = 16 * 1024
"""From here on the steps of a write take a millisecond and more: they go on in a thread."""
LARGE_BYTES = 128 * 1024
"""From here on single calls take a millisecond and more."""
PIECE_BYTES = 128 * 1024
"""As much of an answer as is good to write at once."""
_SLICE_SECONDS = 0.0005
_MOST_GIVEN_WAY = 4
_SWITCH_SECONDS = 0.00002


class Turns:
    """Wakes one of those who wait at a time, so that many long answers hold up a round of the loop no more than one.

    Requests that have just come go before them, a few times at most: most are answered in less than a slice.
    """

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None] | Callable[[], object]] = deque()
        self._is_due = False
        self._has_arrived = False

    def give_way(self) -> None:
        """A request has come, and is answered in the next round of the loop."""
        self._has_arrived = True

    def call(self, step: Callable[[], object]) -> None:
        """Have a short step done in a turn: one of many that come at once."""
        self._waiting.append(step)
        if not self._is_due:
            self._wake_soon()

    async def next(self) -> None:
        mine = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        if not self._is_due:
            self._wake_soon()
        try:
            await mine
            for _ in range(_MOST_GIVEN_WAY):
                if not self._takes_back_arrival():
                    break
                await asyncio.sleep(0)
        finally:
            if mine.done() and not mine.cancelled():
                self._wake_soon()

    def _takes_back_arrival(self) -> bool:
        has_arrived, self._has_arrived = self._has_arrived, False
        return has_arrived

    def _wake_soon(self) -> None:
        self._is_due = bool(self._waiting)
        if self._is_due:
            asyncio.get_running_loop().call_soon(self._wake_one)

    def _wake_one(self, given_way: int = 0) -> None:
        while self._waiting:
            first = self._waiting.popleft()
            if callable(first):
                if given_way < _MOST_GIVEN_WAY and self._takes_back_arrival():
                    self._waiting.appendleft(first)
                    asyncio.get_running_loop().call_soon(self._wake_one, given_way + 1)
                    return
                self._wake_soon()
                first()
                return
            if not first.done():
                first.set_result(None)
                return
        self._is_due = False


class Slice:
    """How long a piece of long work may still go on before others have their turn."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._end = perf_counter() + _SLICE_SECONDS

    @property
    def is_over(self) -> bool:
        return perf_counter() > self._end

    async def next(self) -> None:
        """Wait for a turn, and begin the next slice with it."""
        await self._turns.next()
        self._end = perf_counter() + _SLICE_SECONDS


def sliced(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that took a slice's time to make, or are as large as is good to write at once."""
    held: list[bytes] = []
    size, end = 0, perf_counter() + _SLICE_SECONDS
    for part in parts:
        held.append(part)
        size += len(part)
        if size >= PIECE_BYTES or perf_counter() > end:
            yield b"".join(held)
            held, size, end = [], 0, perf_counter() + _SLICE_SECONDS
    if held:
        yield b"".join(held)


@cache
def _thread(name: str) -> ThreadPoolExecutor:
    """One thread for each size: several would take the interpreter from the loop in turns."""
    return ThreadPoolExecutor(1, thread_name_prefix=name)


async def joined(parts: Sequence[bytes]) -> bytes:
    """All of them in one, put together in a thread when they are much."""
    if len(parts) == 1:
        return parts[0]
    if sum(map(len, parts)) <= LARGE_BYTES:
        return b"".join(parts)
    return await _run("long-requests", contextvars.copy_context(), partial(b"".join, parts))


async def run_step(call: ApiCall, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """A pure step of a write: at once, or in a thread when the request is long."""
    if call.size <= LONG_BYTES:
        return step(*args, **kwargs)
    if call.size > LARGE_BYTES:
        return await run_large(step, *args, **kwargs)
    return await _run("long-requests", contextvars.copy_context(), partial(step, *args, **kwargs))


async def run_large(step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """A pure step that takes long whatever its size, in the thread where JSON is read and written in pieces."""
    context = contextvars.copy_context()
    context.run(IN_PIECES.set, True)
    return await _run("large-requests", context, partial(step, *args, **kwargs))


async def _run(thread: str, context: contextvars.Context, step: Callable[[], T]) -> T:
    _quick_switches.begin()
    try:
        return await asyncio.get_running_loop().run_in_executor(_thread(thread), context.run, step)
    finally:
        _quick_switches.end()


class _QuickSwitches:
    """While a thread is at work, the loop asks for the interpreter back sooner: an answer needs it several times."""

    def __init__(self) -> None:
        self._count = 0
        self._usual = 0.0

    def begin(self) -> None:
        if not self._count:
            self._usual = sys.getswitchinterval()
            sys.setswitchinterval(_SWITCH_SECONDS)
        self._count += 1

    def end(self, *_: object) -> None:
        self._count -= 1
        if not self._count:
            sys.setswitchinterval(self._usual)


_quick_switches = _QuickSwitches()


def free_later(call: ApiCall) -> None:
    """Has the trees that a large request leaves behind freed where that holds up nobody: when the request is over."""
    if call.leftovers:
        _quick_switches.begin()
        freeing = asyncio.get_running_loop().run_in_executor(_thread("large-requests"), free, call.leftovers)
        freeing.add_done_callback(_quick_switches.end)
