"""Has the cloud make load balancers for Services of type LoadBalancer, and removes them again.

Source: staging/src/k8s.io/cloud-provider/controllers/service. A Service with a loadBalancerClass is somebody else's.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from minikube_py.client.protocol import PatchType, WriteOptions
from minikube_py.cloud.protocol import CloudError, LoadBalancers
from minikube_py.controllers.context import NODES, SERVICES, ControllerContext
from minikube_py.controllers.nodes.taints import ready_status, taints_of
from minikube_py.objects.errors import NotFound, Object
from minikube_py.objects.meta import finalizers, is_deleting, key, labels, name, namespace, uid
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import DELETED, InformerEvent
from minikube_py.reconciling.recorder import NORMAL, WARNING, EventRecorder
from minikube_py.reconciling.workqueue import WorkQueue

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
EXCLUDED_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"
_MANAGER = "system:serviceaccount:kube-system:service-controller"
_LEAVING_TAINT = "ToBeDeletedByClusterAutoscaler"
_GATHER_SECONDS = 1.0
_STATUS = WriteOptions(subresource="status")
_FOLLOWED = (
    "type", "ports", "loadBalancerIP", "loadBalancerSourceRanges", "externalIPs", "externalTrafficPolicy",
    "healthCheckNodePort", "sessionAffinity", "sessionAffinityConfig", "ipFamilies",
)  # fmt: skip


def wants_balancer(service: Object) -> bool:
    spec = service["spec"]
    return spec.get("type") == "LoadBalancer" and not spec.get("loadBalancerClass") and not is_deleting(service)


def takes_traffic(node: Object) -> bool:
    """Whether a load balancer may send traffic to the node."""
    if EXCLUDED_LABEL in labels(node) or is_deleting(node):
        return False
    return ready_status(node) == "True" and all(taint["key"] != _LEAVING_TAINT for taint in taints_of(node))


class ServiceLoadBalancerController:
    name = "service-lb"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("service-controller")
        cloud = context.options.cloud
        self._balancers: LoadBalancers | None = cloud.load_balancers if cloud is not None else None
        self._services = context.informers.informer(SERVICES)
        self._nodes = context.informers.informer(NODES)
        self._recorder = EventRecorder(self._client, "service-controller")
        self._ensured: dict[str, Any] = {}
        self._behind: dict[str, frozenset[str]] = {}
        self._queue: WorkQueue[Key] = WorkQueue()

    def bind(self, queue: WorkQueue[Key]) -> None:
        self._queue = queue

    def sources(self) -> Sequence[Source]:
        if self._balancers is None:
            return (Source(self._services),)
        return Source(self._services, self._service_changed), Source(self._nodes, self._node_changed)

    def _service_changed(self, event: InformerEvent) -> Iterable[Key]:
        service, previous = event.object, event.previous
        yield key(service)
        before = _ingress(previous if previous is not None else service)
        if before and (event.type == DELETED or not _ingress(service)):
            # What has become free may be what others wait for.
            for other in self._services.cache:
                if wants_balancer(other) and not _ingress(other):
                    yield key(other)

    def _node_changed(self, event: InformerEvent) -> Iterable[Key]:
        """Nodes come in crowds: each Service looks at them once for all."""
        before = event.previous is not None and takes_traffic(event.previous)
        if before != (event.type != DELETED and takes_traffic(event.object)):
            for service in self._services.cache:
                if wants_balancer(service):
                    self._queue.add_after(key(service), _GATHER_SECONDS)
        return ()

    async def reconcile(self, key: Key) -> float | None:
        service = self._services.cache.get(*key)
        if service is None:
            return None
        if self._balancers is None:
            # A cluster that had load balancers before: nobody else would let its Services go.
            if is_deleting(service) and _is_held_by(service, _MANAGER):
                await self._let_go(service)
            return None
        try:
            if wants_balancer(service):
                await self._ensure(service, self._balancers)
            elif FINALIZER in finalizers(service):
                await self._delete(service, self._balancers)
        except CloudError as error:
            self._recorder.event(service, WARNING, "SyncLoadBalancerFailed", f"Error syncing load balancer: {error}")
            return error.retry_seconds
        return None

    async def _ensure(self, service: Object, balancers: LoadBalancers) -> None:
        nodes = [node for node in self._nodes.cache if takes_traffic(node)]
        behind, wanted = frozenset(name(node) for node in nodes), _wanted(service)
        existing = await balancers.get(service)
        is_known = FINALIZER in finalizers(service) and existing is not None and existing == _status(service)
        if is_known and self._ensured.setdefault(uid(service), wanted) == wanted:
            if self._behind.setdefault(uid(service), behind) != behind:
                await balancers.update(service, nodes)
                self._behind[uid(service)] = behind
                self._recorder.event(service, NORMAL, "UpdatedLoadBalancer", "Updated load balancer with new hosts")
            return
        self._recorder.event(service, NORMAL, "EnsuringLoadBalancer", "Ensuring load balancer")
        if FINALIZER not in finalizers(service):
            service = await self._patch(service, {"finalizers": [*finalizers(service), FINALIZER]}, None)
        if not nodes:
            text = "There are no available nodes for LoadBalancer"
            self._recorder.event(service, WARNING, "UnAvailableLoadBalancer", text)
        status = await balancers.ensure(service, nodes)
        if status != _status(service):
            await self._patch(service, {}, status)
        self._ensured[uid(service)], self._behind[uid(service)] = wanted, behind
        self._recorder.event(service, NORMAL, "EnsuredLoadBalancer", "Ensured load balancer")

    async def _delete(self, service: Object, balancers: LoadBalancers) -> None:
        self._recorder.event(service, NORMAL, "DeletingLoadBalancer", "Deleting load balancer")
        await balancers.delete(service)
        self._ensured.pop(uid(service), None)
        self._behind.pop(uid(service), None)
        await self._let_go(service)
        self._recorder.event(service, NORMAL, "DeletedLoadBalancer", "Deleted load balancer")

    async def _let_go(self, service: Object) -> None:
        kept = [one for one in finalizers(service) if one != FINALIZER]
        with suppress(NotFound):
            await self._patch(service, {"finalizers": kept or None}, None if is_deleting(service) else {})

    async def _patch(self, service: Object, metadata: Object, status: Object | None) -> Object:
        """Finalizers go through the status subresource too: this controller may write nothing else of a Service."""
        held = {"uid": uid(service), "resourceVersion": service["metadata"]["resourceVersion"], **metadata}
        patch: Object = {"metadata": held}
        if status is not None:
            patch["status"] = {"loadBalancer": {"ingress": status.get("ingress")}}
        patched = await self._client.patch(
            SERVICES, name(service), patch, namespace(service), patch_type=PatchType.MERGE, options=_STATUS
        )
        self._services.assume(patched)
        return patched


def _wanted(service: Object) -> dict[str, Any]:
    """What of the Service its load balancer depends on."""
    notes = service["metadata"].get("annotations") or {}
    return {field: service["spec"].get(field) for field in _FOLLOWED} | {"annotations": dict(notes)}


def _status(service: Object) -> Object:
    return (service.get("status") or {}).get("loadBalancer") or {}


def _ingress(service: Object) -> bool:
    return bool(_status(service).get("ingress"))


def _is_held_by(service: Object, manager: str) -> bool:
    """Whether the finalizer was put on by that field manager, and not by somebody else's cloud controller."""
    for entry in service["metadata"].get("managedFields") or ():
        fields = ((entry.get("fieldsV1") or {}).get("f:metadata") or {}).get("f:finalizers") or {}
        if entry.get("manager") == manager and f'v:"{FINALIZER}"' in fields:
            return True
    return False
