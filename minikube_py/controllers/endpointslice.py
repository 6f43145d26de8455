"""Keeps the EndpointSlices of every Service that has a selector.

Source: pkg/controller/endpointslice and staging/src/k8s.io/endpointslice/reconciler.go.
"""

import asyncio
from collections.abc import Iterable, Sequence

from minikube_py.client.protocol import SHARED_ANSWER, Client
from minikube_py.controllers.context import ENDPOINT_SLICES, NODES, PODS, SERVICES, ControllerContext
from minikube_py.controllers.networking import pod_endpoints
from minikube_py.controllers.networking.service_pods import services_of_pods
from minikube_py.controllers.networking.slices import (
    MANAGED_BY_LABEL,
    SERVICE_NAME_LABEL,
    PortGroup,
    SliceChanges,
    SliceModel,
    plan_slices,
)
from minikube_py.objects.errors import ApiError, NotFound, Object, is_namespace_terminating
from minikube_py.objects.meta import is_deleting, labels, name, namespace, owner_reference
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import ADDED, Informer, InformerEvent
from minikube_py.reconciling.pacing import Pacer
from minikube_py.reconciling.recorder import WARNING, EventRecorder
from minikube_py.reconciling.workqueue import WorkQueue
from minikube_py.resources.kind import GVK

MANAGER = "endpointslice-controller.k8s.io"
_SERVICE = GVK("", "v1", "Service")
_RESERVED_LABELS = frozenset((SERVICE_NAME_LABEL, MANAGED_BY_LABEL, pod_endpoints.HEADLESS_LABEL))
BY_SERVICE = "service"


def by_service(slice_: Object) -> Iterable[str]:
    """Index of slices by `namespace/service`."""
    service = labels(slice_).get(SERVICE_NAME_LABEL)
    return (f"{namespace(slice_)}/{service}",) if service else ()


class EndpointSliceController:
    name = "endpointslice"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("endpointslice-controller")
        informers = context.informers
        self._services = informers.informer(SERVICES)
        self._pods = informers.informer(PODS)
        self._nodes = informers.informer(NODES)
        self._slices = informers.informer(ENDPOINT_SLICES, indexers={BY_SERVICE: by_service})
        self._recorder = EventRecorder(self._client, "endpoint-slice-controller")
        self._pacer = Pacer()

    def bind(self, queue: WorkQueue[Key]) -> None:
        self._pacer.bind(queue)

    def sources(self) -> Sequence[Source]:
        return (
            Source(self._services),
            Source(self._pods, self._pacer.paced(services_of_pods(self._services))),
            Source(self._nodes, self._pacer.paced(self._services_of_node)),
            Source(self._slices, self._service_of_slice),
        )

    def _services_of_node(self, event: InformerEvent) -> Iterable[Key]:
        """A node's zone is part of the endpoints on it."""
        zone = pod_endpoints.ZONE_LABEL
        before = labels(event.previous).get(zone) if event.previous is not None else None
        if labels(event.object).get(zone) == before:
            return
        for service in self._services.cache:
            if pod_endpoints.has_pods(service):
                yield Key(namespace(service), name(service))

    def _service_of_slice(self, event: InformerEvent) -> Iterable[Key]:
        if labels(event.object).get(MANAGED_BY_LABEL) == MANAGER and event.type != ADDED:
            service = labels(event.object).get(SERVICE_NAME_LABEL)
            if service:
                yield Key(namespace(event.object), service)

    async def reconcile(self, key: Key) -> float | None:
        service = self._services.cache.get(*key)
        if service is None or not pod_endpoints.has_pods(service) or is_deleting(service):
            # The slices of a Service that is gone belong to the garbage collector.
            return None
        started = asyncio.get_running_loop().time()
        existing = [
            s
            for s in self._slices.cache.by_index(BY_SERVICE, f"{key.namespace}/{key.name}")
            if labels(s).get(MANAGED_BY_LABEL) == MANAGER
        ]
        changes = plan_slices(_model(service), self._groups(service), existing)
        self._pacer.note(key, asyncio.get_running_loop().time() - started)
        try:
            await write_slices(self._client, self._slices, changes)
        except ApiError as error:
            if not is_namespace_terminating(error):
                text = f"Error updating Endpoint Slices for Service {key.namespace}/{key.name}: {error}"
                self._recorder.event(service, WARNING, "FailedToUpdateEndpointSlices", text)
                raise
        return None

    def _groups(self, service: Object) -> list[PortGroup]:
        groups: dict[object, PortGroup] = {}
        families = pod_endpoints.address_types(service)
        for pod in self._pods.cache.list(namespace(service)):
            if not pod_endpoints.selects(service, pod):
                continue
            if not pod_endpoints.is_candidate(pod, with_terminating=True):
                continue
            ports = pod_endpoints.endpoint_ports(service, pod)
            node = self._nodes.cache.get("", pod["spec"].get("nodeName", ""))
            for family in families:
                endpoint = pod_endpoints.slice_endpoint(service, pod, node, family)
                if endpoint["addresses"]:
                    group = (family, pod_endpoints.port_key(ports))
                    groups.setdefault(group, PortGroup(family, ports)).endpoints.append(endpoint)
        for family in families:
            if not any(group.address_type == family for group in groups.values()):
                groups[family, ()] = PortGroup(family, [])
        return list(groups.values())


def _model(service: Object) -> SliceModel:
    own = {key: value for key, value in labels(service).items() if key not in _RESERVED_LABELS}
    own[SERVICE_NAME_LABEL] = name(service)
    own[MANAGED_BY_LABEL] = MANAGER
    if pod_endpoints.is_headless(service):
        own[pod_endpoints.HEADLESS_LABEL] = ""
    return SliceModel(namespace(service), f"{name(service)}-", own, owner_reference(service, _SERVICE))


async def write_slices(client: Client, slices: Informer, changes: SliceChanges) -> None:
    """Carry out planned changes; creations first, so that no endpoint is missing in between."""
    for slice_ in changes.create:
        slices.assume(await client.create(ENDPOINT_SLICES, slice_, namespace(slice_), options=SHARED_ANSWER))
    for slice_ in changes.update:
        slices.assume(await client.update(ENDPOINT_SLICES, slice_, options=SHARED_ANSWER))
    for slice_ in changes.delete:
        try:
            await client.delete(ENDPOINT_SLICES, name(slice_), namespace(slice_))
        except NotFound:
            continue
        slices.assume_deleting(slice_)
