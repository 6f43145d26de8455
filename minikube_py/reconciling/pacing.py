"""Delays reconciles of keys that are costly to reconcile, so that a flood of changes is answered in few passes."""

from collections.abc import Callable, Iterable

from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.informer import InformerEvent
from minikube_py.reconciling.workqueue import WorkQueue

# A key may keep the loop busy for a tenth of the time.
_SHARE = 10.0
_LONGEST_SECONDS = 1.0
_NOTABLE_SECONDS = 0.002


class Pacer:
    """Remembers what the last reconcile of each key cost. A QueueBound controller hands its queue on to `bind`."""

    def __init__(self) -> None:
        self._queue: WorkQueue[Key] = WorkQueue()
        self._costs: dict[Key, float] = {}

    def bind(self, queue: WorkQueue[Key]) -> None:
        self._queue = queue

    def note(self, key: Key, cost_seconds: float) -> None:
        """Say how long the loop was busy with the key (measured, or estimated from its size)."""
        if cost_seconds >= _NOTABLE_SECONDS:
            self._costs[key] = cost_seconds
        else:
            self._costs.pop(key, None)

    def paced(self, keys: Callable[[InformerEvent], Iterable[Key]]) -> Callable[[InformerEvent], Iterable[Key]]:
        """The same keys, for a Source: costly ones are added later instead of at once."""

        def pace(event: InformerEvent) -> Iterable[Key]:
            for key in keys(event):
                cost = self._costs.get(key)
                if cost is None:
                    yield key
                else:
                    self._queue.add_after(key, min(cost * _SHARE, _LONGEST_SECONDS))

        return pace
