"""Events go by age, number and size, the longest unchanged first, and nothing runs in between."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import orjson

from minikube_py import clock
from minikube_py.apiserver.event_retention import RESOURCE, EventBounds, EventRetention, written_at
from minikube_py.store.memory import MemoryStore
from minikube_py.store.protocol import Draft, Key, StoreUnavailable, Value
from tests.support.virtual_time import virtual_time

DAY = 24 * 3600.0


def key(name: str) -> Key:
    return Key(RESOURCE, "default", name)


def draft(size: int = 100, written: str = "") -> Draft:
    head = orjson.dumps({"lastTimestamp": written or clock.rfc3339(), "text": "x" * size})[:-1] + b',"rv":"'
    return Draft(Value(head, b'"}'), "u")


def names(store: MemoryStore) -> list[str]:
    return [record.key.name for record in store.list(RESOURCE).records]


@asynccontextmanager
async def kept(store: MemoryStore, bounds: EventBounds) -> AsyncIterator[None]:
    running = asyncio.ensure_future(EventRetention(store, bounds).run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@virtual_time
async def test_an_event_goes_a_week_after_it_was_last_written() -> None:
    store = MemoryStore()
    async with kept(store, EventBounds()):
        first = await store.create(key("a"), draft())
        await asyncio.sleep(3 * DAY)
        await store.create(key("b"), draft())
        await store.update(key("a"), draft(), first.revision)
        await store.create(Key("/pods", "default", "p"), draft())
        await asyncio.sleep(7 * DAY - 1)
        assert names(store) == ["a", "b"]
        await asyncio.sleep(2)
        assert names(store) == []
        assert len(store.list("/pods").records) == 1


@virtual_time
async def test_events_of_an_earlier_life_keep_their_age() -> None:
    store = MemoryStore()
    await store.create(key("old"), draft(written="2025-12-20T00:00:00Z"))
    await store.create(key("young"), draft(written="2025-12-30T00:00:00Z"))
    async with kept(store, EventBounds()):
        await asyncio.sleep(0.01)
        assert names(store) == ["young"]
        await asyncio.sleep(5 * DAY + 1)
        assert names(store) == []


@virtual_time
async def test_the_number_is_bounded_and_the_longest_unchanged_go_first() -> None:
    store = MemoryStore()
    async with kept(store, EventBounds(max_events=1000)):
        first = await store.create(key("e0000"), draft())
        for number in range(1, 1020):
            await store.create(key(f"e{number:04}"), draft())
        await store.update(key("e0000"), draft(), first.revision)
        await asyncio.sleep(0.01)
        assert len(names(store)) == 1020
        await store.create(key("last"), draft())
        await asyncio.sleep(0.01)
        assert len(names(store)) == 1000
        assert names(store)[:2] == ["e0000", "e0022"]
        assert "last" in names(store)


@virtual_time
async def test_the_size_is_bounded_also_at_the_start() -> None:
    store = MemoryStore()
    for number in range(1500):
        await store.create(key(f"e{number:04}"), draft(1000))
    size = len(store.list(RESOURCE).records[-1].data)
    async with kept(store, EventBounds(max_bytes=10 * size)):
        await asyncio.sleep(0.01)
        assert names(store) == [f"e{number:04}" for number in range(1490, 1500)]


@virtual_time
async def test_a_store_that_cannot_write_is_tried_again() -> None:
    class Full(MemoryStore):
        is_full = True

        async def delete(self, key: Key, expected: int) -> object:  # type: ignore[override]
            if self.is_full:
                raise StoreUnavailable("disk full")
            return await super().delete(key, expected)

    store = Full()
    await store.create(key("a"), draft(written="2025-01-01T00:00:00Z"))
    async with kept(store, EventBounds()):
        await asyncio.sleep(1)
        assert names(store) == ["a"]
        store.is_full = False
        await asyncio.sleep(120)
        assert names(store) == []


@virtual_time
async def test_an_idle_server_wakes_for_an_expiry_only() -> None:
    store = MemoryStore()
    async with kept(store, EventBounds()):
        await store.create(key("a"), draft())
        await asyncio.sleep(0.01)
        loop = asyncio.get_running_loop()
        timers = [handle for handle in loop._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
        assert [round(handle.when() - loop.time()) for handle in timers] == [7 * DAY]


@virtual_time
async def test_an_event_with_a_time_in_the_future_counts_as_new() -> None:
    assert written_at({"lastTimestamp": "2030-01-01T00:00:00Z"}) == clock.seconds()
    assert (
        written_at({"metadata": {"creationTimestamp": "2025-12-31T00:00:00Z"}})
        == clock.parse("2025-12-31T00:00:00Z").timestamp()
    )
    assert written_at({}) == 0.0
