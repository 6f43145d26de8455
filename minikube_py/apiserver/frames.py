"""Keeps the newest encoded watch frames, so that an event is encoded once for all who watch it in that form."""

from collections.abc import Hashable

_KEPT = 1024


class Frames:
    """Frames by (kind, revision, type, form), the oldest dropped first."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, bytes] = {}

    def get(self, place: Hashable) -> bytes | None:
        return self._kept.get(place)

    def put(self, place: Hashable, frame: bytes) -> None:
        if len(self._kept) >= _KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[place] = frame
