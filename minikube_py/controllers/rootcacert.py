"""Publishes the cluster's CA certificate as ConfigMap `kube-root-ca.crt` in every namespace."""

from collections.abc import Sequence

from minikube_py.client.protocol import Selection
from minikube_py.controllers.context import CONFIG_MAPS, NAMESPACES, ControllerContext
from minikube_py.objects.errors import AlreadyExists, Forbidden, Object, is_namespace_terminating
from minikube_py.objects.meta import annotations, deep_copy, is_deleting, namespace
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source

NAME = "kube-root-ca.crt"
_DESCRIPTION = "kubernetes.io/description"
# The annotation's text is part of what Kubernetes publishes.
_TEXT = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class RootCaPublisher:
    name = "rootcacert"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("root-ca-cert-publisher")
        self._ca = context.options.root_ca_pem
        self._namespaces = context.informers.informer(NAMESPACES)
        self._maps = context.informers.informer(CONFIG_MAPS, Selection(field_selector=f"metadata.name={NAME}"))

    def sources(self) -> Sequence[Source]:
        return Source(self._namespaces), Source(self._maps, lambda event: (Key("", namespace(event.object)),))

    async def reconcile(self, key: Key) -> float | None:
        owner = self._namespaces.cache.get(*key)
        if not self._ca or owner is None or is_deleting(owner):
            return None
        existing = self._maps.cache.get(key.name, NAME)
        wanted = {"ca.crt": self._ca}
        if existing is not None:
            if existing.get("data") == wanted and annotations(existing).get(_DESCRIPTION):
                return None
            changed = deep_copy(existing)
            changed["data"] = wanted
            changed["metadata"].setdefault("annotations", {})[_DESCRIPTION] = _TEXT
            self._maps.assume(await self._client.update(CONFIG_MAPS, changed))
            return None
        made: Object = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": key.name, "annotations": {_DESCRIPTION: _TEXT}},
            "data": wanted,
        }
        try:
            self._maps.assume(await self._client.create(CONFIG_MAPS, made, key.name))
        except AlreadyExists:
            return None
        except Forbidden as error:
            if not is_namespace_terminating(error):
                raise
        return None
