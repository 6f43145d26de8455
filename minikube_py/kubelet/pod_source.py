"""Where a node hears of its pods: a watch of its own, or a share of one watch over all pods."""

from collections.abc import Callable
from typing import Protocol

from minikube_py.client.protocol import Selection
from minikube_py.kubelet.kinds import PODS
from minikube_py.objects.errors import Object
from minikube_py.reconciling.informer import Handler, Informer, InformerEvent, InformerSet

Objects = list[Object]

_BY_NODE = "node"


class PodSource(Protocol):
    """The pods that are bound to one node."""

    async def wait_synced(self) -> None: ...

    def list(self) -> Objects: ...

    def subscribe(self, handler: Handler) -> Callable[[], None]:
        """Call handler for what is there (ADDED) and for every change; returns what ends the subscription."""
        ...


class OwnPods:
    """A PodSource with a watch that the API server narrows to the node."""

    def __init__(self, informers: InformerSet, node_name: str) -> None:
        self._informer = informers.informer(PODS, Selection(field_selector=f"spec.nodeName={node_name}"))

    async def wait_synced(self) -> None:
        await self._informer.wait_synced()

    def list(self) -> Objects:
        return self._informer.cache.list()

    def subscribe(self, handler: Handler) -> Callable[[], None]:
        return self._informer.subscribe(handler)


class SharedPods:
    """One watch for many nodes: an event costs one look-up, however many nodes there are."""

    def __init__(self, informers: InformerSet) -> None:
        self.informer: Informer = informers.informer(PODS, indexers={_BY_NODE: _node_of})
        self._handlers: dict[str, Handler] = {}
        self.informer.subscribe(self._told)

    def of(self, node_name: str) -> "PodSource":
        return _Share(self, node_name)

    def attach(self, node_name: str, handler: Handler) -> Callable[[], None]:
        self._handlers[node_name] = handler
        return lambda: self._detach(node_name)

    def of_node(self, node_name: str) -> Objects:
        return self.informer.cache.by_index(_BY_NODE, node_name)

    def _detach(self, node_name: str) -> None:
        self._handlers.pop(node_name, None)

    def _told(self, event: InformerEvent) -> None:
        handler = self._handlers.get(event.object["spec"].get("nodeName") or "")
        if handler is not None:
            handler(event)


class _Share:
    """The PodSource of one node."""

    def __init__(self, shared: SharedPods, node_name: str) -> None:
        self._shared = shared
        self._node_name = node_name

    async def wait_synced(self) -> None:
        await self._shared.informer.wait_synced()

    def list(self) -> Objects:
        return self._shared.of_node(self._node_name)

    def subscribe(self, handler: Handler) -> Callable[[], None]:
        for pod in self.list():
            handler(InformerEvent("ADDED", pod, None))
        return self._shared.attach(self._node_name, handler)


def _node_of(pod: Object) -> tuple[str, ...]:
    name = pod["spec"].get("nodeName")
    return (name,) if name else ()
