"""The Docker runtime keeps the runtime contract, on a real engine."""

import pytest

from minikube_py.kubelet.runtimes.docker import DockerRuntime
from tests.contracts.runtime_suite import RuntimeSuite
from tests.docker.node import Node
from tests.support.images import TEST_IMAGE


class TestDockerRuntime(RuntimeSuite):
    @pytest.fixture
    def runtime(self, node: Node) -> DockerRuntime:
        return node.runtime

    @pytest.fixture
    def image(self) -> str:
        return TEST_IMAGE
