"""A server with all admission plugins, for the tests of policies and webhooks."""

from collections.abc import AsyncIterator

import pytest

from minikube_py.apiserver.local_client import LocalClient
from tests.support.admitting import admitting_cluster
from tests.support.cluster import Cluster


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with admitting_cluster() as running:
        yield running


@pytest.fixture
def client(cluster: Cluster) -> LocalClient:
    return cluster.client()
