"""Keeps a node's data path in step with Services and EndpointSlices: one apply for a burst of changes."""

import asyncio
import logging
from dataclasses import replace

from minikube_py import ids
from minikube_py.client.protocol import Selection
from minikube_py.proxy.backends.protocol import ProxyBackend, RuleSet
from minikube_py.proxy.health_checks import HealthCheckPorts
from minikube_py.proxy.rules import NodeView, build_rules, health_checks
from minikube_py.reconciling.informer import DELETED, InformerEvent, InformerSet
from minikube_py.resources.kind import GVR

log = logging.getLogger(__name__)

SERVICES = GVR("", "v1", "services")
ENDPOINT_SLICES = GVR("discovery.k8s.io", "v1", "endpointslices")
PODS = GVR("", "v1", "pods")
NODES = GVR("", "v1", "nodes")
_ZONE = "topology.kubernetes.io/zone"

_GATHER_SECONDS = 0.01
_FIRST_RETRY_SECONDS = 0.5
_LAST_RETRY_SECONDS = 30.0


class ServiceProxy:
    """One node's proxy. Nothing happens while nothing changes."""

    def __init__(self, informers: InformerSet, backend: ProxyBackend, node: NodeView) -> None:
        self._backend = backend
        self._node = node
        self._services = informers.informer(SERVICES)
        self._slices = informers.informer(ENDPOINT_SLICES)
        # The same selection as the kubelet's own informer, so that one watch serves both.
        self._pods = informers.informer(PODS, Selection(field_selector=f"spec.nodeName={node.name}"))
        self._own_node = informers.informer(NODES, Selection(field_selector=f"metadata.name={node.name}"))
        self._changed = asyncio.Event()
        self._applied: RuleSet | None = None
        self._health = HealthCheckPorts(node.health_address) if node.health_address else None

    async def run(self) -> None:
        """Until cancelled; the rules stay on the host then, so that Services outlive a restart."""
        watched = (self._services, self._slices, self._pods)
        for informer in (*watched, self._own_node):
            await informer.wait_synced()
        unsubscribe = [informer.subscribe(self._note) for informer in watched]
        unsubscribe.append(self._own_node.subscribe(self._note_node))
        try:
            self._changed.set()
            await self._follow()
        finally:
            for leave in unsubscribe:
                leave()
            if self._health is not None:
                self._health.close()

    def _note(self, event: InformerEvent) -> None:
        self._changed.set()

    def _note_node(self, event: InformerEvent) -> None:
        """The node's zone may change; its heartbeats are no reason to look at all Services."""
        zone = (event.object["metadata"].get("labels") or {}).get(_ZONE, "")
        if event.type != DELETED and zone != self._node.zone:
            self._node = replace(self._node, zone=zone)
            self._changed.set()

    async def _follow(self) -> None:
        delay = _FIRST_RETRY_SECONDS
        while True:
            await self._changed.wait()
            await asyncio.sleep(_GATHER_SECONDS)
            self._changed.clear()
            rules = build_rules(self._services.cache, self._slices.cache, self._pods.cache, self._node)
            if self._health is not None:
                await self._health.apply(health_checks(self._services.cache, rules))
            if rules == self._applied:
                continue
            try:
                await self._backend.apply(rules)
            except Exception:
                # Whatever it is, the node must go on serving what it has and try again.
                log.exception("cannot apply the service rules")
                await asyncio.sleep(ids.jitter(delay, 0.2))
                delay = min(delay * 2, _LAST_RETRY_SECONDS)
                self._changed.set()
                continue
            delay = _FIRST_RETRY_SECONDS
            self._applied = rules
