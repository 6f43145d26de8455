"""What every store promises: one suite over the memory store and the SQL store."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from minikube_py.store.past import list_at
from minikube_py.store.protocol import (
    Change,
    ChangeType,
    KeyExists,
    KeyNotFound,
    Record,
    RevisionConflict,
    RevisionTrimmed,
    Store,
    StoreUnavailable,
    WatcherTooSlow,
)
from minikube_py.store.retention import Retention
from tests.support.stores import LEASES, PODS, draft, key, opened, take


@pytest.fixture(params=["memory://", "sqlite://"])
def endpoint(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def store(endpoint: str, tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(endpoint, tmp_path) as made:
        yield made


async def test_create_gives_the_revision_and_puts_it_into_the_text(store: Store) -> None:
    record = await store.create(key("a"), draft("one", app="web"))
    assert orjson.loads(record.data)["rv"] == str(record.revision)
    assert record.data[record.rv_start : record.rv_end] == str(record.revision).encode()
    assert store.get(key("a")) == record
    assert store.revision == record.revision
    assert record.labels == {"app": "web"}


async def test_a_resource_knows_when_it_changed(store: Store) -> None:
    assert store.changed_at(PODS) == 0
    first = await store.create(key("a"), draft())
    assert store.changed_at(PODS) == first.revision
    second = await store.update(key("a"), draft("2"), first.revision)
    assert store.changed_at(PODS) == second.revision
    gone = await store.delete(key("a"), second.revision)
    assert store.changed_at(PODS) == gone.revision
    assert store.changed_at("/nothing") == 0


async def test_a_draft_is_told_of_its_record_before_the_watchers_are(store: Store) -> None:
    told: list[str] = []
    watch = store.watch(PODS, "")
    waiting = asyncio.create_task(anext(watch))
    waiting.add_done_callback(lambda _: told.append("watcher"))
    await asyncio.sleep(0)
    made = replace(draft("one"), on_commit=lambda record: told.append(f"writer {record.revision}"))
    record = await store.create(key("a"), made)
    await waiting
    await asyncio.sleep(0)
    assert told == [f"writer {record.revision}", "watcher"]
    with pytest.raises(KeyExists):
        await store.create(key("a"), made)
    assert len(told) == 2
    await watch.aclose()


async def test_create_twice_is_refused(store: Store) -> None:
    await store.create(key("a"), draft())
    with pytest.raises(KeyExists):
        await store.create(key("a"), draft())


async def test_update_needs_the_expected_revision(store: Store) -> None:
    first = await store.create(key("a"), draft("1"))
    second = await store.update(key("a"), draft("2"), first.revision)
    assert second.revision > first.revision
    with pytest.raises(RevisionConflict) as caught:
        await store.update(key("a"), draft("3"), first.revision)
    assert caught.value.current == second
    with pytest.raises(KeyNotFound):
        await store.update(key("b"), draft(), 1)


async def test_delete_carries_the_last_state_at_its_own_revision(store: Store) -> None:
    record = await store.create(key("a"), draft("last"))
    change = await store.delete(key("a"), record.revision)
    assert change.type is ChangeType.DELETED
    assert orjson.loads(change.record.data) == {"uid": "u-1", "labels": {}, "text": "last", "rv": str(change.revision)}
    assert store.get(key("a")) is None
    with pytest.raises(KeyNotFound):
        await store.delete(key("a"), record.revision)


async def test_list_is_ordered_and_bounded_by_namespace(store: Store) -> None:
    for namespace, name in (("b", "2"), ("a", "9"), ("b", "1"), ("a-b", "0")):
        await store.create(key(name, namespace), draft())
    await store.create(key("x", "b", "/configmaps"), draft())
    page = store.list(PODS)
    assert [(r.key.namespace, r.key.name) for r in page.records] == [("a", "9"), ("a-b", "0"), ("b", "1"), ("b", "2")]
    assert [r.key.name for r in store.list(PODS, "b").records] == ["1", "2"]
    assert page.revision == store.revision


async def test_a_watch_sees_what_came_before_and_after_it_began(store: Store) -> None:
    first = await store.create(key("a"), draft("1", app="x"))
    watch = store.watch(PODS, after=0)
    second = await store.update(key("a"), draft("2", app="y"), first.revision)
    await store.create(key("other", resource="/configmaps"), draft())
    await store.delete(key("a"), second.revision)
    changes = await take(watch, 3)
    assert [c.type for c in changes] == [ChangeType.ADDED, ChangeType.MODIFIED, ChangeType.DELETED]
    assert [c.previous.labels if c.previous else None for c in changes] == [None, {"app": "x"}, {"app": "y"}]
    await watch.aclose()  # type: ignore[attr-defined]


async def test_a_watch_from_any_revision_resumes_right_after_it(store: Store) -> None:
    revisions = [(await store.create(key(f"n{i}"), draft())).revision for i in range(5)]
    for position, revision in enumerate(revisions[:-1]):
        changes = await take(store.watch(PODS, after=revision), len(revisions) - position - 1)
        assert [c.revision for c in changes] == revisions[position + 1 :]


async def test_writers_and_watchers_at_once_see_one_order(store: Store) -> None:
    watchers = [store.watch(PODS, after=0) for _ in range(4)]

    async def write(number: int) -> None:
        record = await store.create(key(f"w{number}"), draft("0"))
        for step in range(1, 5):
            record = await store.update(record.key, draft(str(step)), record.revision)
        await store.delete(record.key, record.revision)

    await asyncio.gather(*(write(n) for n in range(20)))
    orders = [[c.revision for c in await take(w, 120)] for w in watchers]
    assert orders[0] == sorted(orders[0])
    assert len(set(orders[0])) == 120
    assert all(order == orders[0] for order in orders)


async def test_a_cancelled_caller_hides_no_change(store: Store) -> None:
    watch = store.watch(PODS, after=0)
    tasks = [asyncio.create_task(store.create(key(f"c{n}"), draft())) for n in range(40)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    last = await store.create(key("last"), draft())
    seen: list[Change] = []
    while not seen or seen[-1].revision < last.revision:
        seen.extend(await take(watch, 1))
    assert {c.record.key for c in seen} == {r.key for r in store.list(PODS).records}
    assert [c.revision for c in seen] == sorted(c.revision for c in seen)


async def test_history_past_the_bound_is_gone(endpoint: str, tmp_path: Path) -> None:
    async with opened(endpoint, tmp_path, Retention(max_changes=10, slice_size=5)) as store:
        first = await store.create(key("first"), draft())
        for number in range(30):
            await store.create(key(f"n{number}"), draft())
        while await store.trim():
            pass
        with pytest.raises(RevisionTrimmed) as caught:
            store.watch(PODS, after=first.revision)
        assert len(await take(store.watch(PODS, after=caught.value.oldest), 10)) == 10


async def test_a_slow_watcher_is_cut_off_alone(endpoint: str, tmp_path: Path) -> None:
    async with opened(endpoint, tmp_path) as store:
        store._hub.buffer_changes = 5  # type: ignore[attr-defined]
        slow, quick = store.watch(PODS), store.watch(PODS)
        for number in range(10):
            await store.create(key(f"n{number}"), draft())
            assert len(await take(quick, 1)) == 1
        with pytest.raises(WatcherTooSlow):
            await anext(slow)


async def test_closing_a_watch_ends_its_iteration(store: Store) -> None:
    watch = store.watch(PODS)
    waiting = asyncio.ensure_future(anext(watch, None))
    await asyncio.sleep(0)
    await watch.aclose()  # type: ignore[attr-defined]
    assert await waiting is None


async def test_a_watch_from_the_future_starts_there(store: Store) -> None:
    watch = store.watch(PODS, after=store.revision + 2)
    for number in range(4):
        last = await store.create(key(f"n{number}"), draft())
    assert [c.revision for c in await take(watch, 2)] == [last.revision - 1, last.revision]


async def test_every_revision_that_is_kept_can_be_listed(store: Store) -> None:
    states = [await seen_by(store, steps=0)]
    for step in range(1, 10):
        states.append(await seen_by(store, steps=step))
    for revision, everything, one in states:
        assert await list_at(store, PODS, "", revision) == everything
        assert await list_at(store, PODS, "b", revision) == one


async def seen_by(store: Store, steps: int) -> tuple[int, Sequence[Record], Sequence[Record]]:
    """The store's lists after one more change of some kind."""
    place = key(f"n{steps % 3}", "ab"[steps % 2])
    current = store.get(place)
    if current is None:
        await store.create(place, draft(str(steps)))
    elif steps % 4:
        await store.update(place, draft(str(steps)), current.revision)
    else:
        await store.delete(place, current.revision)
    await store.create(key(f"other{steps}", "b", "/configmaps"), draft())
    return store.revision, store.list(PODS).records, store.list(PODS, "b").records


async def test_renewals_in_a_row_are_one_change_of_history(endpoint: str, tmp_path: Path) -> None:
    async with opened(endpoint, tmp_path, Retention(max_changes=10, slice_size=1)) as store:
        start = store.revision
        lease = await store.create(key("l", resource=LEASES), draft("0"))
        live = store.watch(LEASES, after=start)
        for number in range(1, 101):
            lease = await store.update(lease.key, draft(str(number)), lease.revision)
        await store.create(key("a"), draft())
        assert len(await take(live, 101)) == 101
        replayed = await take(store.watch(LEASES, after=start), 2)
        assert [c.type.value for c in replayed] == ["ADDED", "MODIFIED"]
        assert replayed[1].record == lease
        assert replayed[1].previous == replayed[0].record


async def test_closing_the_store_ends_its_watches_and_refuses_writes(endpoint: str, tmp_path: Path) -> None:
    async with opened(endpoint, tmp_path) as store:
        watch = store.watch(PODS)
        waiting = asyncio.ensure_future(anext(watch, None))
        await asyncio.sleep(0)
    assert await waiting is None
    with pytest.raises(StoreUnavailable):
        await store.create(key("late"), draft())


async def test_an_empty_store_does_not_stand_at_revision_zero(store: Store) -> None:
    assert store.list(PODS).revision > 0


async def test_a_nudge_gives_one_empty_batch(store: Store) -> None:
    watch = store.watch(PODS)
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    watch.nudge()
    assert list(await waiting) == []
    watch.nudge()
    assert list(await anext(watch)) == []
    watch.nudge()
    await store.create(key("a"), draft("a"))
    assert [c.type for c in await anext(watch)] == ["ADDED"]
    assert list(await anext(watch)) == []
    await watch.aclose()
