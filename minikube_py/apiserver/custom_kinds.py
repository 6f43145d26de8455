"""Follows CustomResourceDefinitions: accepts their names, serves their kinds, and cleans up when one is deleted.

Part of the API server, because the kinds must be served before a definition is called Established.
Source: apiextensions-apiserver pkg/controller/{status,establish,finalizer}.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence

import orjson

from minikube_py.apiserver.context import ServerContext
from minikube_py.client.protocol import Client, WriteOptions
from minikube_py.objects.conditions import set_condition
from minikube_py.objects.errors import ApiError, Conflict, NotFound, Object
from minikube_py.objects.meta import deep_copy
from minikube_py.resources.custom.definition import (
    CLEANUP_FINALIZER,
    DEFINITIONS,
    is_established,
    is_terminating,
    spec_of,
    storage_version,
)
from minikube_py.resources.custom.kinds import kinds_of
from minikube_py.resources.kind import GVR, ResourceKind
from minikube_py.store.protocol import StoreError, WatcherTooSlow

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS = 1.0
_STATUS = WriteOptions(subresource="status")


class CustomKinds:
    """`load()` before the first request, `run()` for as long as the server lives."""

    def __init__(self, context: ServerContext, client: Client) -> None:
        self._context = context
        self._client = client
        self._served: dict[str, tuple[bytes, int, list[GVR]]] = {}
        self._draining: dict[str, asyncio.Task[None]] = {}

    def load(self) -> None:
        """Serves what was established when the server stopped. Stored objects are looked at when they are read."""
        for definition in self._definitions():
            if is_established(definition):
                self._serve(definition)

    async def run(self) -> None:
        resource = self._kind().store_resource
        while True:
            after = self._context.store.revision
            try:
                changes = self._context.store.watch(resource, after=after)
                await self._reconcile_all(d["metadata"]["name"] for d in self._definitions())
                async for batch in changes:
                    await self._reconcile_all(dict.fromkeys(change.record.key.name for change in batch))
            except (WatcherTooSlow, StoreError, ApiError) as error:
                _LOG.warning("following custom resource definitions failed, trying again: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
            finally:
                await self._stop_draining()

    async def _stop_draining(self) -> None:
        tasks = list(self._draining.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _kind(self) -> ResourceKind:
        kind = self._context.registry.find(DEFINITIONS)
        if kind is None:
            raise NotFound.of(DEFINITIONS.group, DEFINITIONS.resource, "")
        return kind

    def _definitions(self) -> list[Object]:
        return self._context.reader.list(DEFINITIONS)

    async def _reconcile_all(self, names: Iterable[str]) -> None:
        for name in names:
            try:
                await self._reconcile(name)
            except (Conflict, NotFound):
                continue  # it changed meanwhile, so there is another event on the way

    async def _reconcile(self, name: str) -> None:
        definition = self._context.reader.get(DEFINITIONS, name)
        if definition is None:
            self._withdraw(name)
            await self._reconcile_others(name)
            return
        if is_established(definition):
            self._serve(definition)
        if is_terminating(definition):
            if name not in self._draining:
                task = asyncio.ensure_future(self._drain(name))
                self._draining[name] = task
                task.add_done_callback(lambda _task: self._draining.pop(name, None))
            return
        await self._accept(definition)

    async def _reconcile_others(self, name: str) -> None:
        """The names that a deleted definition held are free for others of its group."""
        group = name.partition(".")[2]
        for other in self._definitions():
            if spec_of(other).get("group") == group and not is_terminating(other):
                await self._accept(other)

    # --- names and status

    async def _accept(self, definition: Object) -> None:
        status = deep_copy(definition.get("status") or {})
        accepted, conflict = accept_names(definition, self._definitions())
        conditions: list[Object] = status.setdefault("conditions", [])
        set_condition(conditions, _names_condition(conflict))
        if not is_established(definition):
            is_accepted = not conflict
            if is_accepted:
                self._serve({**definition, "status": {**status, "acceptedNames": accepted}})
            set_condition(conditions, _established_condition(is_accepted))
        status["acceptedNames"] = accepted
        if status == definition.get("status"):
            return
        await self._write_status(definition, status)

    async def _write_status(self, definition: Object, status: Object) -> None:
        changed = {**deep_copy(definition), "status": status}
        await self._client.update(DEFINITIONS, changed, options=_STATUS)

    # --- serving

    def _serve(self, definition: Object) -> None:
        """Puts the kinds of a definition into the registry, if they are not there as they should be already."""
        name = definition["metadata"]["name"]
        accepted = (definition.get("status") or {}).get("acceptedNames")
        looks = orjson.dumps([spec_of(definition), accepted])
        known = self._served.get(name)
        is_known = known is not None and known[0] == looks
        if is_known and not is_terminating(definition):
            return
        clean_after = known[1] if known is not None and is_known else self._context.store.revision
        kinds = kinds_of(definition, clean_after)
        registry = self._context.registry
        gvrs = [kind.gvr for kind in kinds]
        for gvr in known[2] if known else ():
            if gvr not in gvrs:
                registry.remove(gvr)
        for kind in kinds:
            self._forget(kind)
            registry.add(kind)
        if known is not None and not is_known:
            self._end_watches(known[2], is_outdated=True)
        self._served[name] = (looks, clean_after, gvrs)

    def _withdraw(self, name: str) -> None:
        known = self._served.pop(name, None)
        for gvr in known[2] if known else ():
            kind = self._context.registry.find(gvr)
            self._context.registry.remove(gvr)
            if kind is not None:
                self._forget(kind)
        if known is not None:
            self._end_watches(known[2], is_outdated=False)

    def _forget(self, kind: ResourceKind) -> None:
        self._context.records.forget_kind(kind.gvk)
        self._context.frames.forget_kind(kind.gvk)

    def _end_watches(self, gvrs: Sequence[GVR], *, is_outdated: bool) -> None:
        """As in Kubernetes: what they would go on to send is in the form of a schema that is no longer served."""
        for watch in list(self._context.custom_watches):
            if watch.gvr in gvrs:
                watch.end(is_outdated=is_outdated)

    # --- deletion

    async def _drain(self, name: str) -> None:
        """Deletes all objects of a terminating definition, waits until they are gone, and lets it go."""
        while True:
            try:
                definition = self._context.reader.get(DEFINITIONS, name)
                if definition is None or CLEANUP_FINALIZER not in (definition["metadata"].get("finalizers") or ()):
                    return
                if is_established(definition):
                    await self._terminating(definition, _IN_PROGRESS)
                    await self._delete_instances(definition)
                    await self._finish(name, _COMPLETED)
                else:
                    await self._finish(name, _NEVER_ESTABLISHED)
                return
            except (Conflict, NotFound):
                continue
            except (StoreError, ApiError) as error:
                _LOG.warning("deleting the objects of %s failed, trying again: %s", name, error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _terminating(self, definition: Object, condition: Object) -> None:
        status = deep_copy(definition.get("status") or {})
        if set_condition(status.setdefault("conditions", []), condition):
            await self._write_status(definition, status)

    async def _delete_instances(self, definition: Object) -> None:
        spec, store = spec_of(definition), self._context.store
        plural = (spec.get("names") or {}).get("plural", "")
        resource = f"{spec.get('group', '')}/{plural}"
        served = self._served.get(definition["metadata"]["name"])
        gvrs = served[2] if served else []
        # Reached by the version they are stored in, objects need no conversion webhook, which may be gone already.
        gvr = next((gvr for gvr in gvrs if gvr.version == storage_version(definition)), gvrs[0] if gvrs else None)
        while True:
            page = store.list(resource)
            if not page.records:
                return
            changes = store.watch(resource, after=page.revision)
            try:
                for record in page.records:
                    if gvr is None:
                        await store.delete(record.key, record.revision)
                    elif b'"deletionTimestamp"' not in record.data:
                        try:
                            await self._client.delete(gvr, record.key.name, record.key.namespace)
                        except NotFound:
                            continue
                if store.list(resource).records:
                    await anext(aiter(changes))
            finally:
                await changes.aclose()

    async def _finish(self, name: str, condition: Object) -> None:
        definition = await self._client.get(DEFINITIONS, name)
        await self._terminating(definition, condition)
        definition = await self._client.get(DEFINITIONS, name)
        left = [f for f in definition["metadata"].get("finalizers") or () if f != CLEANUP_FINALIZER]
        definition["metadata"]["finalizers"] = left
        await self._client.update(DEFINITIONS, definition)


_IN_PROGRESS: Object = {
    "type": "Terminating", "status": "True", "reason": "InstanceDeletionInProgress",
    "message": "CustomResource deletion is in progress",
}  # fmt: skip
_COMPLETED: Object = {
    "type": "Terminating", "status": "False", "reason": "InstanceDeletionCompleted",
    "message": "removed all instances",
}  # fmt: skip
_NEVER_ESTABLISHED: Object = {
    "type": "Terminating", "status": "False", "reason": "NeverEstablished",
    "message": "resource was never established",
}  # fmt: skip


def _names_condition(conflict: tuple[str, str] | None) -> Object:
    status, (reason, message) = ("False", conflict) if conflict else ("True", ("NoConflicts", "no conflicts found"))
    return {"type": "NamesAccepted", "status": status, "reason": reason, "message": message}


def _established_condition(is_accepted: bool) -> Object:
    if is_accepted:
        return {
            "type": "Established", "status": "True", "reason": "InitialNamesAccepted",
            "message": "the initial names have been accepted",
        }  # fmt: skip
    return {
        "type": "Established", "status": "False", "reason": "NotAccepted", "message": "not all names are accepted",
    }  # fmt: skip


def accept_names(definition: Object, everybody: Iterable[Object]) -> tuple[Object, tuple[str, str] | None]:
    """The names a definition gets, and the reason and message of the last one that another definition holds."""
    group, name = spec_of(definition).get("group"), definition["metadata"]["name"]
    wanted = spec_of(definition).get("names") or {}
    held = dict((definition.get("status") or {}).get("acceptedNames") or {})
    resources, kinds = set[str](), set[str]()
    for other in everybody:
        if spec_of(other).get("group") == group and other["metadata"]["name"] != name:
            names = (other.get("status") or {}).get("acceptedNames") or {}
            resources |= {names.get("plural", ""), names.get("singular", ""), *(names.get("shortNames") or ())}
            kinds |= {names.get("kind", ""), names.get("listKind", "")}
    accepted, conflict = dict(held), None
    checks = (("plural", resources), ("singular", resources), ("shortNames", resources), ("kind", kinds))
    for key, used in (*checks, ("listKind", kinds)):
        asked = wanted.get(key) or ([] if key == "shortNames" else "")
        texts = asked if isinstance(asked, list) else [asked]
        own = held.get(key) or ()
        own = own if isinstance(own, list) else [own]
        taken = [f'"{text}" is already in use' for text in texts if text and text in used and text not in own]
        if taken:
            message = taken[0] if len(taken) == 1 else f"[{', '.join(taken)}]"
            conflict = (f"{key[0].upper()}{key[1:]}Conflict", message)
        elif asked:
            accepted[key] = asked
        else:
            accepted.pop(key, None)
    accepted.pop("categories", None)
    if wanted.get("categories"):
        accepted["categories"] = wanted["categories"]
    for key in ("plural", "kind"):
        accepted.setdefault(key, "")
    return accepted, conflict
