"""Docker tests need an engine that answers and root; scripts/test sees to the engine."""

import os
from collections.abc import AsyncIterator

import docker
import pytest

from tests.docker.node import Node, running_node
from tests.support.images import ensure_test_image


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/docker/" in str(item.path):
            item.add_marker(pytest.mark.docker)


@pytest.fixture(scope="session")
def docker_client() -> docker.APIClient:
    client = docker.APIClient(version="auto")
    assert os.geteuid() == 0, "bridges and nftables need root: run the tests as root, or leave out tests/docker"
    ensure_test_image(client)
    yield client
    client.close()


@pytest.fixture
async def node(docker_client: docker.APIClient) -> AsyncIterator[Node]:
    async with running_node() as started:
        yield started
