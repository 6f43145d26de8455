"""Keeps long work from holding up others: on the loop in short slices, one in each round, or in a thread of its own."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import ParamSpec, TypeVar

from minikube_py.apiserver.call import ApiCall

P = ParamSpec("P")
T = TypeVar("T")

LARGE_BODY_BYTES = 128 * 1024
"""From here on the steps of a write take milliseconds and more."""
SLICE_SECONDS = 0.002
_PIECE_BYTES = 256 * 1024


class Turns:
    """Wakes one of those who wait in each round of the loop, so that many long answers take no more of it than one."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_due = False

    async def next(self) -> None:
        loop = asyncio.get_running_loop()
        mine = loop.create_future()
        self._waiting.append(mine)
        if not self._is_due:
            self._is_due = True
            loop.call_soon(self._wake_one)
        await mine

    def _wake_one(self) -> None:
        while self._waiting:
            first = self._waiting.popleft()
            if not first.done():
                first.set_result(None)
                break
        self._is_due = bool(self._waiting)
        if self._is_due:
            asyncio.get_running_loop().call_soon(self._wake_one)


def sliced(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that took a slice's time to make, or are as large as is good to write at once."""
    clock = asyncio.get_running_loop().time
    held: list[bytes] = []
    size, began = 0, clock()
    for part in parts:
        held.append(part)
        size += len(part)
        if size > _PIECE_BYTES or clock() - began > SLICE_SECONDS:
            yield b"".join(held)
            held, size, began = [], 0, clock()
    if held:
        yield b"".join(held)


@cache
def _thread() -> ThreadPoolExecutor:
    """One thread: several would take the interpreter from the loop in turns."""
    return ThreadPoolExecutor(1, thread_name_prefix="large-requests")


async def run_step(call: ApiCall, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """A pure step of a write: at once, or in the thread when the request is large."""
    if not call.is_large:
        return step(*args, **kwargs)
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_thread(), partial(context.run, step, *args, **kwargs))
