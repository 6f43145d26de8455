"""Turns the runtime's counters into use per second, when somebody asks: between two readings, without polling.

A reading that is young enough is used again, one that is not too old is what the next is compared with; after a long
silence two are taken shortly one after the other.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

Numbers = Mapping[str, float]
Figures = Mapping[str, Mapping[str, Numbers]]
"""{pod uid: {container name: numbers}}, as the runtime's `stats` gives them."""

FRESH_SECONDS = 5.0
_OLDEST_SECONDS = 90.0
_FIRST_WINDOW_SECONDS = 1.0
NANO = 1_000_000_000


class UsageReader:
    """Gives the newest figures with `cpu_nano_cores` and `window` (seconds) added. Callers share one reading."""

    def __init__(self, read: Callable[[], Awaitable[Figures]]) -> None:
        self._read = read
        self._lock = asyncio.Lock()
        self._newest: Figures = {}
        self._read_at: float | None = None
        self._answer: Figures = {}

    async def figures(self) -> Figures:
        async with self._lock:
            now = asyncio.get_running_loop().time()
            age = now - self._read_at if self._read_at is not None else _OLDEST_SECONDS
            if age < FRESH_SECONDS:
                return self._answer
            if age >= _OLDEST_SECONDS:
                self._newest = await self._read()
                if self._newest:
                    await asyncio.sleep(_FIRST_WINDOW_SECONDS)
            before, self._newest = self._newest, await self._read()
            self._read_at = asyncio.get_running_loop().time()
            self._answer = with_use(before, self._newest)
            return self._answer


def with_use(before: Figures, after: Figures) -> dict[str, dict[str, dict[str, float]]]:
    """The later figures with `cpu_nano_cores` and `window`; a container whose use can't be told goes without them."""
    return {
        uid: {name: _with_use(before.get(uid, {}).get(name), numbers) for name, numbers in containers.items()}
        for uid, containers in after.items()
    }


def _with_use(before: Numbers | None, after: Numbers) -> dict[str, float]:
    """A container that began after the first reading is measured from its start."""
    start, used = after.get("started_at") or 0.0, 0.0
    if before is not None and before["cpu_ns"] <= after["cpu_ns"] and before["time"] >= start:
        start, used = before["time"], before["cpu_ns"]
    window = after["time"] - start
    if not start or window <= 0:
        return dict(after)
    return {**after, "cpu_nano_cores": (after["cpu_ns"] - used) / window, "window": window}
