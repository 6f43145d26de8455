"""Fixtures of the tests that need a listening server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.cluster import HttpsCluster, https_cluster
from tests.support.echo_node import EchoNode
from tests.support.http_calls import HttpCalls, http_calls


@pytest.fixture(scope="session")
def pki_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("apiserver")


@pytest.fixture
async def served(pki_directory: Path) -> AsyncIterator[HttpsCluster]:
    async with https_cluster(pki_directory, EchoNode()) as running:
        yield running


@pytest.fixture
async def http(served: HttpsCluster) -> AsyncIterator[HttpCalls]:
    async with http_calls(served) as calls:
        yield calls
