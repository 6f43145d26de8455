"""Finds the connection to a node by its name: nodes of this process, and agents that dialled in."""

from collections.abc import Iterator
from contextlib import contextmanager

from minikube_py.client.node_connection import NodeConnection, NodeConnections
from minikube_py.objects.errors import ServiceUnavailable


class ConnectedNodes:
    """Implements NodeConnections. A node that connects again takes the place of its older connection."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeConnection] = {}
        self._sources: list[NodeConnections] = []

    def find(self, node_name: str) -> NodeConnection | None:
        found = self._nodes.get(node_name)
        if found is not None:
            return found
        for source in self._sources:
            found = source.find(node_name)
            if found is not None:
                return found
        return None

    async def remove_volume(self, node_name: str, handle: str) -> None:
        """Delete the data of a local volume. Raises ServiceUnavailable for a node that is not connected."""
        node = self.find(node_name)
        if node is None:
            raise ServiceUnavailable(f'node "{node_name}" is not connected')
        await node.remove_volume(handle)

    def add_source(self, source: NodeConnections) -> None:
        """Ask `source` too, for nodes that are not connected here themselves."""
        self._sources.append(source)

    @contextmanager
    def connected(self, node_name: str, connection: NodeConnection) -> Iterator[None]:
        """The node is reached through `connection` while the block runs."""
        self._nodes[node_name] = connection
        try:
            yield
        finally:
            if self._nodes.get(node_name) is connection:
                del self._nodes[node_name]
