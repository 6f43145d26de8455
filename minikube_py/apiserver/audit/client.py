"""The API in process with an audit log: calls of this process's parts leave the events that HTTP calls would."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from minikube_py.apiserver.audit.auditor import Auditor
from minikube_py.apiserver.audit.trail import AuditTrail, Origin
from minikube_py.apiserver.local_client import LocalClient
from minikube_py.apiserver.raw_calls import LOOPBACK
from minikube_py.apiserver.request_info import RequestInfo, UserInfo, single_name
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
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import GVR

_USER_AGENT = "mkube (in process)"

ClientFactory = Callable[[dict[str, str] | None], LocalClient]
"""Makes a client whose calls put their annotations into the dict."""


class AuditedClient:
    """`client.protocol.Client` around LocalClient."""

    def __init__(self, auditor: Auditor, user: UserInfo, make: ClientFactory) -> None:
        self._auditor = auditor
        self._make = make
        self._plain = make(None)
        self.user = user

    async def get(self, gvr: GVR, name: str, namespace: str = "", *, subresource: str = "") -> Object:
        with self._call(_about("get", gvr, (namespace, name, subresource))) as (client, trail):
            obj = await client.get(gvr, name, namespace, subresource=subresource)
            return _answered(trail, obj)

    async def list(self, gvr: GVR, selection: Selection = EVERYTHING) -> ObjectList:
        with self._call(_select("list", gvr, selection)) as (client, trail):
            found = await client.list(gvr, selection)
            if trail is not None:
                metadata = {"resourceVersion": found.resource_version}
                kind = {"kind": "List", "apiVersion": "v1", "metadata": metadata}
                trail.answer(200, {**kind, "items": found.items} if trail.wants_response else kind)
            return found

    async def create(
        self, gvr: GVR, obj: Object, namespace: str = "", *, name: str = "", options: WriteOptions = PLAIN_WRITE
    ) -> Object:
        metadata = obj.get("metadata") or {}
        place = (namespace or metadata.get("namespace", ""), name, options.subresource)
        with self._call(_about("create", gvr, place), obj) as (client, trail):
            return _answered(trail, await client.create(gvr, obj, namespace, name=name, options=options), 201)

    async def update(self, gvr: GVR, obj: Object, *, options: WriteOptions = PLAIN_WRITE) -> Object:
        metadata = obj.get("metadata") or {}
        place = (metadata.get("namespace", ""), metadata.get("name", ""), options.subresource)
        with self._call(_about("update", gvr, place), obj) as (client, trail):
            return _answered(trail, await client.update(gvr, obj, options=options))

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
        with self._call(_about("patch", gvr, (namespace, name, options.subresource)), patch) as (client, trail):
            obj = await client.patch(gvr, name, patch, namespace, patch_type=patch_type, options=options)
            return _answered(trail, obj)

    async def delete(
        self, gvr: GVR, name: str, namespace: str = "", *, options: DeleteOptions = PLAIN_DELETE
    ) -> Object:
        with self._call(_about("delete", gvr, (namespace, name, ""))) as (client, trail):
            return _answered(trail, await client.delete(gvr, name, namespace, options=options))

    async def delete_collection(self, gvr: GVR, selection: Selection, *, options: DeleteOptions = PLAIN_DELETE) -> None:
        with self._call(_select("deletecollection", gvr, selection)) as (client, trail):
            await client.delete_collection(gvr, selection, options=options)
            _answered(trail, {})

    async def watch(
        self, gvr: GVR, selection: Selection = EVERYTHING, *, resource_version: str = "", bookmarks: bool = False
    ) -> AsyncIterator[WatchEvent]:
        with self._call(_select("watch", gvr, selection)) as (client, trail):
            events = client.watch(gvr, selection, resource_version=resource_version, bookmarks=bookmarks)
            if trail is not None:
                trail.start(200)
            try:
                async for event in events:
                    yield event
            finally:
                await events.aclose()  # type: ignore[attr-defined]

    async def raw(self, method: str, path: str, body: Object | None = None) -> Any:
        """The pipeline looks after the trail of such a call."""
        return await self._plain.raw(method, path, body)

    @contextmanager
    def _call(self, info: RequestInfo, body: Any = None) -> Iterator[tuple[LocalClient, AuditTrail | None]]:
        trail = self._auditor.begin(self.user, info, lambda: Origin(info.path, (LOOPBACK,), _USER_AGENT))
        if trail is None:
            yield self._plain, None
            return
        trail.receive()
        trail.take_request(body, info.verb)
        with trail.until_answered():
            yield self._make(trail.annotations), trail


def _answered(trail: AuditTrail | None, obj: Object, code: int = 200) -> Object:
    if trail is not None:
        trail.answer(code, obj)
    return obj


def _about(verb: str, gvr: GVR, place: tuple[str, str, str]) -> RequestInfo:
    namespace, name, subresource = place
    path = "/".join(part for part in (_collection(gvr, namespace), name, subresource) if part)
    namespace = namespace or (name if gvr.resource == "namespaces" and not gvr.group else "")
    return RequestInfo(path, verb, True, *gvr, subresource, namespace, name)


def _select(verb: str, gvr: GVR, selection: Selection) -> RequestInfo:
    query = {"fieldSelector": selection.field_selector, "labelSelector": selection.label_selector}
    query = {key: value for key, value in query.items() if value}
    if verb == "watch":
        query["watch"] = "true"
    path = _collection(gvr, selection.namespace) + (f"?{urlencode(query)}" if query else "")
    name = single_name(selection.field_selector) if verb in ("list", "watch") else ""
    return RequestInfo(path, verb, True, *gvr, "", selection.namespace, name)


def _collection(gvr: GVR, namespace: str) -> str:
    root = f"/apis/{gvr.group}/{gvr.version}" if gvr.group else f"/api/{gvr.version}"
    return f"{root}/namespaces/{namespace}/{gvr.resource}" if namespace else f"{root}/{gvr.resource}"
