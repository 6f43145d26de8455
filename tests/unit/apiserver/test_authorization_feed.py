import asyncio
from contextlib import suppress

import orjson
import pytest

from minikube_py.apiserver.authz.catalog import build_authorization
from minikube_py.apiserver.authz.feed import AuthorizationFeed
from minikube_py.apiserver.authz.protocol import Verdict
from minikube_py.objects.errors import Object
from minikube_py.store.memory import MemoryStore
from minikube_py.store.protocol import Draft, Key, Value
from tests.support.identity import binding, request, user
from tests.support.object_reader import DictReader

GROUP = "rbac.authorization.k8s.io"
ROLE = {"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}]}
BINDING = binding("ClusterRoleBinding", "b", ("ClusterRole", "r"), {"kind": "User", "name": "jane"})
POD = {
    "metadata": {"name": "p", "namespace": "web"},
    "spec": {"nodeName": "a", "imagePullSecrets": [{"name": "pull"}]},
}


async def put(store: MemoryStore, resource: str, obj: Object) -> None:
    metadata = obj["metadata"]
    head, tail = orjson.dumps(obj)[:-1] + b',"resourceVersion":"', b'"}'
    key = Key(resource, metadata.get("namespace", ""), metadata["name"])
    await store.create(key, Draft(Value(head, tail), "uid"))


async def remove(store: MemoryStore, resource: str, name: str, namespace: str = "") -> None:
    key = Key(resource, namespace, name)
    record = store.get(key)
    assert record is not None
    await store.delete(key, record.revision)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def test_what_is_stored_counts_from_the_start_and_changes_follow(store: MemoryStore) -> None:
    await put(store, f"{GROUP}/clusterroles", ROLE)
    await put(store, "/pods", POD)
    authorization = build_authorization(DictReader())
    feed = AuthorizationFeed(store, authorization)
    feed.load()
    jane, node = user("jane"), user("system:node:a", "system:nodes")
    get_node, get_secret = request("get", "nodes", "", "x"), request("get", "secrets", "web", "pull")

    def may(who, what) -> bool:
        return authorization.union.authorize(who, what).verdict is Verdict.ALLOW

    assert may(node, get_secret)
    assert not may(jane, get_node)
    # Between load and run nothing is lost.
    await put(store, f"{GROUP}/clusterrolebindings", BINDING)
    task = asyncio.create_task(feed.run())
    try:
        await feed.settle()
        assert may(jane, get_node)
        await remove(store, f"{GROUP}/clusterrolebindings", "b")
        await remove(store, "/pods", "p", "web")
        await feed.settle()
        assert not may(jane, get_node)
        assert not may(node, get_secret)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
