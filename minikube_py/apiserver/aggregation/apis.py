"""Follows APIServices: which group versions other servers serve, whether those answer, and what resources they have.

Source: kube-aggregator pkg/controllers/status (conditions, texts), pkg/apiserver (who serves what).
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial

import orjson

from minikube_py.apiserver.aggregation.api import API_SERVICES, AggregatedApi, aggregated_api
from minikube_py.apiserver.aggregation.forwarding import Forwarder
from minikube_py.apiserver.aggregation.registration import keep_local_services
from minikube_py.apiserver.context import ServerContext
from minikube_py.apiserver.messages import HttpRequest, Reply, Taken
from minikube_py.apiserver.streaming.proxied_http import ProxiedRequest, no_body
from minikube_py.client.protocol import Client, WriteOptions
from minikube_py.objects.conditions import get_condition, set_condition
from minikube_py.objects.errors import ApiError, Conflict, NotFound, Object, ServiceUnavailable
from minikube_py.objects.meta import deep_copy
from minikube_py.resources.kind import GVR
from minikube_py.store.protocol import StoreError, WatcherTooSlow

_LOG = logging.getLogger(__name__)

_SERVICES = GVR("", "v1", "services")
_STATUS = WriteOptions(subresource="status")
_ANSWER_SECONDS = 5.0
_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 1.0, 8.0
_AGAIN_SECONDS = 30.0
"""Another server may go away without a word; only clusters that have one ask again."""

_MAX_DOCUMENT_BYTES = 3 * 1024 * 1024


class AggregatedApis:
    """`run()` for as long as the server lives. changed is called when the resources of other servers change."""

    def __init__(self, context: ServerContext, client: Client, forwarder: Forwarder) -> None:
        self.changed: Callable[[], None] = lambda: None
        self._context = context
        self._client = client
        self._forwarder = forwarder
        self._apis: dict[tuple[str, str], AggregatedApi] = {}
        self._resources: dict[AggregatedApi, Object] = {}
        self._checks: dict[AggregatedApi, asyncio.Task[None]] = {}
        self._marking: dict[str, asyncio.Task[None]] = {}

    def find(self, group: str, version: str) -> AggregatedApi | None:
        """The API of another server; what this server serves itself is nobody else's."""
        found = self._apis.get((group, version)) if self._apis else None
        if found is None or (group, version) in self._context.registry.group_versions():
            return None
        return found

    def of_path(self, path: str) -> AggregatedApi | None:
        """The API that `/apis/GROUP/VERSION...` or its `/openapi/v3/...` document belongs to."""
        if not self._apis:
            return None
        parts = path.removeprefix("/openapi/v3").strip("/").split("/")
        return self.find(parts[1], parts[2]) if len(parts) >= 3 and parts[0] == "apis" else None

    def documents(self) -> list[Object]:
        """The APIResourceList of every group version of another server that answers, by the priority of its group."""
        known = sorted(self._resources, key=lambda api: (-api.group_priority, api.group))
        return [self._resources[api] for api in known if self.find(api.group, api.version) is not None]

    async def forward(self, api: AggregatedApi, request: HttpRequest) -> Reply | Taken:
        """Raises ServiceUnavailable."""
        if api not in self._resources:
            raise ServiceUnavailable("service unavailable")
        try:
            return await self._forwarder.forward(api, request)
        except NotFound as error:
            raise ServiceUnavailable(f"service unavailable: {error.message}") from None

    # --- following

    async def run(self) -> None:
        local = asyncio.ensure_future(keep_local_services(self._context.registry, self._context.reader, self._client))
        try:
            await self._follow()
        finally:
            tasks = [local, *self._checks.values(), *self._marking.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self) -> None:
        kind = self._context.registry.find(API_SERVICES)
        if kind is None:
            await asyncio.Event().wait()
            return
        while True:
            try:
                changes = self._context.store.watch(kind.store_resource, after=self._context.store.revision)
                self._load()
                async for _batch in changes:
                    self._load()
            except (WatcherTooSlow, StoreError) as error:
                _LOG.warning("following APIServices failed, trying again: %s", error)

    def _load(self) -> None:
        services = self._context.reader.list(API_SERVICES)
        self._mark(service["metadata"]["name"] for service in services if _is_unmarked(service))
        apis = {(a.group, a.version): a for a in map(aggregated_api, services) if a}
        if apis == self._apis:
            return
        self._apis = apis
        wanted = set(apis.values())
        for api in set(self._checks) - wanted:
            self._checks.pop(api).cancel()
            if self._resources.pop(api, None) is not None:
                self.changed()
        for api in wanted - set(self._checks):
            self._checks[api] = asyncio.ensure_future(self._keep_checked(api))

    def _mark(self, names: Iterable[str]) -> None:
        """Say of APIServices of this server itself that they are available."""
        wanted = set(names) - self._marking.keys()
        for name in wanted:
            task = self._marking[name] = asyncio.ensure_future(self._try_to_write(name, _LOCAL))
            task.add_done_callback(partial(self._marked, name))

    def _marked(self, name: str, _task: "asyncio.Task[None]") -> None:
        self._marking.pop(name, None)

    async def _try_to_write(self, name: str, condition: Object) -> None:
        try:
            await self._write_condition(name, condition)
        except (Conflict, NotFound):
            pass  # it changed meanwhile, so it is looked at again
        except ApiError as error:
            _LOG.warning("the status of the APIService %s cannot be written: %s", name, error)

    async def _keep_checked(self, api: AggregatedApi) -> None:
        retry = _FIRST_RETRY_SECONDS
        while True:
            resources, condition = await self._check(api)
            if resources != self._resources.get(api):
                if resources is None:
                    del self._resources[api]
                else:
                    self._resources[api] = resources
                self.changed()
            await self._try_to_write(api.name, condition)
            await asyncio.sleep(_AGAIN_SECONDS if resources is not None else retry)
            retry = min(retry * 2, _LAST_RETRY_SECONDS) if resources is None else _FIRST_RETRY_SECONDS

    async def _check(self, api: AggregatedApi) -> tuple[Object | None, Object]:
        """(what it serves, the condition); None for a server that does not answer as it should."""
        if self._context.reader.get(_SERVICES, api.service, api.namespace) is None:
            text = f'service/{api.service} in "{api.namespace}" is not present'
            return None, _condition("False", "ServiceNotFound", text)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                document = await self._ask(api)
        except ServiceUnavailable as error:
            if error.message.startswith("no endpoints available"):
                text = f'endpointslices for service/{api.service} in "{api.namespace}" have no addresses'
                return None, _condition("False", "MissingEndpoints", text)
            return None, _condition("False", "FailedDiscoveryCheck", _failing(api, error.message))
        except (ApiError, OSError, ValueError, TimeoutError) as error:
            return None, _condition("False", "FailedDiscoveryCheck", _failing(api, str(error) or "no answer in time"))
        return document, _condition("True", "Passed", "all checks passed")

    async def _ask(self, api: AggregatedApi) -> Object:
        """Its APIResourceList. Raises ValueError for another answer."""
        connection = await self._forwarder.connect(api)
        try:
            headers = {"Accept": "application/json", "User-Agent": "kube-aggregator"}
            identity = (("X-Remote-User", "system:kube-aggregator"), ("X-Remote-Group", "system:masters"))
            request = ProxiedRequest("GET", api.path, api.server_name, headers, no_body(), more_headers=identity)
            response = await connection.request(request)
            if response.code != 200:
                raise ValueError(f"bad status from {api.path}: {response.code}")
            body = bytearray()
            async for chunk in connection.body():
                body += chunk
                if len(body) > _MAX_DOCUMENT_BYTES:
                    raise ValueError("the answer is too large")
        finally:
            await connection.close()
        document = orjson.loads(body)
        if not isinstance(document, dict) or document.get("groupVersion") != f"{api.group}/{api.version}":
            raise ValueError(f"the answer is no list of the resources of {api.group}/{api.version}")
        return document

    async def _write_condition(self, name: str, condition: Object) -> None:
        service = self._context.reader.get(API_SERVICES, name)
        if service is None:
            return
        known = get_condition((service.get("status") or {}).get("conditions"), "Available") or {}
        if all(known.get(key) == condition[key] for key in ("status", "reason", "message")):
            return
        changed = deep_copy(service)
        set_condition(changed.setdefault("status", {}).setdefault("conditions", []), condition)
        await self._client.update(API_SERVICES, changed, options=_STATUS)


def _condition(status: str, reason: str, message: str) -> Object:
    return {"type": "Available", "status": status, "reason": reason, "message": message}


_LOCAL = _condition("True", "Local", "Local APIServices are always available")


def _is_unmarked(service: Object) -> bool:
    condition = get_condition((service.get("status") or {}).get("conditions"), "Available") or {}
    return (service.get("spec") or {}).get("service") is None and condition.get("reason") != "Local"


def _failing(api: AggregatedApi, why: str) -> str:
    return f"failing or missing response from https://{api.server_name}:{api.port}{api.path}: {why}"
