"""What a cloud does for a cluster (load balancers, instances, zones, routes, node groups), and when it should grow.

The controllers drive it; a provider does without what it does not offer (None). Source: k8s.io/cloud-provider cloud.go,
and the cluster autoscaler's cloudprovider interface for node groups.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from minikube_py.objects.errors import Object


class CloudError(Exception):
    """The cloud can't do what it was asked for; the text is for the user.

    retry_seconds says when another try makes sense; None means: not before something has changed.
    """

    def __init__(self, message: str, retry_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds


class LoadBalancers(Protocol):
    """Services of type LoadBalancer. Answers are a Service's `status.loadBalancer`. All calls are safe to repeat."""

    async def get(self, service: Object) -> Object | None:
        """What the Service has already, None when it has nothing."""
        ...

    async def ensure(self, service: Object, nodes: Sequence[Object]) -> Object:
        """Make the load balancer, or bring it up to date with the Service. Raises CloudError."""
        ...

    async def update(self, service: Object, nodes: Sequence[Object]) -> None:
        """The nodes behind it have changed. Raises CloudError."""
        ...

    async def delete(self, service: Object) -> None:
        """Remove it, if it is there. Raises CloudError."""
        ...


@dataclass(frozen=True)
class Zone:
    """Where an instance is; '' when the cloud knows no such thing."""

    zone: str = ""
    region: str = ""


@dataclass(frozen=True)
class InstanceMetadata:
    """What the cloud knows of the machine behind a node. addresses are (type, address) pairs; () leaves the node's."""

    provider_id: str
    instance_type: str = ""
    addresses: tuple[tuple[str, str], ...] = ()


class Instances(Protocol):
    """The machines behind the nodes."""

    async def exists(self, node: Object) -> bool: ...

    async def is_shut_down(self, node: Object) -> bool: ...

    async def metadata(self, node: Object) -> InstanceMetadata: ...


class Zones(Protocol):
    async def zone_of(self, node: Object) -> Zone: ...


@dataclass(frozen=True)
class Route:
    """A way to a node's pods, in CIDR form."""

    name: str
    node_name: str
    destination: str


class Routes(Protocol):
    """Ways to the nodes' pod ranges, where the network doesn't find them by itself."""

    async def list(self, cluster: str) -> Sequence[Route]: ...

    async def create(self, cluster: str, route: Route) -> None: ...

    async def delete(self, cluster: str, route: Route) -> None: ...


class Clusters(Protocol):
    """The clusters that this provider runs."""

    async def names(self) -> Sequence[str]: ...


@dataclass(frozen=True)
class NodeGroupLimits:
    """How many nodes a group may have."""

    fewest: int
    most: int


class NodeGroup(Protocol):
    """Nodes that are alike and can be had and given back."""

    @property
    def id(self) -> str: ...

    @property
    def limits(self) -> NodeGroupLimits: ...

    def node_names(self) -> Sequence[str]:
        """The nodes that were asked for and not given back, whether they have registered or not."""
        ...

    def template(self) -> Object:
        """What a new node would look like: a Node object with labels, taints, capacity and allocatable."""
        ...

    async def grow(self, count: int) -> Sequence[str]:
        """Start so many nodes more; their names. Raises CloudError."""
        ...

    async def give_back(self, node_name: str) -> None:
        """Stop a node of the group for good; its Node object is the caller's business. Raises CloudError."""
        ...


@dataclass(frozen=True)
class CloudProvider:
    """One cloud, by what it offers."""

    name: str
    load_balancers: LoadBalancers | None = None
    instances: Instances | None = None
    zones: Zones | None = None
    routes: Routes | None = None
    clusters: Clusters | None = None
    node_groups: Sequence[NodeGroup] = field(default=())


@dataclass(frozen=True)
class GrowthQuestion:
    """new_node makes the Node object of the group's n-th hypothetical node; on_new_node the pods that come with it.

    coming is how many nodes of the group have been asked for and are not ready yet; most, how many more there may be.
    """

    pending: Sequence[Object]
    new_node: Callable[[int], Object]
    on_new_node: Callable[[Object], Sequence[Object]]
    coming: int
    most: int


@dataclass(frozen=True)
class GrowthAnswer:
    """count new nodes take the pods `helped` (UIDs); those in `placed` fit on what is there or is coming.

    reasons says of every other pod why a new node would not take it; () when only the limit is in the way.
    """

    count: int = 0
    helped: frozenset[str] = frozenset()
    placed: frozenset[str] = frozenset()
    reasons: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class GrowthPlanner(Protocol):
    """Implemented by the scheduler; decides as it would, and changes nothing."""

    def plan(self, question: GrowthQuestion) -> GrowthAnswer: ...
