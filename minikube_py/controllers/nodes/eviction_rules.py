"""Decides in which zones lost nodes may be emptied; where most nodes are gone at once, the fault is elsewhere.

Source: pkg/controller/nodelifecycle (zone states): a zone without any ready node, or a small one with most of its
nodes lost, is left alone.
"""

from collections.abc import Iterable

from minikube_py.controllers.nodes.taints import ready_status
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import labels

_UNHEALTHY_SHARE = 0.55
_SMALL_ZONE = 50
_FEW_NODES = 2


def zone_of(node: Object) -> tuple[str, str]:
    own = labels(node)
    return own.get("topology.kubernetes.io/region", ""), own.get("topology.kubernetes.io/zone", "")


def evicting_zones(nodes: Iterable[Object]) -> set[tuple[str, str]]:
    """The zones in which pods may be driven off lost nodes. All zones lost: none of them."""
    counts: dict[tuple[str, str], list[int]] = {}
    for node in nodes:
        count = counts.setdefault(zone_of(node), [0, 0])
        count[0 if ready_status(node) == "True" else 1] += 1
    if not any(ready for ready, _ in counts.values()):
        return set()
    return {zone for zone, (ready, lost) in counts.items() if _may_evict(ready, lost, several=len(counts) > 1)}


def _may_evict(ready: int, lost: int, *, several: bool) -> bool:
    if not ready:
        return several  # one whole zone of several is lost: its pods are better off elsewhere
    is_partial = lost > _FEW_NODES and lost / (ready + lost) >= _UNHEALTHY_SHARE
    return not is_partial or ready + lost > _SMALL_ZONE
