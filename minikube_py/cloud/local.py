"""The provider for this machine: load balancer addresses that the nodes' proxies answer for, and simulated machines."""

from collections.abc import Callable, Collection, Iterable, Sequence

from minikube_py.cloud.load_balancer_addresses import AddressLoadBalancers
from minikube_py.cloud.protocol import CloudProvider, InstanceMetadata, NodeGroup, Zone
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import labels, name

PROVIDER = "local"
SIMULATED = "mkube.io/simulated"
ZONE_LABEL, REGION_LABEL = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"


class LocalInstances:
    """Implements Instances and Zones. Of simulated nodes it knows which there are; all others vouch for themselves."""

    def __init__(self, simulated: Callable[[], Collection[str]]) -> None:
        self._simulated = simulated

    async def exists(self, node: Object) -> bool:
        return labels(node).get(SIMULATED) != "true" or name(node) in self._simulated()

    async def is_shut_down(self, node: Object) -> bool:
        return False

    async def metadata(self, node: Object) -> InstanceMetadata:
        kind = "simulated" if labels(node).get(SIMULATED) == "true" else "machine"
        return InstanceMetadata(f"mkube://{name(node)}", kind)

    async def zone_of(self, node: Object) -> Zone:
        own = labels(node)
        return Zone(own.get(ZONE_LABEL, ""), own.get(REGION_LABEL, ""))


class LocalClusters:
    """Implements Clusters: this one."""

    async def names(self) -> Sequence[str]:
        return ("mkube",)


def local_provider(
    load_balancer_cidr: str,
    services: Callable[[], Iterable[Object]],
    simulated: Callable[[], Collection[str]] = tuple,
    node_groups: Sequence[NodeGroup] = (),
) -> CloudProvider:
    """`simulated` names the simulated nodes that exist now; load_balancer_cidr '' gives no addresses."""
    instances = LocalInstances(simulated)
    return CloudProvider(
        name=PROVIDER,
        load_balancers=AddressLoadBalancers(load_balancer_cidr, services) if load_balancer_cidr else None,
        instances=instances,
        zones=instances,
        clusters=LocalClusters(),
        node_groups=node_groups,
    )
