"""Controllers that are killed at their n-th write and started anew, or whose n-th write goes wrong."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from minikube_py.client.protocol import Client
from minikube_py.controllers.catalog import CONTROLLERS
from minikube_py.controllers.context import ControllerContext, ControllerOptions
from minikube_py.objects.errors import InternalError, Timeout
from minikube_py.reconciling.controller import run_controller
from minikube_py.reconciling.informer import InformerSet
from minikube_py.resources.kind import GVR
from minikube_py.scheduler.scheduler import Scheduler
from tests.support.control_plane import CONTROLLER_GROUPS, ControlPlane

KILLED, REFUSED, LOST = "killed", "refused", "lost"
WAYS = (KILLED, REFUSED, LOST)
SCHEDULER = "scheduler"


@dataclass
class Crash:
    """What happens at write number `at` (from 1; 0 for nothing).

    killed: it is stored, and the process is gone before it hears of that. refused: it is not stored, and the caller
    gets an error. lost: it is stored, and the caller gets an error all the same.
    """

    at: int = 0
    way: str = KILLED
    writes: list[str] = field(default_factory=list)
    died: asyncio.Event = field(default_factory=asyncio.Event)


class CrashingClient:
    """A client of controllers under test: writes are counted over all of them, events left out."""

    def __init__(self, inner: Client, crash: Crash) -> None:
        self._inner = inner
        self._crash = crash

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def create(self, gvr: GVR, *arguments: Any, **options: Any) -> Any:
        return await self._write("create", gvr, lambda: self._inner.create(gvr, *arguments, **options))

    async def update(self, gvr: GVR, *arguments: Any, **options: Any) -> Any:
        return await self._write("update", gvr, lambda: self._inner.update(gvr, *arguments, **options))

    async def patch(self, gvr: GVR, *arguments: Any, **options: Any) -> Any:
        return await self._write("patch", gvr, lambda: self._inner.patch(gvr, *arguments, **options))

    async def delete(self, gvr: GVR, *arguments: Any, **options: Any) -> Any:
        return await self._write("delete", gvr, lambda: self._inner.delete(gvr, *arguments, **options))

    async def delete_collection(self, gvr: GVR, *arguments: Any, **options: Any) -> Any:
        return await self._write("clear", gvr, lambda: self._inner.delete_collection(gvr, *arguments, **options))

    async def _write(self, verb: str, gvr: GVR, call: Callable[[], Awaitable[Any]]) -> Any:
        crash = self._crash
        if crash.died.is_set():
            await asyncio.Event().wait()  # a dead process writes nothing
        if gvr.resource == "events":
            return await call()
        crash.writes.append(f"{verb} {gvr.resource}")
        is_it = len(crash.writes) == crash.at
        if is_it and crash.way == REFUSED:
            raise InternalError("refused by the test")
        try:
            return await call()
        finally:
            if is_it:
                await self._strike()

    async def _strike(self) -> None:
        if self._crash.way == LOST:
            raise Timeout("lost by the test")
        self._crash.died.set()
        await asyncio.Event().wait()


@asynccontextmanager
async def crashing_controllers(plane: ControlPlane, names: Collection[str], crash: Crash) -> AsyncIterator[None]:
    """These controllers run while the block does; after the crash new ones do, with nothing in memory."""
    task = asyncio.create_task(_run(plane, names, crash))
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _run(plane: ControlPlane, names: Collection[str], crash: Crash) -> None:
    while True:
        tasks = [asyncio.ensure_future(part) for part in _parts(plane, names, crash)]
        try:
            death = asyncio.ensure_future(crash.died.wait())
            await asyncio.wait([*tasks, death], return_when=asyncio.FIRST_COMPLETED)
            assert crash.died.is_set(), [task for task in tasks if task.done()]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        crash = Crash()


def _parts(plane: ControlPlane, names: Collection[str], crash: Crash) -> list[Any]:
    def client_for(name: str) -> Any:
        user = f"system:serviceaccount:kube-system:{name}"
        return CrashingClient(plane.cluster.client(user, CONTROLLER_GROUPS), crash)

    manager = plane.cluster.client("system:kube-controller-manager", ("system:authenticated",))
    informers = InformerSet(manager)
    registry = plane.cluster.api.context.registry
    context = ControllerContext(client_for, informers, ControllerOptions(), registry)
    parts: list[Any] = [informers.run()]
    for name in names:
        if name == SCHEDULER:
            client: Any = CrashingClient(
                plane.cluster.client("system:kube-scheduler", ("system:authenticated",)), crash
            )
            watched = InformerSet(client)
            parts += [watched.run(), Scheduler(client, watched).run()]
        else:
            parts.append(run_controller(CONTROLLERS[name](context), workers=3))
    return parts
