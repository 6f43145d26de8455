"""The API over HTTPS: `client.protocol.Client` for agents and commands, with a pinned CA and a token or certificate."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

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
from minikube_py.objects.errors import ApiError, Object, ServiceUnavailable, Timeout, from_status
from minikube_py.resources.kind import GVR

PAGE_SIZE = 500
REQUEST_SECONDS = 60.0
# A watch may be silent for long; the server ends it now and then, and a dead connection is found by TCP.
_WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=10, sock_connect=10)
_MESSAGE_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class HttpClientOptions:
    """ssl_context trusts the cluster's CA and may hold a client certificate; token is a bearer token or ''."""

    server: str
    ssl_context: ssl.SSLContext | None = None
    token: str = ""
    user_agent: str = "mkube"


class HttpClient:
    """Use as `async with`. Calls raise ApiError; ServiceUnavailable when the server can't be reached."""

    def __init__(self, options: HttpClientOptions) -> None:
        self._server = options.server.rstrip("/")
        self._ssl = options.ssl_context
        self._headers = {"User-Agent": options.user_agent, "Accept": "application/json"}
        if options.token:
            self._headers["Authorization"] = f"Bearer {options.token}"
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "HttpClient":
        connector = aiohttp.TCPConnector(ssl=self._ssl if self._ssl is not None else True, limit=0)
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS, connect=10)
        self._session = aiohttp.ClientSession(connector=connector, headers=self._headers, timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.close()

    @property
    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the client is used outside of its `async with`")
        return self._session

    # --- reading ------------------------------------------------------------------------------------------------------

    async def get(self, gvr: GVR, name: str, namespace: str = "", *, subresource: str = "") -> Object:
        found: Object = await self._call("GET", path_of(gvr, namespace, name, subresource))
        return found

    async def list(self, gvr: GVR, selection: Selection = EVERYTHING) -> ObjectList:
        query = {**_selectors(selection), "limit": str(PAGE_SIZE)}
        items: list[Object] = []
        while True:
            page = await self._call("GET", path_of(gvr, selection.namespace), query)
            kind, version = page.get("kind", "List").removesuffix("List"), page.get("apiVersion", gvr.api_version)
            for item in page.get("items") or ():
                item.setdefault("kind", kind)
                item.setdefault("apiVersion", version)
                items.append(item)
            token = page["metadata"].get("continue", "")
            if not token:
                return ObjectList(items, page["metadata"].get("resourceVersion", ""))
            query["continue"] = token

    async def watch(
        self, gvr: GVR, selection: Selection = EVERYTHING, *, resource_version: str = "", bookmarks: bool = False
    ) -> AsyncIterator[WatchEvent]:
        query = {**_selectors(selection), "watch": "true", "resourceVersion": resource_version}
        query["allowWatchBookmarks"] = "true" if bookmarks else "false"
        path = path_of(gvr, selection.namespace)
        async with self._answer("GET", path, query, timeout=_WATCH_TIMEOUT) as response:
            async for line in _lines(response):
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    raise from_status(event["object"])
                yield WatchEvent(event["type"], event["object"])

    # --- writing ------------------------------------------------------------------------------------------------------

    async def create(
        self, gvr: GVR, obj: Object, namespace: str = "", *, name: str = "", options: WriteOptions = PLAIN_WRITE
    ) -> Object:
        namespace = namespace or (obj.get("metadata") or {}).get("namespace", "")
        path = path_of(gvr, namespace, name, options.subresource)
        made: Object = await self._call("POST", path, _write_query(options), obj)
        return made

    async def update(self, gvr: GVR, obj: Object, *, options: WriteOptions = PLAIN_WRITE) -> Object:
        metadata = obj["metadata"]
        path = path_of(gvr, metadata.get("namespace", ""), metadata["name"], options.subresource)
        changed: Object = await self._call("PUT", path, _write_query(options), obj)
        return changed

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
        path = path_of(gvr, namespace, name, options.subresource)
        query = _write_query(options)
        if patch_type is PatchType.APPLY:
            query["fieldManager"] = options.field_manager or self._headers["User-Agent"]
        changed: Object = await self._call("PATCH", path, query, patch, media_type=patch_type.value)
        return changed

    async def delete(
        self, gvr: GVR, name: str, namespace: str = "", *, options: DeleteOptions = PLAIN_DELETE
    ) -> Object:
        gone: Object = await self._call("DELETE", path_of(gvr, namespace, name), body=_delete_body(options))
        return gone

    async def delete_collection(self, gvr: GVR, selection: Selection, *, options: DeleteOptions = PLAIN_DELETE) -> None:
        path = path_of(gvr, selection.namespace)
        await self._call("DELETE", path, _selectors(selection), _delete_body(options))

    async def raw(self, method: str, path: str, body: Object | None = None) -> Any:
        return await self._call(method, path, body=body)

    @asynccontextmanager
    async def websocket(self, path: str) -> AsyncIterator["WebSocketMessages"]:
        """A WebSocket of whole binary messages. Raises ServiceUnavailable."""
        try:
            socket = await self._open.ws_connect(
                self._server + path, heartbeat=30.0, max_msg_size=_MESSAGE_BYTES, autoclose=True
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ServiceUnavailable(f"the server can't be reached: {error}") from error
        try:
            yield WebSocketMessages(socket)
        finally:
            await socket.close()

    # --- one request --------------------------------------------------------------------------------------------------

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        *,
        media_type: str = "application/json",
    ) -> Any:
        data = None if body is None else orjson.dumps(body)
        async with self._answer(method, path, query or {}, data=data, media_type=media_type) as response:
            text = await response.read()
        # /readyz and the like answer in plain words.
        is_json = response.content_type.endswith("json")
        return orjson.loads(text) if is_json and text else text.decode() if text else {}

    @asynccontextmanager
    async def _answer(
        self, method: str, path: str, query: Mapping[str, str], *, media_type: str = "", **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A successful response; any other is raised as the ApiError that its Status says."""
        headers = {"Content-Type": media_type} if media_type else {}
        params = {key: value for key, value in query.items() if value}
        try:
            async with self._open.request(
                method, self._server + path, params=params, headers=headers, allow_redirects=False, **options
            ) as response:
                if response.status >= 300:
                    raise _error_of(response.status, await response.read())
                yield response
        except TimeoutError as error:
            raise Timeout("the server did not answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ServiceUnavailable(f"the server can't be reached: {error}") from error


class WebSocketMessages:
    """Implements client.tunnel.MessageChannel."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, message: bytes) -> None:
        try:
            await self._socket.send_bytes(message)
        except (ConnectionError, RuntimeError, aiohttp.ClientError) as error:
            raise ConnectionResetError(str(error)) from None

    async def receive(self) -> bytes | None:
        message = await self._socket.receive()
        if message.type is aiohttp.WSMsgType.BINARY:
            data: bytes = message.data
            return data
        return None


def path_of(gvr: GVR, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """The URL path of a resource, every part escaped."""
    parts = ["apis", gvr.group, gvr.version] if gvr.group else ["api", gvr.version]
    if namespace and not (gvr.resource == "namespaces" and not gvr.group):
        parts += ["namespaces", namespace]
    parts.append(gvr.resource)
    parts += [part for part in (name, subresource) if part]
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _selectors(selection: Selection) -> dict[str, str]:
    return {"labelSelector": selection.label_selector, "fieldSelector": selection.field_selector}


def _write_query(options: WriteOptions) -> dict[str, str]:
    return {
        "fieldManager": options.field_manager,
        "fieldValidation": "Strict",
        "dryRun": "All" if options.dry_run else "",
        "force": "true" if options.force else "",
    }


def _delete_body(options: DeleteOptions) -> Object:
    body: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
    if options.grace_seconds is not None:
        body["gracePeriodSeconds"] = options.grace_seconds
    if options.propagation:
        body["propagationPolicy"] = options.propagation
    preconditions = {"uid": options.uid, "resourceVersion": options.resource_version}
    if any(preconditions.values()):
        body["preconditions"] = {key: value for key, value in preconditions.items() if value}
    if options.dry_run:
        body["dryRun"] = ["All"]
    return body


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Lines of any length."""
    rest = b""
    async for chunk in response.content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line
        await asyncio.sleep(0)


def _error_of(code: int, body: bytes) -> ApiError:
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = {}
    if not isinstance(status, dict) or status.get("kind") != "Status":
        return ApiError(f"the server answered {code}: {body[:200].decode(errors='replace')}", code=code)
    return from_status(status, code)
