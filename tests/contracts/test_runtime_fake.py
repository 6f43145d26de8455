"""The fake runtime keeps the runtime contract."""

import pytest

from minikube_py.kubelet.runtimes.fake import FakeRuntime
from tests.contracts.runtime_suite import RuntimeSuite


class TestFakeRuntime(RuntimeSuite):
    @pytest.fixture
    def runtime(self) -> FakeRuntime:
        return FakeRuntime()

    @pytest.fixture
    async def image(self, runtime: FakeRuntime) -> str:
        await runtime.pull("example.test/app:1", (), lambda text: None)
        return "example.test/app:1"
