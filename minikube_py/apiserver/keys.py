"""Turns objects into what the store keeps: keys, bytes with a hole for the revision, and the index of selectors."""

from collections.abc import Callable, Mapping

import orjson

from minikube_py.objects.errors import Object
from minikube_py.objects.json_pieces import dumps
from minikube_py.objects.meta import deep_copy
from minikube_py.resources.kind import ResourceKind
from minikube_py.resources.registry import KindRegistry
from minikube_py.resources.schema import check_definition, definition_of
from minikube_py.store.protocol import Draft, IndexFunction, Key, Record, Value

_NO_FIELDS: Mapping[str, str] = {}
_HOLE = b'"metadata":{"resourceVersion":"'


def key_of(kind: ResourceKind, namespace: str, name: str) -> Key:
    return Key(kind.store_resource, namespace if kind.namespaced else "", name)


def encode(obj: Object) -> Value:
    """The JSON text of an object, cut where its resourceVersion goes.

    kind and apiVersion come first and resourceVersion leads the metadata: quotes inside the first two are escaped, so
    the first place that looks like the hole is the hole.
    """
    metadata = {"resourceVersion": "", **obj["metadata"]}
    metadata["resourceVersion"] = ""
    ordered = {"kind": obj["kind"], "apiVersion": obj["apiVersion"], "metadata": metadata}
    for key, value in obj.items():
        if key not in ordered:
            ordered[key] = value
    data = dumps(ordered)
    cut = data.index(_HOLE) + len(_HOLE)
    return Value(data[:cut], data[cut:])


def stored_form(kind: ResourceKind, obj: Object) -> Object:
    """The object in the version it is stored in. The object itself is left as it is."""
    if kind.storage_gvk == kind.gvk:
        return obj
    converted = deep_copy(obj)
    if kind.rules.to_storage is not None:
        kind.rules.to_storage(converted)
    converted["apiVersion"], converted["kind"] = kind.storage_gvk.api_version, kind.storage_gvk.kind
    definition = definition_of(*kind.storage_gvk)
    if definition is not None and not kind.custom:
        check_definition(definition, converted)
    return converted


def draft_of(
    kind: ResourceKind,
    obj: Object,
    storage_kind: ResourceKind,
    stored: Object | None = None,
    on_commit: Callable[[Record], None] | None = None,
) -> Draft:
    """What the store is handed for an object in `kind`'s version; `stored` where its stored form is known already."""
    stored = stored_form(kind, obj) if stored is None else stored
    metadata = obj["metadata"]
    fields = storage_kind.rules.fields
    return Draft(
        encode(stored), metadata.get("uid", ""), metadata.get("labels") or _NO_FIELDS,
        fields(stored) if fields is not None else _NO_FIELDS, on_commit,
    )  # fmt: skip


def fields_of(record: Record) -> Mapping[str, str]:
    """Every field-selector value of a record."""
    key = record.key
    names = {"metadata.name": key.name, "metadata.namespace": key.namespace}
    return {**record.fields, **names} if record.fields else names


def storage_kind_of(registry: KindRegistry, kind: ResourceKind) -> ResourceKind:
    """The kind whose rules know the stored form (the kind itself when its stored version isn't served)."""
    return kind if kind.storage_gvk == kind.gvk else registry.find_kind(kind.storage_gvk) or kind


def index_function(registry: KindRegistry) -> IndexFunction:
    """How a store rebuilds its index from bytes when it starts."""
    by_resource = {kind.store_resource: storage_kind_of(registry, kind) for kind in registry.all()}

    def index(key: Key, data: bytes) -> tuple[str, Mapping[str, str], Mapping[str, str]]:
        obj = orjson.loads(data)
        metadata = obj.get("metadata") or {}
        kind = by_resource.get(key.resource)
        fields = kind.rules.fields if kind is not None else None
        return (
            metadata.get("uid", ""), metadata.get("labels") or _NO_FIELDS,
            fields(obj) if fields is not None else _NO_FIELDS,
        )  # fmt: skip

    return index
