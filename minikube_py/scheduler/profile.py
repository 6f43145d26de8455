"""A scheduling profile: the filters and scores that decide for the pods of one schedulerName, and their settings."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from minikube_py.scheduler.filters.catalog import FILTERS
from minikube_py.scheduler.framework import Change, Filter, Hinting, LocalScore, PinningFilter, Score, Wake
from minikube_py.scheduler.pod_info import PodInfo
from minikube_py.scheduler.scores.catalog import SCORES

DEFAULT_SCHEDULER = "default-scheduler"


@dataclass(frozen=True, eq=False)
class Profile:
    """percentage_of_nodes is how many feasible nodes are enough; 0 lets the number of nodes decide.

    preempts: whether evictions are considered; candidates_percent and candidates_least bound how many nodes are tried.
    """

    name: str = DEFAULT_SCHEDULER
    filters: tuple[Filter, ...] = FILTERS
    scores: tuple[tuple[Score | LocalScore, int], ...] = SCORES
    percentage_of_nodes: int = 0
    preempts: bool = True
    candidates_percent: int = 10
    candidates_least: int = 100
    bind_timeout_seconds: float = 600.0
    local_filters: tuple[Filter, ...] = field(init=False)
    wide_filters: tuple[Filter, ...] = field(init=False)
    local_scores: tuple[tuple[LocalScore, int], ...] = field(init=False)
    wide_scores: tuple[tuple[Score, int], ...] = field(init=False)
    rules: dict[str, Filter] = field(init=False)
    hinting: dict[str, Hinting] = field(init=False)
    pinning: dict[str, PinningFilter] = field(init=False)

    def __post_init__(self) -> None:
        local: list[tuple[LocalScore, int]] = []
        wide: list[tuple[Score, int]] = []
        for score, weight in self.scores:
            if isinstance(score, LocalScore):
                local.append((score, weight))
            else:
                wide.append((score, weight))
        put = object.__setattr__
        put(self, "local_filters", tuple(rule for rule in self.filters if rule.is_local))
        put(self, "wide_filters", tuple(rule for rule in self.filters if not rule.is_local))
        put(self, "local_scores", tuple(local))
        put(self, "wide_scores", tuple(wide))
        put(self, "rules", {rule.name: rule for rule in self.filters})
        put(self, "hinting", {rule.name: rule for rule in self.filters if isinstance(rule, Hinting)})
        put(self, "pinning", {rule.name: rule for rule in self.filters if isinstance(rule, PinningFilter)})

    def helps(self, pod: PodInfo, rule_name: str, change: Change) -> bool:
        """Whether the change may let a pod through that the filter of this name refused."""
        rule = self.rules.get(rule_name)
        if rule is None or change.wake not in rule.wakes_on:
            return False
        hinting = self.hinting.get(rule_name)
        return hinting is None or hinting.helps(pod, change)

    def only_nodes(self, pod: PodInfo) -> frozenset[str] | None:
        """The only nodes that the pod may go to; None for any."""
        found: frozenset[str] | None = None
        for rule in self.pinning.values():
            names = rule.only_nodes(pod)
            if names is not None:
                found = names if found is None else found & names
        return found


DEFAULT_PROFILE = Profile()


def wakes(profiles: Sequence[Profile], rule_name: str, wake: Wake) -> bool:
    """Whether any profile's filter of this name is woken by changes of this kind."""
    return any(rule_name in one.rules and wake in one.rules[rule_name].wakes_on for one in profiles)


def by_name(profiles: Sequence[Profile]) -> dict[str, Profile]:
    """Profiles by the schedulerName that they serve."""
    return {profile.name: profile for profile in profiles}
