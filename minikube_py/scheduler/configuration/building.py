"""Puts the filters and scores of one profile together from its plugins and their arguments."""

from minikube_py.objects.errors import Object
from minikube_py.objects.selectors import NodeSelector, NodeSelectorTerm
from minikube_py.scheduler.configuration.arguments import MOST, RATIO
from minikube_py.scheduler.configuration.plugins import EnabledPlugins
from minikube_py.scheduler.filters.catalog import FILTERS
from minikube_py.scheduler.filters.node_affinity import NodeAffinity
from minikube_py.scheduler.filters.node_resources_fit import NodeResourcesFit
from minikube_py.scheduler.filters.pod_topology_spread import PodTopologySpread
from minikube_py.scheduler.framework import Filter, LocalScore, Score
from minikube_py.scheduler.profile import Profile
from minikube_py.scheduler.scores.balanced_allocation import BalancedAllocation
from minikube_py.scheduler.scores.catalog import SCORES
from minikube_py.scheduler.scores.inter_pod_affinity import InterPodAffinityScore
from minikube_py.scheduler.scores.node_affinity import NodeAffinityScore
from minikube_py.scheduler.scores.pod_topology_spread import PodTopologySpreadScore
from minikube_py.scheduler.scores.resource_allocation import LeastAllocated, MostAllocated, RequestedToCapacityRatio
from minikube_py.scheduler.spreading import SYSTEM_DEFAULTS, SpreadDefault


def build_profile(name: str, plugins: EnabledPlugins, arguments: dict[str, Object], percent: int) -> Profile:
    """arguments: of every plugin by its name, checked and with defaults."""
    filters, scores = _filters(arguments), _scores(arguments)
    preemption = arguments["DefaultPreemption"]
    return Profile(
        name=name,
        filters=tuple(filters.get(rule.name, rule) for rule in FILTERS if rule.name in plugins.at["filter"]),
        scores=tuple(
            (scores.get(score.name, score), plugins.weights[score.name])
            for score, _ in SCORES
            if score.name in plugins.weights
        ),
        percentage_of_nodes=percent,
        preempts="DefaultPreemption" in plugins.at["postFilter"],
        candidates_percent=preemption["minCandidateNodesPercentage"],
        candidates_least=preemption["minCandidateNodesAbsolute"],
        bind_timeout_seconds=float(arguments["VolumeBinding"]["bindTimeoutSeconds"]),
    )


def _filters(arguments: dict[str, Object]) -> dict[str, Filter]:
    fit = arguments["NodeResourcesFit"]
    required = (arguments["NodeAffinity"].get("addedAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    made: tuple[Filter, ...] = (
        NodeResourcesFit(
            frozenset(fit.get("ignoredResources") or ()), frozenset(fit.get("ignoredResourceGroups") or ())
        ),
        NodeAffinity(NodeSelector(required) if required is not None else None),
        PodTopologySpread(_defaults(arguments, "DoNotSchedule")),
    )
    return {rule.name: rule for rule in made}


def _scores(arguments: dict[str, Object]) -> dict[str, Score | LocalScore]:
    affinity, pods = arguments["NodeAffinity"].get("addedAffinity") or {}, arguments["InterPodAffinity"]
    preferred = tuple(
        (entry["weight"], NodeSelectorTerm(entry.get("preference") or {}))
        for entry in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    )
    is_system = arguments["PodTopologySpread"]["defaultingType"] == "System"
    made: tuple[Score | LocalScore, ...] = (
        _strategy(arguments["NodeResourcesFit"]["scoringStrategy"]),
        BalancedAllocation(tuple(e["name"] for e in arguments["NodeResourcesBalancedAllocation"]["resources"])),
        NodeAffinityScore(preferred),
        InterPodAffinityScore(
            pods["hardPodAffinityWeight"], ignores_preferences=bool(pods.get("ignorePreferredTermsOfExistingPods"))
        ),
        PodTopologySpreadScore(_defaults(arguments, "ScheduleAnyway"), needs_all_labels=not is_system),
    )
    return {score.name: score for score in made}


def _strategy(strategy: Object) -> LocalScore:
    resources = tuple((entry["name"], entry["weight"]) for entry in strategy["resources"])
    if strategy["type"] == MOST:
        return MostAllocated(resources)
    if strategy["type"] == RATIO:
        shape = strategy["requestedToCapacityRatio"]["shape"]
        points = [(point.get("utilization") or 0, point.get("score") or 0) for point in shape]
        return RequestedToCapacityRatio(resources, points)
    return LeastAllocated(resources)


def _defaults(arguments: dict[str, Object], action: str) -> tuple[SpreadDefault, ...]:
    spread = arguments["PodTopologySpread"]
    if spread["defaultingType"] == "System":
        return SYSTEM_DEFAULTS if action == "ScheduleAnyway" else ()
    return tuple(
        SpreadDefault(c["maxSkew"], c["topologyKey"])
        for c in spread["defaultConstraints"]
        if c["whenUnsatisfiable"] == action
    )
