"""Makes sure that every namespace has its `default` ServiceAccount."""

from collections.abc import Iterable, Sequence

from minikube_py.controllers.context import NAMESPACES, SERVICE_ACCOUNTS, ControllerContext
from minikube_py.objects.errors import AlreadyExists, Forbidden, is_namespace_terminating
from minikube_py.objects.meta import is_deleting, name, namespace
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import DELETED, InformerEvent

DEFAULT = "default"


class ServiceAccountController:
    name = "serviceaccount"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("service-account-controller")
        self._namespaces = context.informers.informer(NAMESPACES)
        self._accounts = context.informers.informer(SERVICE_ACCOUNTS)

    def sources(self) -> Sequence[Source]:
        return Source(self._namespaces), Source(self._accounts, self._namespace_of_lost_default)

    def _namespace_of_lost_default(self, event: InformerEvent) -> Iterable[Key]:
        if event.type == DELETED and name(event.object) == DEFAULT:
            yield Key("", namespace(event.object))

    async def reconcile(self, key: Key) -> float | None:
        owner = self._namespaces.cache.get(*key)
        if owner is None or is_deleting(owner) or self._accounts.cache.get(key.name, DEFAULT) is not None:
            return None
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": DEFAULT, "namespace": key.name},
        }
        try:
            self._accounts.assume(await self._client.create(SERVICE_ACCOUNTS, account, key.name))
        except AlreadyExists:
            return None
        except Forbidden as error:
            if not is_namespace_terminating(error):
                raise
        return None
