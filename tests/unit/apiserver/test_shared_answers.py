"""What a write leaves in memory: one tree for its writer and for all who watch, if the writer only reads the answer."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from minikube_py.client.protocol import SHARED_ANSWER, PatchType, WatchEvent, WriteOptions
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import GVR
from tests.support.cluster import Cluster, test_cluster

CONFIG_MAPS = GVR("", "v1", "configmaps")
PODS = GVR("", "v1", "pods")
STATUS = WriteOptions(subresource="status", is_answer_shared=True)


def config_map() -> Object:
    return {"metadata": {"name": "a", "namespace": "default"}, "data": {"k": "v"}}


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with test_cluster() as made:
        yield made


class Watcher:
    """A watch in the process."""

    def __init__(self, cluster: Cluster, gvr: GVR) -> None:
        self._events = cluster.client().watch(gvr, resource_version=str(cluster.store.revision))
        self._next = asyncio.create_task(anext(self._events))

    async def event(self) -> WatchEvent:
        found = await self._next
        self._next = asyncio.create_task(anext(self._events))
        return found

    async def close(self) -> None:
        self._next.cancel()
        await asyncio.gather(self._next, return_exceptions=True)


@pytest.fixture
async def watcher(cluster: Cluster) -> AsyncIterator[Watcher]:
    made = Watcher(cluster, CONFIG_MAPS)
    await asyncio.sleep(0)
    yield made
    await made.close()


async def test_watchers_get_the_tree_of_a_writer_that_only_reads_it(cluster: Cluster, watcher: Watcher) -> None:
    written = await cluster.client().create(CONFIG_MAPS, config_map(), options=SHARED_ANSWER)
    assert (await watcher.event()).object is written
    again = await cluster.client().patch(CONFIG_MAPS, "a", {"data": {"k": "w"}}, "default", options=SHARED_ANSWER)
    assert (await watcher.event()).object is again


async def test_the_shared_tree_is_what_is_stored(cluster: Cluster, watcher: Watcher) -> None:
    await cluster.client().create(CONFIG_MAPS, config_map(), options=SHARED_ANSWER)
    seen = (await watcher.event()).object
    stored = cluster.store.list("/configmaps", "default").records[0]
    assert seen == orjson.loads(stored.data)
    assert seen["metadata"]["resourceVersion"] == str(stored.revision)


async def test_whoever_changes_an_answer_changes_nothing_else(cluster: Cluster, watcher: Watcher) -> None:
    written = await cluster.client().create(CONFIG_MAPS, config_map())
    written["data"]["k"] = "changed"
    assert (await watcher.event()).object["data"] == {"k": "v"}
    changed = await cluster.client().update(CONFIG_MAPS, written)
    assert (await watcher.event()).object["data"] == {"k": "changed"}
    assert changed["metadata"]["resourceVersion"] != ""


async def test_a_tree_that_nobody_watches_is_not_kept(cluster: Cluster) -> None:
    written = await cluster.client().create(CONFIG_MAPS, config_map(), options=SHARED_ANSWER)
    for _ in range(3):
        await asyncio.sleep(0)
    (found,) = (await cluster.client().list(CONFIG_MAPS)).items
    assert found == written
    assert found is not written


async def test_a_dry_run_reaches_nobody(cluster: Cluster, watcher: Watcher) -> None:
    options = WriteOptions(dry_run=True, is_answer_shared=True)
    await cluster.client().create(CONFIG_MAPS, config_map(), options=options)
    made = await cluster.client().create(CONFIG_MAPS, config_map(), options=SHARED_ANSWER)
    assert (await watcher.event()).object is made


async def test_later_writes_leave_an_earlier_tree_alone(cluster: Cluster) -> None:
    body = {"metadata": {"name": "p", "namespace": "default"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    watcher = Watcher(cluster, PODS)
    await asyncio.sleep(0)
    await cluster.client().create(PODS, body, options=SHARED_ANSWER)
    first = (await watcher.event()).object
    before = orjson.dumps(first)
    patch = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    await cluster.client().patch(PODS, "p", patch, "default", patch_type=PatchType.STRATEGIC, options=STATUS)
    await cluster.client().patch(PODS, "p", {"metadata": {"labels": {"a": "b"}}}, "default", options=SHARED_ANSWER)
    assert (await watcher.event()).object["status"]["phase"] == "Running"
    assert orjson.dumps(first) == before
    await watcher.close()
