"""Keeps the authorizers in step with the store."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import orjson

from minikube_py.apiserver.authz.catalog import Authorization
from minikube_py.apiserver.authz.rbac import GROUP, RESOURCES
from minikube_py.objects.errors import Object
from minikube_py.store.protocol import Change, ChangeType, Record, RevisionTrimmed, Store, WatcherTooSlow

_PODS = "/pods"


def parse(record: Record) -> Object:
    obj: Object = orjson.loads(record.data)
    return obj


class AuthorizationFeed:
    """`load` once before the first request, then `run` for as long as the server lives."""

    def __init__(
        self, store: Store, authorization: Authorization, read_pod: Callable[[Record], Object] = parse
    ) -> None:
        """read_pod gives a pod's object, which may be a shared one."""
        self._store = store
        self._read_pod = read_pod
        self._authorization = authorization
        self._watches: dict[str, AsyncIterator[Sequence[Change]]] = {}
        # What has been taken in, to drop what is gone after a watch had to start anew.
        self._seen: dict[str, dict[tuple[str, str], Record]] = {}

    @property
    def _resources(self) -> list[str]:
        return [*(f"{GROUP}/{name}" for name in RESOURCES), _PODS]

    def load(self) -> None:
        """Take in everything that is stored, and subscribe from that revision on."""
        for resource in self._resources:
            self._list(resource)

    async def run(self) -> None:
        if not self._watches:
            self.load()
        async with asyncio.TaskGroup() as group:
            for resource in self._resources:
                group.create_task(self._follow(resource), name=f"authorization feed of {resource}")

    async def settle(self) -> None:
        """Let changes that are committed already arrive; worth a try before a refusal is final."""
        for _ in range(3):
            await asyncio.sleep(0)

    def _list(self, resource: str) -> None:
        page = self._store.list(resource)
        self._watches[resource] = self._store.watch(resource, after=page.revision)
        before = self._seen.get(resource, {})
        now = {(r.key.namespace, r.key.name): r for r in page.records}
        for place, record in before.items():
            if place not in now:
                self._take(resource, record, deleted=True)
        for record in now.values():
            self._take(resource, record, deleted=False)
        self._seen[resource] = now

    async def _follow(self, resource: str) -> None:
        while True:
            try:
                async for changes in self._watches[resource]:
                    for change in changes:
                        self._apply(resource, change)
                return  # the store is closed
            except (RevisionTrimmed, WatcherTooSlow):
                self._list(resource)

    def _apply(self, resource: str, change: Change) -> None:
        place = (change.record.key.namespace, change.record.key.name)
        deleted = change.type is ChangeType.DELETED
        if deleted:
            self._seen[resource].pop(place, None)
        else:
            self._seen[resource][place] = change.record
        self._take(resource, change.record, deleted=deleted)

    def _take(self, resource: str, record: Record, *, deleted: bool) -> None:
        if resource == _PODS:
            self._authorization.node.observe_pod(self._read_pod(record), deleted=deleted)
        else:
            self._authorization.rbac.observe(resource.partition("/")[2], parse(record), deleted=deleted)
