"""Keeps the v1 Endpoints object of every Service that has a selector.

Source: pkg/controller/endpoint/endpoints_controller.go; the packing into subsets is endpoints.RepackSubsets.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from minikube_py.client.protocol import SHARED_ANSWER
from minikube_py.controllers.context import ENDPOINTS, PODS, SERVICES, ControllerContext
from minikube_py.controllers.networking import pod_endpoints
from minikube_py.controllers.networking.service_pods import services_of_pods
from minikube_py.controllers.workloads.pods import is_ready
from minikube_py.objects.errors import ApiError, NotFound, Object, is_namespace_terminating
from minikube_py.objects.meta import annotations, deep_copy, is_deleting, labels, name, namespace
from minikube_py.objects.meta import key as key_of
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import ADDED, DELETED, InformerEvent
from minikube_py.reconciling.pacing import Pacer
from minikube_py.reconciling.recorder import WARNING, EventRecorder
from minikube_py.reconciling.workqueue import WorkQueue

MANAGED_BY_LABEL = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
_CAPACITY = 1000


class EndpointsController:
    name = "endpoints"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("endpoint-controller")
        self._services = context.informers.informer(SERVICES)
        self._pods = context.informers.informer(PODS)
        self._endpoints = context.informers.informer(ENDPOINTS)
        self._recorder = EventRecorder(self._client, "endpoint-controller")
        self._pacer = Pacer()

    def bind(self, queue: WorkQueue[Key]) -> None:
        self._pacer.bind(queue)

    def sources(self) -> Sequence[Source]:
        return (
            Source(self._services),
            Source(self._pods, self._pacer.paced(services_of_pods(self._services))),
            Source(self._endpoints, self._own_keys),
        )

    def _own_keys(self, event: InformerEvent) -> Iterable[Key]:
        """Deleted ones come back; leftovers of Services that went while nobody watched are found at the start."""
        mine = labels(event.object).get(MANAGED_BY_LABEL) == MANAGER
        return (key_of(event.object),) if event.type == DELETED or (mine and event.type == ADDED) else ()

    async def reconcile(self, key: Key) -> float | None:
        service = self._services.cache.get(*key)
        existing = self._endpoints.cache.get(*key)
        if service is None:
            if existing is not None:
                await self._delete(existing)
            return None
        if not pod_endpoints.has_pods(service) or is_deleting(service):
            return None
        started = asyncio.get_running_loop().time()
        wanted = self._wanted(service, existing)
        self._pacer.note(key, asyncio.get_running_loop().time() - started)
        if existing is not None and _same(existing, wanted):
            return None
        try:
            if existing is None:
                written = await self._client.create(ENDPOINTS, wanted, key.namespace, options=SHARED_ANSWER)
            else:
                written = await self._client.update(ENDPOINTS, wanted, options=SHARED_ANSWER)
        except ApiError as error:
            if is_namespace_terminating(error):
                return None
            what = "create" if existing is None else "update"
            text = f"Failed to {what} endpoint {key.namespace}/{key.name}: {error}"
            self._recorder.event(service, WARNING, f"FailedTo{what.capitalize()}Endpoint", text)
            raise
        self._endpoints.assume(written)
        return None

    async def _delete(self, endpoints: Object) -> None:
        try:
            await self._client.delete(ENDPOINTS, name(endpoints), namespace(endpoints))
        except NotFound:
            return
        self._endpoints.assume_deleting(endpoints)

    def _wanted(self, service: Object, existing: Object | None) -> Object:
        unready_too = bool(service["spec"].get("publishNotReadyAddresses"))
        family = pod_endpoints.address_types(service)[0]
        chosen: list[tuple[Object, Object, bool]] = []
        for pod in self._pods.cache.list(namespace(service)):
            if not pod_endpoints.selects(service, pod):
                continue
            if not pod_endpoints.is_candidate(pod, with_terminating=unready_too):
                continue
            addresses = pod_endpoints.pod_addresses(pod, family)
            if addresses:
                ready = unready_too or is_ready(pod)
                chosen.append((pod, _address(service, pod, addresses[0]), ready))
        chosen.sort(key=lambda entry: not entry[2])
        made = deep_copy(existing) if existing is not None else _new(service)
        made["subsets"] = _pack(service, chosen[:_CAPACITY])
        metadata = made["metadata"]
        metadata["labels"] = {**labels(service), MANAGED_BY_LABEL: MANAGER}
        metadata["labels"].pop(pod_endpoints.HEADLESS_LABEL, None)
        if pod_endpoints.is_headless(service):
            metadata["labels"][pod_endpoints.HEADLESS_LABEL] = ""
        noted = dict(annotations(made))
        noted.pop(OVER_CAPACITY, None)
        if len(chosen) > _CAPACITY:
            noted[OVER_CAPACITY] = "truncated"
        if noted or "annotations" in metadata:
            metadata["annotations"] = noted
        return made


def _new(service: Object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": name(service), "namespace": namespace(service)},
    }


def _same(one: Object, other: Object) -> bool:
    if (one.get("subsets") or []) != (other.get("subsets") or []):
        return False
    return dict(labels(one)) == dict(labels(other)) and dict(annotations(one)) == dict(annotations(other))


def _address(service: Object, pod: Object, ip: str) -> Object:
    address: Object = {"ip": ip}
    if pod["spec"].get("nodeName"):
        address["nodeName"] = pod["spec"]["nodeName"]
    address["targetRef"] = pod_endpoints.pod_reference(pod)
    hostname = pod_endpoints.pod_hostname(service, pod)
    if hostname:
        address["hostname"] = hostname
    return address


def _pack(service: Object, chosen: Iterable[tuple[Object, Object, bool]]) -> list[Object]:
    """Addresses with equal ports share a subset; everything is in a stable order."""
    subsets: dict[Any, Object] = {}
    for pod, address, ready in chosen:
        ports = [_port(port) for port in pod_endpoints.endpoint_ports(service, pod)]
        if not ports and service["spec"].get("ports"):
            continue
        ports.sort(key=lambda port: (port.get("name", ""), port["port"], port["protocol"]))
        subset = subsets.setdefault(pod_endpoints.port_key(ports), {"ports": ports})
        subset.setdefault("addresses" if ready else "notReadyAddresses", []).append(address)
    packed = []
    for _, subset in sorted(subsets.items(), key=lambda item: item[0]):
        made: Object = {}
        for side in ("addresses", "notReadyAddresses"):
            if side in subset:
                made[side] = sorted(subset[side], key=lambda a: (a["ip"], a["targetRef"]["uid"]))
        if subset["ports"]:
            made["ports"] = subset["ports"]
        packed.append(made)
    return packed


def _port(port: Object) -> Object:
    return {field: value for field, value in port.items() if value != ""}
