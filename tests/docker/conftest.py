"""Docker tests run where an engine answers and mkube may set up networks; elsewhere they are skipped and say so."""

import os
from collections.abc import AsyncIterator

import docker
import pytest
from docker.errors import DockerException

from tests.docker.node import Node, running_node
from tests.support.images import ensure_test_image


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/docker/" in str(item.path):
            item.add_marker(pytest.mark.docker)


@pytest.fixture(scope="session")
def docker_client() -> docker.APIClient:
    try:
        client = docker.APIClient(version="auto")
    except DockerException as error:
        pytest.skip(f"no Docker engine answers: {error}")
    if os.geteuid() != 0:
        pytest.skip("bridges and nftables need root")
    ensure_test_image(client)
    yield client
    client.close()


@pytest.fixture
async def node(docker_client: docker.APIClient) -> AsyncIterator[Node]:
    async with running_node() as started:
        yield started
