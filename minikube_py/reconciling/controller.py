"""Runs a reconcile function over a work queue: the one place that decides on retries and logs them."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from minikube_py.objects.errors import ApiError, Conflict, NotFound, Object, is_namespace_terminating
from minikube_py.reconciling.cache import Key, key_of
from minikube_py.reconciling.informer import Informer, InformerEvent
from minikube_py.reconciling.queue_metrics import QueueTable
from minikube_py.reconciling.workqueue import WorkQueue

log = logging.getLogger(__name__)

KeysOf = Callable[[InformerEvent], Iterable[Key]]


def own_key(event: InformerEvent) -> Iterable[Key]:
    """The changed object's own key."""
    return (key_of(event.object),)


def no_keys(_event: InformerEvent) -> Iterable[Key]:
    """Nothing: the controller only reads this informer's cache."""
    return ()


def owner_keys(kind: str, group: str = "") -> KeysOf:
    """The keys of the controlling owner of that kind, before and after the change."""

    def keys(event: InformerEvent) -> Iterable[Key]:
        found = {_controller_key(obj, group, kind) for obj in (event.object, event.previous) if obj is not None}
        return [key for key in found if key is not None]

    return keys


def _controller_key(obj: Object, group: str, kind: str) -> Key | None:
    metadata = obj["metadata"]
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("controller") and reference["kind"] == kind:
            if reference["apiVersion"].rpartition("/")[0] == group:
                return Key(metadata.get("namespace", ""), reference["name"])
    return None


@dataclass(frozen=True)
class Source:
    """One informer, and which keys a change in it concerns."""

    informer: Informer
    keys: KeysOf = own_key


class Controller(Protocol):
    """One control loop. reconcile brings the object of a key nearer to what it should be, from any state.

    It returns the seconds after which it wants to look again although nothing changed, or None.
    """

    @property
    def name(self) -> str: ...

    def sources(self) -> Sequence[Source]: ...

    async def reconcile(self, key: Key) -> float | None: ...


@runtime_checkable
class QueueBound(Protocol):
    """A controller that also adds keys by itself; it gets the queue before its sources are read."""

    def bind(self, queue: WorkQueue[Key]) -> None: ...


@runtime_checkable
class Background(Protocol):
    """A controller with a task of its own beside the workers."""

    async def run(self) -> None: ...


async def run_controller(controller: Controller, *, workers: int = 5, table: QueueTable | None = None) -> None:
    """Wait for the caches of the controller's sources, then reconcile until cancelled. table: shows the queue."""
    queue: WorkQueue[Key] = WorkQueue()
    if table is not None:
        table.queues[controller.name] = queue
    if isinstance(controller, QueueBound):
        controller.bind(queue)
    sources = controller.sources()
    endings = [source.informer.subscribe(_enqueue(queue, source.keys)) for source in sources]
    try:
        for source in sources:
            await source.informer.wait_synced()
        async with asyncio.TaskGroup() as group:
            if isinstance(controller, Background):
                group.create_task(controller.run(), name=f"{controller.name} background")
            for number in range(workers):
                group.create_task(_work(controller, queue), name=f"{controller.name} {number}")
    finally:
        queue.close()
        for end in endings:
            end()


def _enqueue(queue: WorkQueue[Key], keys: KeysOf) -> Callable[[InformerEvent], None]:
    def handle(event: InformerEvent) -> None:
        for key in keys(event):
            queue.add(key)

    return handle


async def _work(controller: Controller, queue: WorkQueue[Key]) -> None:
    while True:
        key = await queue.get()
        try:
            again = await controller.reconcile(key)
        except (Conflict, NotFound) as error:
            log.debug("%s %s: %s", controller.name, "/".join(key), error)
            queue.add_rate_limited(key)
        except (ApiError, OSError, TimeoutError) as error:
            if is_namespace_terminating(error):
                queue.forget(key)
                continue
            log.warning("%s %s: %s", controller.name, "/".join(key), error)
            queue.add_rate_limited(key)
        except Exception:
            # One object that trips over a bug must not stop the others.
            log.exception("%s %s", controller.name, "/".join(key))
            queue.add_rate_limited(key)
        else:
            queue.forget(key)
            if again is not None:
                queue.add_after(key, max(again, 0.001))
        finally:
            queue.done(key)
