"""Mirrors hand-made Endpoints of Services without a selector into EndpointSlices.

Source: pkg/controller/endpointslicemirroring.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from minikube_py.controllers.context import ENDPOINT_SLICES, ENDPOINTS, SERVICES, ControllerContext
from minikube_py.controllers.endpointslice import BY_SERVICE, by_service, write_slices
from minikube_py.controllers.networking.pod_endpoints import address_type, port_key
from minikube_py.controllers.networking.slices import (
    MANAGED_BY_LABEL,
    SERVICE_NAME_LABEL,
    PortGroup,
    SliceModel,
    plan_slices,
)
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import annotations, is_deleting, key, labels, name, namespace, owner_reference
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import ADDED, InformerEvent
from minikube_py.resources.kind import GVK

MANAGER = "endpointslicemirroring-controller.k8s.io"
_SKIP_LABEL = "endpointslice.kubernetes.io/skip-mirror"
_LEADER_ANNOTATION = "control-plane.alpha.kubernetes.io/leader"
_NOT_COPIED = frozenset(
    ("endpoints.kubernetes.io/last-change-trigger-time", "kubectl.kubernetes.io/last-applied-configuration")
)
_ENDPOINTS = GVK("", "v1", "Endpoints")
_LARGEST_SUBSET = 1000


class EndpointSliceMirroringController:
    name = "endpointslicemirroring"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("endpointslicemirroring-controller")
        self._services = context.informers.informer(SERVICES)
        self._endpoints = context.informers.informer(ENDPOINTS)
        self._slices = context.informers.informer(ENDPOINT_SLICES, indexers={BY_SERVICE: by_service})

    def sources(self) -> Sequence[Source]:
        return Source(self._endpoints), Source(self._services), Source(self._slices, self._own_slice_changed)

    def _own_slice_changed(self, event: InformerEvent) -> Iterable[Key]:
        service = labels(event.object).get(SERVICE_NAME_LABEL)
        if labels(event.object).get(MANAGED_BY_LABEL) == MANAGER and event.type != ADDED and service:
            yield Key(namespace(event.object), service)

    async def reconcile(self, key: Key) -> float | None:
        endpoints, service = self._endpoints.cache.get(*key), self._services.cache.get(*key)
        existing = [
            one
            for one in self._slices.cache.by_index(BY_SERVICE, f"{key.namespace}/{key.name}")
            if labels(one).get(MANAGED_BY_LABEL) == MANAGER
        ]
        mirrored = endpoints is not None and service is not None and _is_mirrored(endpoints, service)
        groups = _groups(endpoints) if mirrored and endpoints is not None else []
        if not groups and not existing:
            return None
        model = _model(endpoints) if endpoints is not None else SliceModel(key.namespace, "", {}, {})
        await write_slices(self._client, self._slices, plan_slices(model, groups, existing))
        return None


def _is_mirrored(endpoints: Object, service: Object) -> bool:
    if service["spec"].get("selector") or is_deleting(endpoints):
        return False
    return labels(endpoints).get(_SKIP_LABEL) != "true" and _LEADER_ANNOTATION not in annotations(endpoints)


def _model(endpoints: Object) -> SliceModel:
    own = dict(labels(endpoints)) | {SERVICE_NAME_LABEL: name(endpoints), MANAGED_BY_LABEL: MANAGER}
    notes = {note: value for note, value in annotations(endpoints).items() if note not in _NOT_COPIED}
    owner = owner_reference(endpoints, _ENDPOINTS)
    return SliceModel(*key(endpoints)[:1], f"{name(endpoints)}-", own, owner, notes, _LARGEST_SUBSET)


def _groups(endpoints: Object) -> list[PortGroup]:
    groups: dict[Any, PortGroup] = {}
    for subset in endpoints.get("subsets") or ():
        ports = [{"name": "", **port} for port in subset.get("ports") or ()]
        taken = 0
        for side, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in (subset.get(side) or ())[: _LARGEST_SUBSET - taken]:
                taken += 1
                family = address_type(address["ip"])
                group = groups.setdefault((family, port_key(ports)), PortGroup(family, ports))
                group.endpoints.append(_endpoint(address, ready))
    return list(groups.values())


def _endpoint(address: Object, ready: bool) -> Object:
    endpoint: Object = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for field in ("hostname", "nodeName", "targetRef"):
        if address.get(field):
            endpoint[field] = address[field]
    return endpoint
