"""Simulated nodes beside a control plane of the test's own loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from minikube_py.kubelet.fake_nodes import FakeNodes, FakeNodesOptions
from minikube_py.reconciling.informer import InformerSet
from tests.support.control_plane import ControlPlane


@asynccontextmanager
async def fake_nodes(plane: ControlPlane, count: int = 2) -> AsyncIterator[FakeNodes]:
    """`fake-0` and so on; the API server reaches them."""
    informers = InformerSet(plane.client)

    def client_for(name: str) -> Any:
        return plane.cluster.client(f"system:node:{name}", ("system:nodes",))

    names = tuple(f"fake-{number}" for number in range(count))
    nodes = FakeNodes(FakeNodesOptions(names, client_for, informers))
    plane.nodes.lost.update(names)  # the stand-in nodes leave these alone
    plane.connected.add_source(nodes)
    tasks = [asyncio.create_task(informers.run()), asyncio.create_task(nodes.run())]
    try:
        yield nodes
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
