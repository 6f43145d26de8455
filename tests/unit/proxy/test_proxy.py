"""The proxy's loop: one apply for a burst, none for nothing, and again after a failure."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from minikube_py.objects.errors import Object
from minikube_py.proxy.backends.fake import FakeBackend
from minikube_py.proxy.backends.protocol import RuleSet
from minikube_py.proxy.proxy import ENDPOINT_SLICES, SERVICES, ServiceProxy
from minikube_py.proxy.rules import NodeView
from minikube_py.reconciling.informer import InformerSet
from tests.support.dns_sources import endpoint, endpoint_slice, service
from tests.support.memory_api import MemoryApi
from tests.support.virtual_time import virtual_time

LONG_SECONDS = 60.0


class Failing(FakeBackend):
    """Refuses the first `failures` rule sets."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    async def apply(self, rules: RuleSet) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("nft says no")
        await super().apply(rules)


@asynccontextmanager
async def running(api: MemoryApi, backend: FakeBackend) -> AsyncIterator[None]:
    informers = InformerSet(api)
    proxy = ServiceProxy(informers, backend, NodeView("here", "10.42.0.0/16", "10.42.0.0/24"))
    tasks = [asyncio.create_task(informers.run()), asyncio.create_task(proxy.run())]
    await asyncio.sleep(LONG_SECONDS)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def numbered(number: int) -> Object:
    return service(f"web-{number}", clusterIP=f"10.43.1.{number}")


@virtual_time
async def test_a_burst_is_one_apply_and_silence_is_none() -> None:
    api, backend = MemoryApi(), FakeBackend()
    await api.create(SERVICES, numbered(0))
    async with running(api, backend):
        assert [len(one.services) for one in backend.applied] == [1]
        for number in range(1, 6):
            await api.create(SERVICES, numbered(number))
        await asyncio.sleep(LONG_SECONDS)
        assert [len(one.services) for one in backend.applied] == [1, 6]
        await asyncio.sleep(LONG_SECONDS)
        assert len(backend.applied) == 2


@virtual_time
async def test_endpoints_follow_their_slices() -> None:
    api, backend = MemoryApi(), FakeBackend()
    await api.create(SERVICES, numbered(0))
    async with running(api, backend):
        piece = await api.create(ENDPOINT_SLICES, endpoint_slice("web-0", endpoint("10.42.0.5", nodeName="here")))
        await asyncio.sleep(LONG_SECONDS)
        assert [one.ip for one in backend.rules.services[0].endpoints] == ["10.42.0.5"]
        await api.update(ENDPOINT_SLICES, {**piece, "endpoints": []})
        await asyncio.sleep(LONG_SECONDS)
        assert backend.rules.services[0].endpoints == ()


@virtual_time
async def test_a_failure_is_tried_again() -> None:
    api, backend = MemoryApi(), Failing(3)
    await api.create(SERVICES, numbered(0))
    async with running(api, backend):
        assert len(backend.rules.services) == 1
