"""Delays reconciles of keys whose last one took long, so that a flood of changes is answered in few passes."""

import asyncio

from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.workqueue import WorkQueue

# A key may keep the loop busy for a tenth of the time.
_SHARE = 10.0
_LONGEST_SECONDS = 1.0
_NOTABLE_SECONDS = 0.002


class Pacer:
    """Remembers how long the last reconcile of each key computed."""

    def __init__(self, queue: WorkQueue[Key]) -> None:
        self._queue = queue
        self._costs: dict[Key, float] = {}

    def add(self, key: Key) -> None:
        cost = self._costs.get(key, 0.0)
        if cost < _NOTABLE_SECONDS:
            self._queue.add(key)
        else:
            self._queue.add_after(key, min(cost * _SHARE, _LONGEST_SECONDS))

    def note(self, key: Key, started: float) -> None:
        """Say how long the computation took: from loop.time() `started` until now."""
        cost = asyncio.get_running_loop().time() - started
        if cost >= _NOTABLE_SECONDS:
            self._costs[key] = cost
        else:
            self._costs.pop(key, None)
