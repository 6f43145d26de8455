"""The topology spread constraints of pods that name none: their Services and controllers say which pods count."""

from collections.abc import Sequence
from typing import NamedTuple

from minikube_py.objects.selectors import LabelSelector
from minikube_py.scheduler.pod_info import PodInfo, PodSet, SpreadConstraint
from minikube_py.scheduler.snapshot import Snapshot


class SpreadDefault(NamedTuple):
    """A default constraint; which pods it counts is worked out for each pod."""

    max_skew: int
    topology_key: str


SYSTEM_DEFAULTS = (SpreadDefault(3, "kubernetes.io/hostname"), SpreadDefault(5, "topology.kubernetes.io/zone"))
"""Preferred spreading over nodes and zones (defaultingType System)."""


def default_constraints(
    pod: PodInfo, defaults: Sequence[SpreadDefault], snapshot: Snapshot
) -> tuple[SpreadConstraint, ...]:
    """The defaults for this pod; () when it belongs to no Service and no controller."""
    wanted = snapshot.owners.selector_of(pod) if defaults else None
    if not wanted:
        return ()
    pods = PodSet(frozenset((pod.namespace,)), None, LabelSelector.from_labels(wanted), False)
    return tuple(SpreadConstraint(skew, key, pods) for skew, key in defaults)
