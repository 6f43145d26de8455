"""Says what a filter and a score are, and how a refusal is described."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol, runtime_checkable

from minikube_py.objects.errors import Object
from minikube_py.scheduler.node_info import NodeInfo
from minikube_py.scheduler.node_info import Refusal as Refusal
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.snapshot import Snapshot

MAX_SCORE = 100.0


class Wake(StrEnum):
    """Changes in the cluster after which a pod that fitted nowhere is worth another try."""

    NODE_ADDED = "node added"
    NODE_ROOM = "node allocatable"
    NODE_LABELS = "node labels"
    NODE_TAINTS = "node taints"
    NODE_GONE = "node deleted"
    POD_ADDED = "assigned pod added"
    POD_LABELS = "assigned pod labels"
    POD_GONE = "assigned pod deleted"
    STORAGE = "storage"
    NAMESPACE = "namespace labels"


class Change(NamedTuple):
    """What has changed: the node or the assigned pod as it is now (gone: as it was last), or the claim."""

    wake: Wake
    node: NodeInfo | None = None
    pod: PodInfo | None = None
    claim: Object | None = None


Check = Callable[[NodeInfo], Refusal | None]


class Filter(Protocol):
    """A rule that nodes must meet. prepare is called once for a pod, its answer once for each node that is tried."""

    @property
    def name(self) -> str: ...

    @property
    def wakes_on(self) -> frozenset[Wake]:
        """After which changes a pod refused by this filter is tried again."""
        ...

    @property
    def is_local(self) -> bool:
        """Whether the answer for a node depends on nothing but the pod's spec and that node with its pods.

        Such answers are kept until the node changes. They may read of the pod what PodInfo.signature covers.
        """
        ...

    def prepare(self, pod: PodInfo, snapshot: Snapshot) -> Check | Refusal | None:
        """The check for nodes; None when there is nothing to check; a Refusal when no node will do."""
        ...


class Score(Protocol):
    """A preference among the nodes that passed all filters."""

    @property
    def name(self) -> str: ...

    def score(self, pod: PodInfo, nodes: Sequence[NodeInfo], snapshot: Snapshot) -> list[float] | None:
        """0 (worst) to 100 for each node in order; None when all are equal."""
        ...


@runtime_checkable
class Hinting(Protocol):
    """A filter that looks closer at changes than `wakes_on` does."""

    def helps(self, pod: PodInfo, change: Change) -> bool:
        """Whether this change (one of wakes_on) may let a pod through that the filter refused. In doubt, it may."""
        ...


@runtime_checkable
class PinningFilter(Protocol):
    """A filter that can name the only nodes a pod may go to, so that no others need to be looked at."""

    def only_nodes(self, pod: PodInfo) -> frozenset[str] | None:
        """The names; None when the pod is not pinned."""
        ...


@runtime_checkable
class LocalScore(Protocol):
    """A preference that depends on nothing but the pod's spec and the node with its pods; kept as local filters are."""

    @property
    def name(self) -> str: ...

    def score_node(self, pod: PodInfo, node: NodeInfo) -> float:
        """0 (worst) to 100."""
        ...
