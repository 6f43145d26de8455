"""A client over plain dicts, for tests of one component without an API server: no admission, defaults or validation."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from minikube_py import clock, ids
from minikube_py.client.protocol import (
    EVERYTHING,
    PLAIN_DELETE,
    PLAIN_WRITE,
    DeleteOptions,
    ObjectList,
    PatchType,
    Selection,
    WatchEvent,
    WriteOptions,
)
from minikube_py.objects.errors import AlreadyExists, Conflict, NotFound, Object
from minikube_py.objects.meta import deep_copy
from minikube_py.resources.kind import GVR


class MemoryApi:
    """Implements Client. `pods` are deleted as Kubernetes does it: marked first, gone at grace 0."""

    def __init__(self) -> None:
        self.objects: dict[tuple[GVR, str, str], Object] = {}
        self.writes: list[tuple[str, str, Object]] = []
        self.revision = 1
        self._watches: list[tuple[GVR, Selection, asyncio.Queue[WatchEvent]]] = []

    async def get(self, gvr: GVR, name: str, namespace: str = "", *, subresource: str = "") -> Object:
        found = self.objects.get((gvr, namespace, name))
        if found is None:
            raise NotFound.of(gvr.group, gvr.resource, name)
        return found

    async def list(self, gvr: GVR, selection: Selection = EVERYTHING) -> ObjectList:
        items = [o for (kind, _, _), o in self.objects.items() if kind == gvr and _selects(selection, o)]
        return ObjectList(items, str(self.revision))

    async def create(
        self, gvr: GVR, obj: Object, namespace: str = "", *, name: str = "", options: WriteOptions = PLAIN_WRITE
    ) -> Object:
        self.writes.append(("create", gvr.resource, obj))
        if options.subresource == "token":
            expires = clock.seconds() + obj["spec"]["expirationSeconds"]
            return {**obj, "status": {"token": f"token-{self.revision}", "expirationTimestamp": _time(expires)}}
        made = deep_copy(obj)
        meta = made.setdefault("metadata", {})
        if namespace:
            meta["namespace"] = namespace
        if "name" not in meta:
            meta["name"] = f"{meta['generateName']}{ids.name_suffix()}"
        meta.setdefault("uid", ids.uid())
        meta.setdefault("creationTimestamp", clock.rfc3339())
        meta.setdefault("generation", 1)
        key = (gvr, meta.get("namespace", ""), meta["name"])
        if key in self.objects:
            raise AlreadyExists.of(gvr.group, gvr.resource, meta["name"])
        return self._store(key, made, "ADDED")

    async def update(self, gvr: GVR, obj: Object, *, options: WriteOptions = PLAIN_WRITE) -> Object:
        meta = obj["metadata"]
        key = (gvr, meta.get("namespace", ""), meta["name"])
        if key not in self.objects:
            raise NotFound.of(gvr.group, gvr.resource, meta["name"])
        new = deep_copy(obj)
        new["metadata"] |= {k: self.objects[key]["metadata"][k] for k in ("uid", "creationTimestamp")}
        return self._store(key, new, "MODIFIED")

    async def patch(
        self,
        gvr: GVR,
        name: str,
        patch: Any,
        namespace: str = "",
        *,
        patch_type: PatchType = PatchType.MERGE,
        options: WriteOptions = PLAIN_WRITE,
    ) -> Object:
        self.writes.append(("patch", f"{gvr.resource}/{options.subresource}".rstrip("/"), patch))
        old = await self.get(gvr, name, namespace)
        uid = (patch.get("metadata") or {}).get("uid")
        if uid and uid != old["metadata"]["uid"]:
            raise Conflict.of(gvr.group, gvr.resource, name)
        return self._store((gvr, namespace, name), _merged(old, patch), "MODIFIED")

    async def delete(
        self, gvr: GVR, name: str, namespace: str = "", *, options: DeleteOptions = PLAIN_DELETE
    ) -> Object:
        old = await self.get(gvr, name, namespace)
        if options.uid and options.uid != old["metadata"]["uid"]:
            raise Conflict.of(gvr.group, gvr.resource, name)
        grace = options.grace_seconds
        if gvr.resource == "pods" and grace != 0 and old["spec"].get("nodeName"):
            seconds = grace if grace is not None else old["spec"].get("terminationGracePeriodSeconds", 30)
            marked = deep_copy(old)
            marked["metadata"] |= {"deletionTimestamp": clock.rfc3339(), "deletionGracePeriodSeconds": seconds}
            return self._store((gvr, namespace, name), marked, "MODIFIED")
        del self.objects[(gvr, namespace, name)]
        self.revision += 1
        gone = deep_copy(old)
        gone["metadata"]["resourceVersion"] = str(self.revision)
        self._tell(gvr, "DELETED", gone)
        return gone

    async def delete_collection(self, gvr: GVR, selection: Selection, *, options: DeleteOptions = PLAIN_DELETE) -> None:
        raise NotImplementedError

    async def watch(
        self, gvr: GVR, selection: Selection = EVERYTHING, *, resource_version: str = "", bookmarks: bool = False
    ) -> AsyncIterator[WatchEvent]:
        queue: asyncio.Queue[WatchEvent] = asyncio.Queue()
        entry = (gvr, selection, queue)
        # Between list and watch nothing may be missed: what is newer than the list is told again.
        for (kind, _, _), obj in self.objects.items():
            if (
                kind == gvr
                and _selects(selection, obj)
                and int(obj["metadata"]["resourceVersion"]) > int(resource_version or 0)
            ):
                queue.put_nowait(WatchEvent("ADDED", obj))
        self._watches.append(entry)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watches.remove(entry)

    async def raw(self, method: str, path: str, body: Object | None = None) -> Any:
        raise NotImplementedError

    def _store(self, key: tuple[GVR, str, str], obj: Object, event: str) -> Object:
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        self.objects[key] = obj
        self._tell(key[0], event, obj)
        return obj

    def _tell(self, gvr: GVR, event: str, obj: Object) -> None:
        for kind, selection, queue in self._watches:
            if kind == gvr and _selects(selection, obj):
                queue.put_nowait(WatchEvent(event, obj))


def _selects(selection: Selection, obj: Object) -> bool:
    meta = obj["metadata"]
    if selection.namespace and meta.get("namespace") != selection.namespace:
        return False
    for term in filter(None, selection.field_selector.split(",")):
        field, _, value = term.partition("=")
        found: Any = obj
        for part in field.split("."):
            found = (found or {}).get(part)
        if (found or "") != value:
            return False
    return True


def _merged(old: Any, patch: Any) -> Any:
    """Merge patch with Kubernetes' list of conditions and $patch: replace, which is all that the kubelet uses."""
    if not isinstance(patch, dict):
        return deep_copy(patch)
    merged = deep_copy(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif key == "conditions":
            gone = {c["type"] for c in value if c.get("$patch") == "delete"}
            new = {c["type"]: c for c in value if "$patch" not in c}
            kept = [{**c, **new.pop(c["type"], {})} for c in merged.get(key) or () if c["type"] not in gone]
            merged[key] = [{k: v for k, v in c.items() if v is not None} for c in (*kept, *new.values())]
        elif isinstance(value, list):
            merged[key] = deep_copy([v for v in value if not (isinstance(v, dict) and "$patch" in v)])
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged


def _time(epoch_seconds: float) -> str:
    return clock.rfc3339(datetime.fromtimestamp(epoch_seconds, UTC))
