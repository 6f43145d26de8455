"""Watches exactly the objects that this node's pods refer to: by name (ConfigMaps, Secrets, claims) or by a field.

The node authorizer lets a node read nothing more; the watch is what makes live updates and waiting pods event-driven.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from minikube_py.client.protocol import Selection
from minikube_py.kubelet.runtimes.protocol import RuntimeFailure
from minikube_py.objects.errors import Object
from minikube_py.reconciling.informer import Informer, InformerEvent, InformerSet
from minikube_py.resources.kind import GVR

_SYNC_SECONDS = 20.0


class Referred(NamedTuple):
    """What pods refer to: the objects of a namespace ('': of all) that a field selector picks."""

    gvr: GVR
    namespace: str
    fields: str

    @property
    def selection(self) -> Selection:
        return Selection(namespace=self.namespace, field_selector=self.fields)


class References:
    """changed(pod uid) is called for every pod that uses an object when that object changes."""

    def __init__(self, informers: InformerSet, changed: Callable[[str], None]) -> None:
        self._informers = informers
        self._changed = changed
        self._users: dict[Referred, set[str]] = {}
        self._used: dict[str, set[Referred]] = {}
        self._unsubscribes: dict[Referred, Callable[[], None]] = {}

    async def get(self, pod_uid: str, gvr: GVR, namespace: str, name: str) -> Object | None:
        """The object as it is now, or None; pod_uid hears of its changes from here on."""
        informer = await self._follow(pod_uid, Referred(gvr, namespace, f"metadata.name={name}"))
        return informer.cache.get(namespace, name)

    async def select(self, pod_uid: str, gvr: GVR, fields: str) -> list[Object]:
        """All objects that the field selector picks, in any namespace; pod_uid hears of changes from here on."""
        informer = await self._follow(pod_uid, Referred(gvr, "", fields))
        return list(informer.cache.list())

    async def _follow(self, pod_uid: str, referred: Referred) -> Informer:
        gvr = referred.gvr
        informer = self._informers.informer(gvr, referred.selection)
        users = self._users.setdefault(referred, set())
        users.add(pod_uid)
        self._used.setdefault(pod_uid, set()).add(referred)
        if not informer.has_synced:
            try:
                async with asyncio.timeout(_SYNC_SECONDS):
                    await informer.wait_synced()
            except TimeoutError as error:
                wanted = "/".join(filter(None, (referred.namespace, referred.fields.removeprefix("metadata.name="))))
                text = f"failed to sync {gvr.resource} cache: timed out waiting for {wanted}"
                raise RuntimeFailure("FailedMount", text) from error
        self._subscribe(referred, informer)
        return informer

    def release(self, pod_uid: str) -> None:
        """The pod refers to nothing any more."""
        for referred in self._used.pop(pod_uid, ()):
            users = self._users.get(referred, set())
            users.discard(pod_uid)
            if not users:
                self._users.pop(referred, None)
                unsubscribe = self._unsubscribes.pop(referred, None)
                if unsubscribe is not None:
                    unsubscribe()
                self._informers.remove(referred.gvr, referred.selection)

    def _subscribe(self, referred: Referred, informer: Informer) -> None:
        if referred in self._unsubscribes or referred not in self._users:
            return
        is_first_report = True

        def told(_event: InformerEvent) -> None:
            if is_first_report:
                return
            for pod_uid in tuple(self._users.get(referred, ())):
                self._changed(pod_uid)

        self._unsubscribes[referred] = informer.subscribe(told)
        is_first_report = False
