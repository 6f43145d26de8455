"""The informer mirrors list and watch into its cache, tells each change once, and keeps assumed writes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from minikube_py.client.protocol import ObjectList, WatchEvent
from minikube_py.objects.errors import Expired, ServiceUnavailable
from minikube_py.reconciling.cache import Cache, CacheMutated, Key, set_mutation_detection
from minikube_py.reconciling.informer import Informer, InformerEvent
from minikube_py.resources.kind import GVR
from tests.support.virtual_time import virtual_time
from tests.unit.reconciling.scripted_client import ScriptedClient, thing

THINGS = GVR("", "v1", "things")


@asynccontextmanager
async def running(client: ScriptedClient) -> AsyncIterator[tuple[Informer, list[InformerEvent]]]:
    informer = Informer(client, THINGS)  # type: ignore[arg-type]
    seen: list[InformerEvent] = []
    informer.subscribe(seen.append)
    task = asyncio.create_task(informer.run())
    await informer.wait_synced()
    yield informer, seen
    task.cancel()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def told(seen: list[InformerEvent]) -> list[tuple[str, str]]:
    return [(e.type, f"{e.object['metadata']['name']}@{e.object['metadata']['resourceVersion']}") for e in seen]


async def test_list_then_watch_from_its_revision() -> None:
    client = ScriptedClient(ObjectList([thing("a", 3)], "5"))
    async with running(client) as (informer, seen):
        client.feed.put_nowait(WatchEvent("ADDED", thing("b", 6)))
        client.feed.put_nowait(WatchEvent("MODIFIED", thing("a", 7)))
        client.feed.put_nowait(WatchEvent("DELETED", thing("b", 8)))
        await settle()
        assert client.watched_from == ["5"]
        assert told(seen) == [("ADDED", "a@3"), ("ADDED", "b@6"), ("MODIFIED", "a@7"), ("DELETED", "b@8")]
        assert seen[2].previous == thing("a", 3)
        assert informer.cache.keys() == [Key("ns", "a")]


async def test_an_ended_watch_resumes_after_the_last_bookmark() -> None:
    client = ScriptedClient(ObjectList([], "5"))
    async with running(client):
        client.feed.put_nowait(WatchEvent("BOOKMARK", thing("", 40)))
        client.feed.put_nowait(None)
        await settle()
        assert client.watched_from == ["5", "40"]


async def test_an_expired_watch_lists_again_and_tells_only_differences() -> None:
    client = ScriptedClient(
        ObjectList([thing("a", 3), thing("b", 4)], "5"), ObjectList([thing("a", 3), thing("c", 9)], "9")
    )
    async with running(client) as (_, seen):
        seen.clear()
        client.feed.put_nowait(Expired("too old"))
        await settle()
        assert told(seen) == [("DELETED", "b@4"), ("ADDED", "c@9")]
        assert client.watched_from == ["5", "9"]


@virtual_time
async def test_a_failed_list_is_tried_again() -> None:
    client = ScriptedClient(ServiceUnavailable("down"), ServiceUnavailable("down"), ObjectList([thing("a", 1)], "1"))
    async with running(client) as (informer, _):
        assert len(informer.cache) == 1


async def test_an_object_replaced_by_its_namesake_is_told_as_deleted_and_added() -> None:
    client = ScriptedClient(ObjectList([thing("a", 3, uid="old")], "5"), ObjectList([thing("a", 8, uid="new")], "9"))
    async with running(client) as (_, seen):
        client.feed.put_nowait(Expired("too old"))
        await settle()
        assert [event.type for event in seen] == ["ADDED", "DELETED", "ADDED"]


async def test_an_assumed_write_is_cached_at_once_and_told_when_the_watch_has_it() -> None:
    client = ScriptedClient(ObjectList([thing("a", 3)], "5"))
    async with running(client) as (informer, seen):
        seen.clear()
        informer.assume(thing("a", 7, step="mine"))
        assert informer.cache.get("ns", "a") == thing("a", 7, step="mine")
        assert seen == []
        client.feed.put_nowait(WatchEvent("MODIFIED", thing("a", 6)))  # someone else's write before ours
        await settle()
        assert informer.cache.get("ns", "a") == thing("a", 7, step="mine")
        client.feed.put_nowait(WatchEvent("MODIFIED", thing("a", 7, step="mine")))
        await settle()
        assert told(seen) == [("MODIFIED", "a@6"), ("MODIFIED", "a@7")]
        assert seen[0].previous == thing("a", 3)
        assert seen[1].previous == thing("a", 6)


async def test_an_assumed_create_that_the_watch_has_passed_is_ignored() -> None:
    client = ScriptedClient(ObjectList([], "5"))
    async with running(client) as (informer, seen):
        client.feed.put_nowait(WatchEvent("ADDED", thing("a", 6)))
        client.feed.put_nowait(WatchEvent("DELETED", thing("a", 7)))
        await settle()
        informer.assume(thing("a", 6))
        assert len(informer.cache) == 0
        assert told(seen) == [("ADDED", "a@6"), ("DELETED", "a@7")]


async def test_an_assumed_namesake_outlives_the_deletion_of_the_old_object() -> None:
    client = ScriptedClient(ObjectList([thing("a", 3, uid="old")], "5"))
    async with running(client) as (informer, seen):
        informer.assume(thing("a", 8, uid="new"))
        client.feed.put_nowait(WatchEvent("DELETED", thing("a", 7, uid="old")))
        await settle()
        assert informer.cache.get("ns", "a") == thing("a", 8, uid="new")
        client.feed.put_nowait(WatchEvent("ADDED", thing("a", 8, uid="new")))
        await settle()
        assert told(seen) == [("ADDED", "a@3"), ("DELETED", "a@7"), ("ADDED", "a@8")]


async def test_assume_deleting_shows_the_deletion_until_the_watch_has_it() -> None:
    client = ScriptedClient(ObjectList([thing("a", 3)], "5"))
    async with running(client) as (informer, seen):
        informer.assume_deleting(thing("a", 3))
        cached = informer.cache.get("ns", "a")
        assert cached is not None
        assert cached["metadata"]["deletionTimestamp"]
        client.feed.put_nowait(WatchEvent("DELETED", thing("a", 6)))
        await settle()
        assert len(informer.cache) == 0
        assert "deletionTimestamp" not in seen[-1].previous["metadata"]  # type: ignore[index]


async def test_a_late_subscriber_is_told_what_is_there() -> None:
    client = ScriptedClient(ObjectList([thing("a", 3)], "5"))
    async with running(client) as (informer, _):
        late: list[InformerEvent] = []
        informer.subscribe(late.append)
        assert told(late) == [("ADDED", "a@3")]


def test_indexes_follow_changes() -> None:
    cache = Cache({"colour": lambda obj: [obj["colour"]]})
    cache.put(thing("a", 1, colour="red"))
    cache.put(thing("b", 2, colour="red"))
    cache.put(thing("a", 3, colour="blue"))
    assert [o["metadata"]["name"] for o in cache.by_index("colour", "red")] == ["b"]
    cache.remove(Key("ns", "b"))
    assert cache.by_index("colour", "red") == []
    assert len(cache) == 1


def test_a_changed_cached_object_is_noticed() -> None:
    set_mutation_detection(True)
    try:
        cache = Cache()
        shared = thing("a", 1)
        cache.put(shared)
        shared["metadata"]["labels"] = {"x": "y"}
        with pytest.raises(CacheMutated):
            cache.verify_unchanged()
    finally:
        set_mutation_detection(False)
