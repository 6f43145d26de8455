"""Garbage collection: what survived once is left alone, and cycles go all the same, if only in the large round."""

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from minikube_py.garbage import GarbageCollection


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


class Knot:
    """Refers to itself, so that only the collector can free it."""

    def __init__(self) -> None:
        self.itself: Knot | None = self


async def test_what_survives_is_not_looked_at_again_and_young_cycles_go() -> None:
    with GarbageCollection().in_force():
        kept = [[number] for number in range(100)]
        young = weakref.ref(Knot())
        gc.collect(0)
        assert young() is None
        assert not any(found is kept for generation in range(3) for found in gc.get_objects(generation))
    assert len(kept) == 100


async def test_cycles_that_were_alive_at_the_wrong_moment_go_in_the_large_round() -> None:
    with GarbageCollection(young_collections=3).in_force():
        knot = Knot()
        gc.collect(0)
        old = weakref.ref(knot)
        del knot
        gc.collect(0)
        assert old() is not None
        gc.collect(0)
        await asyncio.sleep(0)
        assert old() is None


async def test_afterwards_everything_is_as_before() -> None:
    thresholds, callbacks = gc.get_threshold(), list(gc.callbacks)
    with GarbageCollection().in_force():
        assert gc.get_threshold() != thresholds
    assert gc.get_threshold() == thresholds
    assert gc.callbacks == callbacks
