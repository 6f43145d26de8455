"""What removes objects share that are only kept for a while."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime

from minikube_py import clock
from minikube_py.client.protocol import Client, DeleteOptions
from minikube_py.controllers.context import ControllerContext
from minikube_py.objects.errors import Conflict, NotFound, Object
from minikube_py.objects.meta import uid
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.resources.kind import GVR


class Expiry(ABC):
    """A controller that deletes each object of `resource` at its `end_of`, as `user`."""

    name = ""
    user = ""
    resource: GVR

    def __init__(self, context: ControllerContext) -> None:
        self._client: Client = context.client_for(self.user)
        self._objects = context.informers.informer(self.resource)

    @abstractmethod
    def end_of(self, obj: Object) -> datetime: ...

    def sources(self) -> Sequence[Source]:
        return (Source(self._objects),)

    async def reconcile(self, key: Key) -> float | None:
        found = self._objects.cache.get(*key)
        if found is None:
            return None
        left = (self.end_of(found) - clock.now()).total_seconds()
        if left > 0:
            return left
        try:
            await self._client.delete(self.resource, key.name, key.namespace, options=DeleteOptions(uid=uid(found)))
        except (NotFound, Conflict):
            pass  # gone already, or another one of the same name
        return None
