"""The API in process: `client.protocol.Client` as one user, without HTTP and JSON, with everything else."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import orjson

from minikube_py.apiserver.authorizing import authorize
from minikube_py.apiserver.call import NO_BODY, ApiCall, Body, TreeBody
from minikube_py.apiserver.context import ServerContext
from minikube_py.apiserver.dispatch import find_handler, find_kind, write
from minikube_py.apiserver.messages import Reply
from minikube_py.apiserver.reads import read_many, read_one
from minikube_py.apiserver.request_info import RequestInfo, UserInfo, single_name
from minikube_py.apiserver.watches import bookmark, open_watch
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
from minikube_py.objects.errors import ApiError, Object, from_status
from minikube_py.objects.meta import deep_copy
from minikube_py.resources.kind import GVR

_NO_QUERY: Mapping[str, str] = {}


RawCall = Callable[[UserInfo, str, str, Object | None], Awaitable[Reply]]
"""(user, method, path, body) -> the reply: a request of any kind, past authentication."""


class LocalClient:
    """Calls go through the same authorization, dispatch and writes as those that come over HTTP."""

    def __init__(
        self,
        context: ServerContext,
        user: UserInfo,
        field_manager: str,
        raw: RawCall,
        annotations: dict[str, str] | None = None,
    ) -> None:
        """annotations: where the audit log collects what is said about this client's calls."""
        self._annotations = annotations
        self._context = context
        self._raw = raw
        self.user = user
        self._manager = field_manager or user.name

    async def get(self, gvr: GVR, name: str, namespace: str = "", *, subresource: str = "") -> Object:
        call = self._call("get", gvr, (namespace, name, subresource))
        try:
            found = await self._get(call, subresource)
        except ApiError as error:
            self._context.counts.called("GET", error.code)
            raise
        self._context.counts.called("GET", 200)
        return found

    async def _get(self, call: ApiCall, subresource: str) -> Object:
        if subresource:
            answer = await write(call)
            return deep_copy((answer.obj if answer else None) or {})
        handler = find_handler(call)
        if handler is not None:
            answer = await handler(call)
            return (answer.obj if answer else None) or {}
        return self._context.records.fresh(call.kind, await read_one(call))

    async def list(self, gvr: GVR, selection: Selection = EVERYTHING) -> ObjectList:
        call = self._select("list", gvr, selection, _NO_QUERY)
        handler = find_handler(call)
        if handler is not None:
            answer = await handler(call)
            return ObjectList(list((answer.items if answer else None) or ()), str(self._context.store.revision))
        listing = await read_many(call)
        self._context.counts.called("GET", 200)
        shared = self._context.records.shared
        return ObjectList([shared(call.kind, r) for r in listing.records], str(listing.revision))

    async def create(
        self, gvr: GVR, obj: Object, namespace: str = "", *, name: str = "", options: WriteOptions = PLAIN_WRITE
    ) -> Object:
        namespace = namespace or (obj.get("metadata") or {}).get("namespace", "")
        call = self._call("create", gvr, (namespace, name, options.subresource), _query(options), _body(obj))
        call.is_answer_shared = options.is_answer_shared
        return await _written(call)

    async def update(self, gvr: GVR, obj: Object, *, options: WriteOptions = PLAIN_WRITE) -> Object:
        metadata = obj.get("metadata") or {}
        place = (metadata.get("namespace", ""), metadata.get("name", ""), options.subresource)
        call = self._call("update", gvr, place, _query(options), _body(obj))
        call.is_answer_shared = options.is_answer_shared
        return await _written(call)

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
        place = (namespace, name, options.subresource)
        body = TreeBody(deep_copy(patch), patch_type)
        call = self._call("patch", gvr, place, _query(options), body)
        call.is_answer_shared = options.is_answer_shared
        return await _written(call)

    async def delete(
        self, gvr: GVR, name: str, namespace: str = "", *, options: DeleteOptions = PLAIN_DELETE
    ) -> Object:
        query = {"dryRun": "All"} if options.dry_run else _NO_QUERY
        return await _written(self._call("delete", gvr, (namespace, name, ""), query, _delete_body(options)))

    async def delete_collection(self, gvr: GVR, selection: Selection, *, options: DeleteOptions = PLAIN_DELETE) -> None:
        query = {"dryRun": "All"} if options.dry_run else _NO_QUERY
        await write(self._select("deletecollection", gvr, selection, query, _delete_body(options)))

    async def watch(
        self, gvr: GVR, selection: Selection = EVERYTHING, *, resource_version: str = "", bookmarks: bool = False
    ) -> AsyncIterator[WatchEvent]:
        query = {"resourceVersion": resource_version, "allowWatchBookmarks": "true" if bookmarks else "false"}
        call = self._select("watch", gvr, selection, query)
        find_handler(call)
        shared, kind = self._context.records.shared, call.kind
        watch = open_watch(call)
        try:
            async for events in watch.endless():
                for event in events:
                    obj = shared(kind, event.record) if event.record is not None else bookmark(kind, event)
                    yield WatchEvent(event.type, obj)
        finally:
            await watch.aclose()

    async def raw(self, method: str, path: str, body: Object | None = None) -> Any:
        reply = await self._raw(self.user, method, path, body)
        data = reply.body if reply.chunks is None else b"".join(reply.chunks)
        if reply.code >= 400 and reply.content_type.startswith("application/json"):
            raise from_status(orjson.loads(data), reply.code)
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError:
            return data.decode()

    def _call(
        self,
        verb: str,
        gvr: GVR,
        place: tuple[str, str, str],
        query: Mapping[str, str] = _NO_QUERY,
        body: Body = NO_BODY,
    ) -> ApiCall:
        """A call past authorization; place is (namespace, name, subresource)."""
        namespace, name, subresource = place
        info = RequestInfo(
            "", verb, True, gvr.group, gvr.version, gvr.resource, subresource,
            namespace or (name if gvr.resource == "namespaces" and not gvr.group else ""), name,
        )  # fmt: skip
        return self._past_authorization(info, query, body)

    def _select(
        self, verb: str, gvr: GVR, selection: Selection, query: Mapping[str, str], body: Body = NO_BODY
    ) -> ApiCall:
        info = RequestInfo(
            "", verb, True, gvr.group, gvr.version, gvr.resource, "", selection.namespace,
            single_name(selection.field_selector) if verb in ("list", "watch") else "",
            field_selector=selection.field_selector, label_selector=selection.label_selector,
        )  # fmt: skip
        return self._past_authorization(info, query, body)

    def _past_authorization(self, info: RequestInfo, query: Mapping[str, str], body: Body) -> ApiCall:
        authorize(self._context, self.user, info, self._annotations)
        kind = find_kind(self._context, info)
        call = ApiCall(self._context, info, kind, self.user, query, body, self._manager)
        if self._annotations is not None:
            call.audit_annotations = self._annotations
        return call


def _body(obj: Object) -> TreeBody:
    return TreeBody(deep_copy(obj))


def _query(options: WriteOptions) -> Mapping[str, str]:
    query = {"fieldValidation": "Strict"}
    if options.field_manager:
        query["fieldManager"] = options.field_manager
    if options.dry_run:
        query["dryRun"] = "All"
    if options.force:
        query["force"] = "true"
    return query


def _delete_body(options: DeleteOptions) -> Body:
    body: Object = {}
    if options.grace_seconds is not None:
        body["gracePeriodSeconds"] = options.grace_seconds
    if options.propagation:
        body["propagationPolicy"] = options.propagation
    if options.uid or options.resource_version:
        body["preconditions"] = {"uid": options.uid, "resourceVersion": options.resource_version}
    return TreeBody(body)


_METHODS = {"create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}


async def _written(call: ApiCall) -> Object:
    counts, method = call.context.counts, _METHODS[call.info.verb]
    try:
        answer = await write(call)
    except ApiError as error:
        counts.called(method, error.code)
        raise
    counts.called(method, answer.code if answer is not None else 200)
    return (answer.obj if answer is not None else None) or {}
