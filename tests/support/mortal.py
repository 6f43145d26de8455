"""Controllers that die after a write of theirs and start anew: what a kill -9 at that moment leaves behind."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from minikube_py.bootstrap.rbac_controller_roles import controller_identity
from minikube_py.client.protocol import Client
from minikube_py.controllers.catalog import CONTROLLERS
from minikube_py.controllers.context import ControllerContext, ControllerOptions
from minikube_py.reconciling.controller import run_controller
from minikube_py.reconciling.informer import InformerSet
from minikube_py.resources.catalog import built_in_kinds
from minikube_py.resources.kind import GVR
from tests.support.control_plane import EVENTS, ControlPlane

T = TypeVar("T")


class Life:
    """One process: it ends when its last write is done, before anybody in it learns of the answer (0: never)."""

    def __init__(self, last_write: int = 0) -> None:
        self.writes = 0
        self.is_over = asyncio.Event()
        self._last_write = last_write

    async def write(self, gvr: GVR, call: Callable[[], Awaitable[T]]) -> T:
        if self.is_over.is_set():
            if gvr == EVENTS:
                raise ConnectionError("nobody is left to write it")  # recorders have tasks that nobody cancels
            return await _nothing()
        answer = await call()
        if gvr == EVENTS:
            return answer
        self.writes += 1
        if self.writes == self._last_write:
            self.is_over.set()
        return await self.read(answer)

    async def read(self, answer: T) -> T:
        return answer if not self.is_over.is_set() else await _nothing()


async def _nothing() -> Any:
    """What happens next in a process that is dead."""
    return await asyncio.get_running_loop().create_future()


class MortalClient:
    """A Client whose writes count as those of one life."""

    def __init__(self, client: Client, life: Life) -> None:
        self._client = client
        self._life = life

    async def get(self, *args: Any, **settings: Any) -> Any:
        return await self._life.read(await self._client.get(*args, **settings))

    async def list(self, *args: Any, **settings: Any) -> Any:
        return await self._life.read(await self._client.list(*args, **settings))

    def watch(self, *args: Any, **settings: Any) -> AsyncIterator[Any]:
        return self._client.watch(*args, **settings)

    async def create(self, gvr: GVR, *args: Any, **settings: Any) -> Any:
        return await self._life.write(gvr, lambda: self._client.create(gvr, *args, **settings))

    async def update(self, gvr: GVR, *args: Any, **settings: Any) -> Any:
        return await self._life.write(gvr, lambda: self._client.update(gvr, *args, **settings))

    async def patch(self, gvr: GVR, *args: Any, **settings: Any) -> Any:
        return await self._life.write(gvr, lambda: self._client.patch(gvr, *args, **settings))

    async def delete(self, gvr: GVR, *args: Any, **settings: Any) -> Any:
        return await self._life.write(gvr, lambda: self._client.delete(gvr, *args, **settings))

    async def delete_collection(self, gvr: GVR, *args: Any, **settings: Any) -> Any:
        return await self._life.write(gvr, lambda: self._client.delete_collection(gvr, *args, **settings))

    async def raw(self, *args: Any, **settings: Any) -> Any:
        return await self._life.read(await self._client.raw(*args, **settings))


@asynccontextmanager
async def mortal_controllers(plane: ControlPlane, names: Sequence[str], last_write: int) -> AsyncIterator[Life]:
    """The named controllers in one process; when that has died, they run again in a second one for good.

    The first life is what the block gets, to read the number of writes from.
    """
    first = Life(last_write)

    async def live_on() -> None:
        first_life = asyncio.create_task(_live(plane, names, first))
        try:
            await first.is_over.wait()
        finally:
            first_life.cancel()
            await asyncio.gather(first_life, return_exceptions=True)
        await _live(plane, names, Life())

    task = asyncio.create_task(live_on())
    try:
        yield first
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _live(plane: ControlPlane, names: Sequence[str], life: Life) -> None:
    def client_for(account: str) -> Any:
        return MortalClient(plane.cluster.client(*controller_identity(account)), life)

    informers = InformerSet(plane.cluster.client("system:kube-controller-manager", ("system:authenticated",)))
    context = ControllerContext(client_for, informers, ControllerOptions(root_ca_pem="-"), built_in_kinds())
    async with asyncio.TaskGroup() as group:
        group.create_task(informers.run())
        for name in names:
            group.create_task(run_controller(CONTROLLERS[name](context), workers=3))
