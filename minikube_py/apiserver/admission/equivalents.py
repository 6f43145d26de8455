"""Knows the other served versions of a resource, and converts objects to them.

Source: the "matchPolicy" section of the admission webhook and policy pages.
"""

from collections.abc import Callable, Sequence

from minikube_py.apiserver.admission.protocol import ObjectReader
from minikube_py.apiserver.conversion_webhooks import convert_objects
from minikube_py.apiserver.outbound import Outbound
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy
from minikube_py.resources.kind import GVK, ResourceKind


class Equivalents:
    """The other served versions of a resource, and conversion to them. `served` counts changes of what is served."""

    def __init__(self, reader: ObjectReader, outbound: Callable[[], Outbound]) -> None:
        self.reader = reader
        self._outbound = outbound
        self._registry = reader.registry
        self._by_storage: dict[str, list[ResourceKind]] | None = None
        self.served = 0
        self._registry.subscribe(self._forget)

    def _forget(self) -> None:
        self._by_storage = None
        self.served += 1

    def of(self, kind: ResourceKind) -> Sequence[ResourceKind]:
        if self._by_storage is None:
            self._by_storage = {}
            for one in self._registry.all():
                self._by_storage.setdefault(one.store_resource, []).append(one)
        return [one for one in self._by_storage.get(kind.store_resource, ()) if one.gvr != kind.gvr]

    def find_kind(self, gvk: GVK) -> ResourceKind | None:
        return self._registry.find_kind(gvk)

    async def convert(self, obj: Object | None, kind: ResourceKind, wanted: GVK) -> Object | None:
        """The object as `wanted`; itself, shared, where that is what it is already. Raises InternalError."""
        if obj is None or kind.gvk == wanted or (obj.get("apiVersion") or wanted.api_version) == wanted.api_version:
            return obj
        target = self.find_kind(wanted)
        schema = kind.custom_schema
        if schema is not None and schema.webhook is not None:
            return (await convert_objects(schema.webhook, [obj], wanted.api_version, self._outbound()))[0]
        converted = deep_copy(obj)
        if target is not None:
            if kind.rules.to_storage is not None:
                kind.rules.to_storage(converted)
            if target.rules.from_storage is not None:
                target.rules.from_storage(converted)
        converted["apiVersion"], converted["kind"] = wanted.api_version, wanted.kind
        return converted
