"""Keeps the newest encoded watch frames, so that an event is encoded once for all who watch it in that form."""

from collections.abc import Hashable

from minikube_py.resources.kind import GVK

_KEPT = 1024


class Frames:
    """Frames by (kind, revision, type, form), the oldest dropped first."""

    def __init__(self) -> None:
        self._kept: dict[tuple[GVK, *tuple[Hashable, ...]], bytes] = {}

    def get(self, place: tuple[GVK, *tuple[Hashable, ...]]) -> bytes | None:
        return self._kept.get(place)

    def put(self, place: tuple[GVK, *tuple[Hashable, ...]], frame: bytes) -> None:
        if len(self._kept) >= _KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[place] = frame

    def forget_kind(self, gvk: GVK) -> None:
        """Drops all frames of a kind that is served in another way now."""
        for place in [place for place in self._kept if place[0] == gvk]:
            del self._kept[place]
