"""Where a kubelet sees its own Node object: a watch of its own, or a share of one watch over all nodes."""

from collections.abc import Callable
from typing import Protocol

from minikube_py.client.protocol import Selection
from minikube_py.kubelet.kinds import NODES
from minikube_py.objects.errors import Object
from minikube_py.reconciling.informer import Handler, Informer, InformerEvent, InformerSet


class NodeSource(Protocol):
    """One Node as the API has it."""

    def get(self) -> Object | None: ...

    def assume(self, node: Object) -> None:
        """Take in the answer of a write ahead of the watch."""
        ...

    def subscribe(self, handler: Handler) -> Callable[[], None]:
        """Call handler for the present state (ADDED) and for every change; returns what ends the subscription."""
        ...


class OwnNode:
    """A NodeSource with a watch that the API server narrows to the node."""

    def __init__(self, informers: InformerSet, node_name: str) -> None:
        self._name = node_name
        self._informer = informers.informer(NODES, Selection(field_selector=f"metadata.name={node_name}"))

    def get(self) -> Object | None:
        return self._informer.cache.get("", self._name)

    def assume(self, node: Object) -> None:
        self._informer.assume(node)

    def subscribe(self, handler: Handler) -> Callable[[], None]:
        return self._informer.subscribe(handler)


class SharedNodes:
    """One watch for many kubelets: an event costs one look-up, however many nodes there are."""

    def __init__(self, informers: InformerSet) -> None:
        self.informer: Informer = informers.informer(NODES)
        self._handlers: dict[str, Handler] = {}
        self.informer.subscribe(self._told)

    def of(self, node_name: str) -> NodeSource:
        return _Share(self, node_name)

    def attach(self, node_name: str, handler: Handler) -> Callable[[], None]:
        self._handlers[node_name] = handler
        return lambda: self._detach(node_name)

    def _detach(self, node_name: str) -> None:
        self._handlers.pop(node_name, None)

    def _told(self, event: InformerEvent) -> None:
        handler = self._handlers.get(event.object["metadata"]["name"])
        if handler is not None:
            handler(event)


class _Share:
    """The NodeSource of one node."""

    def __init__(self, shared: SharedNodes, node_name: str) -> None:
        self._shared = shared
        self._name = node_name

    def get(self) -> Object | None:
        return self._shared.informer.cache.get("", self._name)

    def assume(self, node: Object) -> None:
        self._shared.informer.assume(node)

    def subscribe(self, handler: Handler) -> Callable[[], None]:
        node = self.get()
        if node is not None:
            handler(InformerEvent("ADDED", node, None))
        return self._shared.attach(self._name, handler)
