"""Connections to nodes: whoever asks just after a start waits for a node that is still connecting."""

import asyncio
from typing import Any

from minikube_py.client.connected_nodes import ConnectedNodes
from minikube_py.client.node_connection import reach
from tests.support.virtual_time import virtual_time


@virtual_time
async def test_a_node_that_is_about_to_connect_is_waited_for() -> None:
    nodes, node = ConnectedNodes(patience=15), _Node()
    nodes.begin()
    loop = asyncio.get_running_loop()
    began = loop.time()
    asked = asyncio.create_task(reach(nodes, "n"))
    await asyncio.sleep(5)
    with nodes.connected("n", node):
        assert await asked is node
        assert loop.time() - began == 5
        assert await reach(nodes, "n") is node


@virtual_time
async def test_patience_ends() -> None:
    nodes = ConnectedNodes(patience=15)
    nodes.begin()
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await reach(nodes, "n") is None
    assert loop.time() - began == 15
    assert await reach(nodes, "n") is None
    assert loop.time() - began == 15


@virtual_time
async def test_without_patience_nobody_waits() -> None:
    assert await reach(ConnectedNodes(), "n") is None


class _Node:
    """A connection that nobody uses."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was called")
