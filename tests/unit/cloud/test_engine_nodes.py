"""The group of further nodes on the engine: what a new one looks like, who runs, and what is cleared away."""

import asyncio

from minikube_py.cloud.protocol import NodeGroupLimits
from minikube_py.engine_nodes import EngineNodes, EngineNodesOptions
from minikube_py.objects.errors import Object

FIRST = {
    "metadata": {
        "name": "here",
        "labels": {"kubernetes.io/arch": "amd64", "kubernetes.io/hostname": "here", "disk": "ssd"},
    },
    "status": {"capacity": {"cpu": "4"}, "allocatable": {"cpu": "4"}, "images": []},
}


class Machine:
    """What runs, and what has been taken down."""

    def __init__(self, first: Object | None = FIRST) -> None:
        self.running: set[str] = set()
        self.dismantled: list[str] = []
        self.first = first

    async def run(self, name: str) -> None:
        self.running.add(name)
        try:
            await asyncio.Event().wait()
        finally:
            self.running.discard(name)

    async def dismantle(self, name: str) -> None:
        assert name not in self.running, "a node is taken down only after it has stopped"
        self.dismantled.append(name)

    def options(self) -> EngineNodesOptions:
        limits = NodeGroupLimits(0, 3)
        return EngineNodesOptions(limits, "mkube.io/node-group", self.run, self.dismantle, lambda: self.first)


async def test_nodes_come_back_grow_and_go() -> None:
    machine = Machine()
    async with asyncio.TaskGroup() as tasks:
        group = EngineNodes(machine.options(), tasks, [{"metadata": {"name": "engine-old"}}])
        (made,) = await group.grow(1)
        await asyncio.sleep(0)
        assert machine.running == {"engine-old", made} == set(group.node_names())
        for name in (made, "engine-old", "somebody"):
            await group.give_back(name)
        assert machine.dismantled == [made, "engine-old"]
        assert group.node_names() == ()


async def test_a_new_node_is_like_the_first_one_but_for_its_own_labels() -> None:
    async with asyncio.TaskGroup() as tasks:
        template = EngineNodes(Machine().options(), tasks).template()
        assert template["metadata"]["labels"] == {"kubernetes.io/arch": "amd64", "mkube.io/node-group": "engine"}
        assert template["status"] == {"capacity": {"cpu": "4"}, "allocatable": {"cpu": "4"}}
        # Before there is a first node, nothing is known to fit on another.
        assert EngineNodes(Machine(None).options(), tasks).template()["status"]["allocatable"] == {}
