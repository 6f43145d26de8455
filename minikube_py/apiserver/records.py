"""Gives stored records in the form a kind is served in: bytes as they are, or one shared parsed object."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from minikube_py.objects.errors import Object
from minikube_py.objects.json_pieces import dumps, loads
from minikube_py.objects.meta import deep_copy
from minikube_py.resources.kind import GVK, GVR, ResourceKind, SchemaOfCustomKind
from minikube_py.resources.registry import KindRegistry
from minikube_py.resources.schema import check
from minikube_py.store.protocol import Key, Record, Store

_KEPT = 4096


@dataclass(frozen=True, slots=True)
class LeftRecord(Record):
    """The last state of what left a watch, at the revision at which it did: it no longer matched, or was deleted.

    The object has another state at that revision, so nothing made of this one is kept under it.
    """

    state_revision: int = 0


def revision_of_state(record: Record) -> int:
    return record.state_revision if isinstance(record, LeftRecord) else record.revision


class Records:
    """Parses each revision once for everybody in the process; the newest few thousand stay parsed."""

    def __init__(self) -> None:
        self._parsed: dict[tuple[GVK, Key], tuple[int, Object]] = {}
        # Custom objects found to be as the present schema wants them: the revision, and when the schema came.
        self._clean: dict[tuple[GVK, Key], tuple[int, int]] = {}
        # What conversion webhooks made, put here by conversion_webhooks.py before it is asked for.
        self.converted: dict[tuple[GVK, Key, int], Object] = {}
        self._offered: dict[tuple[GVK, Key], tuple[int, Object]] = {}

    def shared(self, kind: ResourceKind, record: Record) -> Object:
        """The object in `kind`'s version. Shared: read it, never change it."""
        if isinstance(record, LeftRecord):
            return self.fresh(kind, record)
        place = (kind.gvk, record.key)
        found = self._parsed.get(place)
        if found is not None and found[0] == record.revision:
            return found[1]
        offered = self._offered.get(place) if self._offered else None
        obj = offered[1] if offered is not None and offered[0] == record.revision else self.fresh(kind, record)
        if found is None and len(self._parsed) >= _KEPT:
            self._parsed.pop(next(iter(self._parsed)), None)
        self._parsed[place] = (record.revision, obj)
        return obj

    def once(self, kind: ResourceKind, record: Record) -> Object:
        """The same for a reader of very many, whose objects would drive out those that are read again and again."""
        found = self._parsed.get((kind.gvk, record.key))
        return found[1] if found is not None and found[0] == record.revision else self.fresh(kind, record)

    def offer(self, kind: ResourceKind, record: Record, obj: Object) -> None:
        """The tree that a record was just made of, which nobody may change any more: whoever reads the record in this
        round of the loop, as watchers do, need not parse it. A tree that nobody wanted by then is not kept.
        """
        obj["metadata"]["resourceVersion"] = str(record.revision)
        if not self._offered:
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._offered.clear)
        self._offered[kind.gvk, record.key] = (record.revision, obj)

    def fresh(self, kind: ResourceKind, record: Record) -> Object:
        """A parsed object of the caller's own."""
        obj: Object = self._converted(kind, record) or loads(record.data)
        if kind.custom_schema is not None:
            if not self._is_current(kind, kind.custom_schema, record):
                kind.custom_schema.read(obj)
        elif kind.storage_gvk != kind.gvk:
            if kind.rules.from_storage is not None:
                kind.rules.from_storage(obj)
            obj["apiVersion"], obj["kind"] = kind.api_version, kind.kind
            check(kind, obj)  # each version has fields of its own that are there when empty
        return obj

    def data(self, kind: ResourceKind, record: Record) -> bytes:
        """The JSON text in `kind`'s version: the stored bytes themselves when that is how the object is stored."""
        if kind.custom_schema is not None:
            return self._custom_data(kind, kind.custom_schema, record)
        if kind.storage_gvk == kind.gvk:
            return record.data
        return dumps(self.shared(kind, record))

    def is_as_stored(self, kind: ResourceKind, record: Record) -> bool:
        """False when the object would be stored otherwise today: in another version, with defaults that came since."""
        schema = kind.custom_schema
        if schema is None:
            return True
        if stored_api_version(record) != kind.storage_gvk.api_version:
            return False
        if record.revision > schema.clean_after or schema.webhook is not None:
            return True
        wanted = deep_copy(self.shared(kind, record))
        if kind.rules.to_storage is not None:
            kind.rules.to_storage(wanted)
        return bool(wanted == orjson.loads(record.data))

    def _converted(self, kind: ResourceKind, record: Record) -> Object | None:
        """A copy of what a webhook made of the record for this version; None where there is nothing of the kind."""
        found = self.converted.get((kind.gvk, record.key, revision_of_state(record))) if self.converted else None
        if found is None:
            return None
        obj = deep_copy(found)
        obj["metadata"]["resourceVersion"] = record.data[record.rv_start : record.rv_end].decode()
        return obj

    def _is_current(self, kind: ResourceKind, schema: SchemaOfCustomKind, record: Record) -> bool:
        """Whether the stored text is how this version wants it: written since the schema came, or looked at before."""
        if kind.storage_gvk != kind.gvk:
            return False
        revision = revision_of_state(record)
        if revision > schema.clean_after:
            # A write that was under way when the storage version changed comes after that in the one before.
            return stored_api_version(record) == kind.api_version
        return self._clean.get((kind.gvk, record.key)) == (revision, schema.clean_after)

    def _custom_data(self, kind: ResourceKind, schema: SchemaOfCustomKind, record: Record) -> bytes:
        if self._is_current(kind, schema, record):
            return record.data
        obj = self.shared(kind, record)
        if kind.storage_gvk == kind.gvk and obj == orjson.loads(record.data):
            self._clean[kind.gvk, record.key] = (revision_of_state(record), schema.clean_after)
            return record.data
        return orjson.dumps(obj)

    def forget(self, record: Record, kinds: Sequence[ResourceKind]) -> None:
        for kind in kinds:
            self._parsed.pop((kind.gvk, record.key), None)
            self._clean.pop((kind.gvk, record.key), None)

    def forget_kind(self, gvk: GVK) -> None:
        """Drops everything parsed for a kind, because its schema changed or it is no longer served."""
        for place in [place for place in self._parsed if place[0] == gvk]:
            del self._parsed[place]
        for place in [place for place in self._clean if place[0] == gvk]:
            del self._clean[place]
        for key in [key for key in self.converted if key[0] == gvk]:
            del self.converted[key]


_API_VERSION = re.compile(rb'"apiVersion":"([^"]*)"')


def stored_api_version(record: Record) -> str:
    """Stored text begins with kind and apiVersion."""
    found = _API_VERSION.search(record.data)
    return found[1].decode() if found else ""


class StoreReader:
    """Consistent reads for authenticators, authorizers and admission; objects are shared, read-only."""

    def __init__(self, store: Store, registry: KindRegistry) -> None:
        self.store = store
        self.registry = registry
        self.records = Records()

    def get(self, gvr: GVR, name: str, namespace: str = "") -> Object | None:
        kind = self.registry.find(gvr)
        if kind is None:
            return None
        record = self.store.get(Key(kind.store_resource, namespace if kind.namespaced else "", name))
        return None if record is None else self.records.shared(kind, record)

    def labels(self, gvr: GVR, name: str, namespace: str = "") -> Mapping[str, str]:
        kind = self.registry.find(gvr)
        if kind is None:
            return {}
        record = self.store.get(Key(kind.store_resource, namespace if kind.namespaced else "", name))
        return record.labels if record is not None else {}

    def changed_at(self, gvr: GVR) -> int:
        """The revision of the newest change to a built-in resource; 0 when there was never an object."""
        return self.store.changed_at(f"{gvr.group}/{gvr.resource}")

    def list(self, gvr: GVR, namespace: str = "") -> list[Object]:
        kind = self.registry.find(gvr)
        if kind is None:
            return []
        return [self.records.shared(kind, r) for r in self.store.list(kind.store_resource, namespace).records]
