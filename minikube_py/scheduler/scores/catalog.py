"""Lists the scores with their weights, which are kube-scheduler's defaults."""

from minikube_py.scheduler.framework import LocalScore, Score
from minikube_py.scheduler.scores.balanced_allocation import BalancedAllocation
from minikube_py.scheduler.scores.image_locality import ImageLocality
from minikube_py.scheduler.scores.inter_pod_affinity import InterPodAffinityScore
from minikube_py.scheduler.scores.node_affinity import NodeAffinityScore
from minikube_py.scheduler.scores.pod_topology_spread import PodTopologySpreadScore
from minikube_py.scheduler.scores.resource_allocation import LeastAllocated
from minikube_py.scheduler.scores.taint_toleration import TaintTolerationScore

SCORES: tuple[tuple[Score | LocalScore, int], ...] = (
    (LeastAllocated(), 1),
    (BalancedAllocation(), 1),
    (TaintTolerationScore(), 3),
    (NodeAffinityScore(), 2),
    (PodTopologySpreadScore(), 2),
    (InterPodAffinityScore(), 2),
    (ImageLocality(), 1),
)
