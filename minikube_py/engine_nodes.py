"""A group of further nodes on the container engine that the cluster's first node uses, for the cluster autoscaler."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from minikube_py import ids
from minikube_py.cloud.protocol import NodeGroupLimits
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import labels, name

GROUP = "engine"
_SHARED_LABELS = ("kubernetes.io/arch", "kubernetes.io/os", "beta.kubernetes.io/arch", "beta.kubernetes.io/os")


@dataclass(frozen=True)
class EngineNodesOptions:
    """run is the life of a node by its name; dismantle removes what such a node leaves behind.

    first answers with the Node object of the first node, once there is one.
    """

    limits: NodeGroupLimits
    group_label: str
    run: Callable[[str], Coroutine[Any, Any, None]]
    dismantle: Callable[[str], Awaitable[None]]
    first: Callable[[], Object | None]


class EngineNodes:
    """Implements NodeGroup. Every node says that it has the whole machine, so more of them overcommit it."""

    id = GROUP

    def __init__(self, options: EngineNodesOptions, tasks: asyncio.TaskGroup, existing: Iterable[Object] = ()) -> None:
        """existing are the Node objects that the group had before the process was started; they come back."""
        self.limits = options.limits
        self._options = options
        self._group = tasks
        self._tasks: dict[str, asyncio.Task[None]] = {}
        for node in existing:
            self._start(name(node))

    def node_names(self) -> Sequence[str]:
        return tuple(self._tasks)

    def template(self) -> Object:
        first = self._options.first() or {"metadata": {"labels": {}}, "status": {}}
        own = {label: value for label, value in labels(first).items() if label in _SHARED_LABELS}
        status = first.get("status") or {}
        amounts = {field: dict(status.get(field) or {}) for field in ("capacity", "allocatable")}
        metadata = {"name": f"{GROUP}-template", "labels": {**own, self._options.group_label: GROUP}}
        return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {}, "status": amounts}

    async def grow(self, count: int) -> Sequence[str]:
        made = [f"{GROUP}-{ids.name_suffix()}" for _ in range(count)]
        for node_name in made:
            self._start(node_name)
        return made

    async def give_back(self, node_name: str) -> None:
        task = self._tasks.pop(node_name, None)
        if task is None:
            return
        task.cancel()
        await asyncio.wait([task])
        await self._options.dismantle(node_name)

    def _start(self, node_name: str) -> None:
        self._tasks[node_name] = self._group.create_task(self._options.run(node_name), name=f"node {node_name}")
