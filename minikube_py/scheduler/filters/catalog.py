"""Lists the filters in the order in which they are tried: cheap and final ones first, as kube-scheduler does."""

from minikube_py.scheduler.filters.inter_pod_affinity import InterPodAffinity
from minikube_py.scheduler.filters.node_affinity import NodeAffinity
from minikube_py.scheduler.filters.node_name import NodeName
from minikube_py.scheduler.filters.node_ports import NodePorts
from minikube_py.scheduler.filters.node_resources_fit import NodeResourcesFit
from minikube_py.scheduler.filters.node_unschedulable import NodeUnschedulable
from minikube_py.scheduler.filters.pod_topology_spread import PodTopologySpread
from minikube_py.scheduler.filters.taint_toleration import TaintToleration
from minikube_py.scheduler.filters.volume_binding import VolumeBinding
from minikube_py.scheduler.filters.volume_restrictions import VolumeRestrictions
from minikube_py.scheduler.filters.volume_zone import VolumeZone
from minikube_py.scheduler.framework import Filter

FILTERS: tuple[Filter, ...] = (
    NodeUnschedulable(),
    NodeName(),
    TaintToleration(),
    NodeAffinity(),
    NodePorts(),
    NodeResourcesFit(),
    VolumeRestrictions(),
    VolumeBinding(),
    VolumeZone(),
    PodTopologySpread(),
    InterPodAffinity(),
)
