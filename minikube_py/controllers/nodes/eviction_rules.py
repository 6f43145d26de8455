"""Decides in which zones lost nodes may be emptied; where most nodes are gone at once, the fault is elsewhere.

Source: pkg/controller/nodelifecycle (zone states): a zone without any ready node, or a small one with most of its
nodes lost, is left alone.
"""

from minikube_py.controllers.nodes.taints import ready_status
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import labels

_UNHEALTHY_SHARE = 0.55
_SMALL_ZONE = 50
_FEW_NODES = 2


def zone_of(node: Object) -> tuple[str, str]:
    own = labels(node)
    return own.get("topology.kubernetes.io/region", ""), own.get("topology.kubernetes.io/zone", "")


class ZoneHealth:
    """Counts the ready and the lost nodes of each zone, node by node."""

    def __init__(self) -> None:
        self._nodes: dict[str, tuple[tuple[str, str], bool]] = {}
        self._counts: dict[tuple[str, str], list[int]] = {}

    def note(self, name: str, node: Object | None) -> None:
        """A node that came or changed; None: it is gone."""
        state = (zone_of(node), ready_status(node) == "True") if node is not None else None
        before = self._nodes.get(name)
        if state == before:
            return
        if before is not None:
            self._count(*before, -1)
            del self._nodes[name]
        if state is not None:
            self._count(*state, 1)
            self._nodes[name] = state

    def _count(self, zone: tuple[str, str], is_ready: bool, sign: int) -> None:
        counts = self._counts.setdefault(zone, [0, 0])
        counts[0 if is_ready else 1] += sign
        if counts == [0, 0]:
            del self._counts[zone]

    def evicting_zones(self) -> set[tuple[str, str]]:
        """The zones in which pods may be driven off lost nodes. All zones lost: none of them."""
        counts = self._counts
        if not any(ready for ready, _ in counts.values()):
            return set()
        return {zone for zone, (ready, lost) in counts.items() if _may_evict(ready, lost, several=len(counts) > 1)}


def _may_evict(ready: int, lost: int, *, several: bool) -> bool:
    if not ready:
        return several  # one whole zone of several is lost: its pods are better off elsewhere
    is_partial = lost > _FEW_NODES and lost / (ready + lost) >= _UNHEALTHY_SHARE
    return not is_partial or ready + lost > _SMALL_ZONE
