"""What an autoscaler asks a scheduler: which pending pods would new nodes take, and how many does that need."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from minikube_py.objects.errors import Object


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
