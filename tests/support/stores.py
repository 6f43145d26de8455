"""Opens stores for tests, makes drafts of small objects, and takes changes from a watch."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import orjson

from minikube_py.store.catalog import StoreSettings, open_store
from minikube_py.store.protocol import Change, Draft, Key, Store, Value
from minikube_py.store.retention import Retention
from minikube_py.store.soft import heartbeats_are_soft

PODS = "/pods"
LEASES = "coordination.k8s.io/leases"


def index(_key: Key, data: bytes) -> tuple[str, Mapping[str, str], Mapping[str, str]]:
    obj = orjson.loads(data)
    return obj["uid"], obj.get("labels", {}), {}


def draft(text: str = "x", **labels: str) -> Draft:
    head = orjson.dumps({"uid": "u-1", "labels": labels, "text": text})[:-1] + b',"rv":"'
    return Draft(Value(head, b'"}'), "u-1", labels)


def key(name: str, namespace: str = "default", resource: str = PODS) -> Key:
    return Key(resource, namespace, name)


def settings(folder: Path, retention: Retention | None = None) -> StoreSettings:
    return StoreSettings(folder, index, retention or Retention(), heartbeats_are_soft)


def opened(endpoint: str, folder: Path, retention: Retention | None = None) -> AbstractAsyncContextManager[Store]:
    return open_store(endpoint, settings(folder, retention))


async def take(watch: AsyncIterator[object], count: int) -> list[Change]:
    found: list[Change] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            found.extend(await anext(watch))  # type: ignore[arg-type]
    return found
