"""A group of simulated nodes that the cluster autoscaler can have and give back."""

from collections.abc import Iterable, Mapping, Sequence

from minikube_py import ids
from minikube_py.cloud.protocol import NodeGroupLimits
from minikube_py.kubelet.fake_nodes import FakeNodes
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import name

GROUP_LABEL = "mkube.io/node-group"
GROUP = "simulated"


class FakeNodeGroup:
    """Implements NodeGroup."""

    id = GROUP

    def __init__(self, nodes: FakeNodes, limits: NodeGroupLimits, existing: Iterable[Object] = ()) -> None:
        """existing are the Node objects that the group had before the process was started; they come back."""
        self.limits = limits
        self._nodes = nodes
        self._labels: Mapping[str, str] = {GROUP_LABEL: GROUP}
        self._names: list[str] = []
        for node in existing:
            self._names.append(name(node))
            nodes.add(name(node), self._labels, (node.get("spec") or {}).get("podCIDR") or "")

    def node_names(self) -> Sequence[str]:
        return tuple(self._names)

    def template(self) -> Object:
        return self._nodes.template(f"{GROUP}-template", self._labels)

    async def grow(self, count: int) -> Sequence[str]:
        made = [f"{GROUP}-{ids.name_suffix()}" for _ in range(count)]
        for node_name in made:
            self._names.append(node_name)
            self._nodes.add(node_name, self._labels)
        return made

    async def give_back(self, node_name: str) -> None:
        if node_name in self._names:
            self._names.remove(node_name)
            await self._nodes.remove(node_name)
