"""Finds the connection to a node by its name: nodes of this process, and agents that dialled in."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from minikube_py.client.node_connection import NodeConnection, NodeConnections, reach
from minikube_py.objects.errors import ServiceUnavailable


class ConnectedNodes:
    """Implements NodeConnections and ExpectedConnections.

    A node that connects again takes the place of its older connection. patience: for how many seconds from now on nodes
    may be about to connect.
    """

    def __init__(self, patience: float = 0.0) -> None:
        self._nodes: dict[str, NodeConnection] = {}
        self._sources: list[NodeConnections] = []
        self._patience = patience
        self._patient_until: float | None = None
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    def begin(self) -> None:
        """From here on nodes may connect; called on the loop."""
        self._patient_until = asyncio.get_running_loop().time() + self._patience

    async def expect(self, node_name: str) -> NodeConnection | None:
        loop = asyncio.get_running_loop()
        if self._patient_until is not None and loop.time() < self._patient_until:
            arrived: asyncio.Future[None] = loop.create_future()
            self._waiting.setdefault(node_name, []).append(arrived)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._patient_until):
                    await arrived
        return self.find(node_name)

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
        node = await reach(self, node_name)
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
        for arrived in self._waiting.pop(node_name, ()):
            if not arrived.done():
                arrived.set_result(None)
        try:
            yield
        finally:
            if self._nodes.get(node_name) is connection:
                del self._nodes[node_name]
