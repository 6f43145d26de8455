"""Keeps Python's garbage collector from looking at the same objects again and again.

Almost everything here ends by reference counting; of a million objects the collector frees a few dozen. But with its
own generations it walks all that survived once more, in pauses that grow with the cluster: together a tenth to a
quarter of what a pod costs. So what survives a young collection is set aside (`gc.freeze`), and looked at only after
many of them: for cycles that were alive at the wrong moment.
"""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG_OBJECTS = 5_000
"""Container objects, made and not gone again, between two young collections of a millisecond or two."""

YOUNG_COLLECTIONS = 25_000
"""Between two collections of everything, each of which takes a second in a large cluster."""


class GarbageCollection:
    """Sets aside what survives, while `in_force`."""

    def __init__(self, young_objects: int = YOUNG_OBJECTS, young_collections: int = YOUNG_COLLECTIONS) -> None:
        self._young_objects = young_objects
        self._young_collections = young_collections
        self._count = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """From here on; everything that exists by now is taken for permanent."""
        self._loop, before = asyncio.get_running_loop(), gc.get_threshold()
        gc.collect()
        gc.freeze()
        gc.set_threshold(self._young_objects, *before[1:])
        gc.callbacks.append(self._collected)
        try:
            yield
        finally:
            gc.callbacks.remove(self._collected)
            gc.set_threshold(*before)

    def _collected(self, phase: str, _info: object) -> None:
        """Called by the collector, in whatever thread it ran."""
        if phase != "stop":
            return
        gc.freeze()
        self._count += 1
        if self._count >= self._young_collections and self._loop is not None and not self._loop.is_closed():
            self._count = 0
            self._loop.call_soon_threadsafe(self.collect_all)

    def collect_all(self) -> None:
        gc.unfreeze()
        gc.collect()
