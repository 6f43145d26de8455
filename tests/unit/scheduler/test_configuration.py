"""KubeSchedulerConfiguration: what it changes, and what is said about mistakes in it."""

from typing import Any

import pytest

from minikube_py.objects.errors import Object
from minikube_py.scheduler.configuration.reading import read_configuration
from minikube_py.scheduler.configuration.settings import ConfigurationError
from minikube_py.scheduler.decide import decide
from minikube_py.scheduler.profile import DEFAULT_PROFILE, Profile
from minikube_py.scheduler.snapshot import Snapshot
from tests.unit.scheduler.cluster_picture import info, node, pod, snapshot

ZONE = "topology.kubernetes.io/zone"


def configuration(**more: Any) -> Object:
    return {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration", **more}


def profile(plugins: Object | None = None, **args: Object) -> Profile:
    config = [{"name": name, "args": values} for name, values in args.items()]
    entry = {"schedulerName": "s", "plugins": plugins or {}, "pluginConfig": config}
    (made,) = read_configuration(configuration(profiles=[entry])).profiles
    return made


def choose(picture: Snapshot, obj: Object, by: Profile) -> str:
    return decide(picture, info(obj), 0, by).node_name


def why(picture: Snapshot, obj: Object, by: Profile) -> str:
    return decide(picture, info(obj), 0, by).message()


def names(by: Profile) -> tuple[list[str], dict[str, int]]:
    return [rule.name for rule in by.filters], {score.name: weight for score, weight in by.scores}


def test_an_empty_configuration_is_the_default() -> None:
    found = read_configuration(configuration())
    assert [one.name for one in found.profiles] == ["default-scheduler"]
    assert names(found.profiles[0]) == names(DEFAULT_PROFILE)
    assert (found.first_backoff_seconds, found.longest_backoff_seconds) == (1.0, 10.0)


def test_profiles_side_by_side_with_settings_of_their_own() -> None:
    entries = [{"schedulerName": "default-scheduler"}, {"schedulerName": "packing", "percentageOfNodesToScore": 30}]
    found = read_configuration(
        configuration(profiles=entries, percentageOfNodesToScore=70, podInitialBackoffSeconds=2, podMaxBackoffSeconds=4)
    )
    assert [(one.name, one.percentage_of_nodes) for one in found.profiles] == [
        ("default-scheduler", 70),
        ("packing", 30),
    ]
    assert (found.first_backoff_seconds, found.longest_backoff_seconds) == (2.0, 4.0)


def test_plugins_are_disabled_at_one_point_or_everywhere() -> None:
    filters, scores = names(profile({"filter": {"disabled": [{"name": "TaintToleration"}]}}))
    assert "TaintToleration" not in filters
    assert scores["TaintToleration"] == 3
    filters, scores = names(profile({"multiPoint": {"disabled": [{"name": "TaintToleration"}]}}))
    assert "TaintToleration" not in filters
    assert "TaintToleration" not in scores


def test_every_plugin_but_those_named() -> None:
    plugins = {"score": {"disabled": [{"name": "*"}], "enabled": [{"name": "ImageLocality", "weight": 7}]}}
    assert names(profile(plugins))[1] == {"ImageLocality": 7}


def test_weights_of_one_point_win_over_those_of_all() -> None:
    plugins = {
        "multiPoint": {
            "disabled": [{"name": "NodeAffinity"}, {"name": "ImageLocality"}],
            "enabled": [{"name": "NodeAffinity", "weight": 5}, {"name": "ImageLocality", "weight": 6}],
        },
        "score": {"disabled": [{"name": "ImageLocality"}], "enabled": [{"name": "ImageLocality", "weight": 9}]},
    }
    scores = names(profile(plugins))[1]
    assert (scores["NodeAffinity"], scores["ImageLocality"]) == (5, 9)


def test_no_preemption_without_its_plugin() -> None:
    assert profile().preempts
    assert not profile({"postFilter": {"disabled": [{"name": "DefaultPreemption"}]}}).preempts


def test_packing_instead_of_spreading() -> None:
    picture = snapshot(node("a"), node("b"), placed=[("a", pod(requests={"cpu": "2", "memory": "4Gi"}))])
    wanted = pod(requests={"cpu": "1", "memory": "1Gi"})
    packing = profile(NodeResourcesFit={"scoringStrategy": {"type": "MostAllocated"}})
    assert choose(picture, wanted, DEFAULT_PROFILE) == "b"
    assert choose(picture, wanted, packing) == "a"
    assert choose(picture, wanted, DEFAULT_PROFILE) == "b"  # what is kept of a node's verdicts is kept by profile


def test_a_curve_over_an_extended_resource() -> None:
    gpu = "example.com/gpu"
    picture = snapshot(
        node("a", resources={gpu: "4"}), node("b", resources={gpu: "4"}), placed=[("a", pod(requests={gpu: "2"}))]
    )
    shape = [{"utilization": 0, "score": 0}, {"utilization": 100, "score": 10}]
    strategy = {
        "type": "RequestedToCapacityRatio",
        "resources": [{"name": gpu, "weight": 3}],
        "requestedToCapacityRatio": {"shape": shape},
    }
    only = {"score": {"disabled": [{"name": "*"}], "enabled": [{"name": "NodeResourcesFit"}]}}
    assert (
        choose(picture, pod(requests={gpu: "1"}), profile(only, NodeResourcesFit={"scoringStrategy": strategy})) == "a"
    )


def test_ignored_resources() -> None:
    picture = snapshot(node("a"))
    wanted = pod(requests={"example.com/gpu": "1", "other.io/x": "1"})
    by_name = profile(NodeResourcesFit={"ignoredResources": ["example.com/gpu"]})
    assert why(picture, wanted, by_name) == "0/1 nodes are available: 1 Insufficient other.io/x."
    both = {"ignoredResources": ["example.com/gpu"], "ignoredResourceGroups": ["other.io"]}
    assert choose(picture, wanted, profile(NodeResourcesFit=both)) == "a"


def test_added_affinity_holds_for_every_pod() -> None:
    picture = snapshot(node("a", labels={ZONE: "x"}), node("b", labels={ZONE: "y"}))
    in_y = {"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["y"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [in_y]}}
    added = profile(NodeAffinity={"addedAffinity": required})
    assert choose(picture, pod(), added) == "b"
    assert why(picture, pod(nodeSelector={ZONE: "x"}), added) == (
        "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, "
        "1 node(s) didn't match scheduler-enforced node affinity."
    )
    preferred = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 10, "preference": in_y}]}
    assert choose(picture, pod(), profile(NodeAffinity={"addedAffinity": preferred})) == "b"


class OwnedBySelector:
    """Every pod belongs to the Service of app=x."""

    def selector_of(self, _pod: object) -> dict[str, str]:
        return {"app": "x"}


def test_default_constraints_of_a_list() -> None:
    picture = Snapshot(owners=OwnedBySelector())
    for name, zone in (("a", "x"), ("b", "y")):
        picture.set_node(node(name, labels={ZONE: zone}))
    picture.set_node(node("full", labels={ZONE: "z"}, pods="0"))
    listed = {"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule"}
    by = profile(PodTopologySpread={"defaultingType": "List", "defaultConstraints": [listed]})
    for expected in ("a", "b"):
        picture.add_pod(info(pod(labels={"app": "x"}), expected))
    assert why(picture, pod(labels={"app": "x"}), by) == (
        "0/3 nodes are available: 1 Too many pods, 2 node(s) didn't match pod topology spread constraints."
    )
    assert choose(picture, pod(labels={"app": "x"}), DEFAULT_PROFILE)


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ([], "it is not an object"),
        ({"kind": "X"}, "it must be of kind KubeSchedulerConfiguration and apiVersion kubescheduler.config.k8s.io/v1, not , X"),  # noqa: E501
        (configuration(profile=[]), "profile: Forbidden: unknown field"),
        (configuration(extenders=[{"urlPrefix": "http://x"}]), "extenders: Forbidden: extenders are not supported"),
        (configuration(percentageOfNodesToScore=101), "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]"),  # noqa: E501
        (
            configuration(podInitialBackoffSeconds=20),
            "podMaxBackoffSeconds: Invalid value: 10: must be greater than or equal to PodInitialBackoffSeconds",
        ),
        (configuration(profiles=[{"schedulerName": "a"}, {}]), "profiles[1].schedulerName: Required value"),
        (
            configuration(profiles=[{"schedulerName": "a"}, {"schedulerName": "a"}]),
            'profiles[1].schedulerName: Duplicate value: "profiles[0].schedulerName"',
        ),
        (
            configuration(profiles=[{"plugins": {"score": {"enabled": [{"name": "Foo"}]}}}]),
            'profiles[0].plugins.score.enabled[0].name: Invalid value: "Foo": plugin does not exist',
        ),
        (
            configuration(profiles=[{"plugins": {"score": {"enabled": [{"name": "NodeName"}]}}}]),
            'profiles[0].plugins.score.enabled[0].name: Invalid value: "NodeName": plugin does not extend score',
        ),
        (configuration(profiles=[{"plugins": {"scores": {}}}]), "profiles[0].plugins.scores: Forbidden: unknown field"),
        (configuration(profiles=["x"]), "a value is of the wrong type"),
    ],
)  # fmt: skip
def test_mistakes(tree: Any, expected: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        read_configuration(tree)
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("InterPodAffinity", {"hardPodAffinityWeight": 200}, "hardPodAffinityWeight: Invalid value: 200: not in valid range [0, 100]"),  # noqa: E501
        ("InterPodAffinity", {"weight": 2}, "weight: Forbidden: unknown field"),
        ("InterPodAffinity", {"kind": "NodeAffinityArgs"}, 'kind: Invalid value: "NodeAffinityArgs": must be InterPodAffinityArgs'),  # noqa: E501
        (
            "DefaultPreemption",
            {"minCandidateNodesPercentage": 0, "minCandidateNodesAbsolute": 0},
            "minCandidateNodesPercentage: Invalid value: 0: cannot be zero at the same time as minCandidateNodesAbsolute",  # noqa: E501
        ),
        (
            "NodeResourcesFit",
            {"scoringStrategy": {"type": "Best"}},
            'scoringStrategy.type: Unsupported value: "Best": supported values: "LeastAllocated", "MostAllocated", ',
        ),
        (
            "NodeResourcesFit",
            {"scoringStrategy": {"type": "RequestedToCapacityRatio"}},
            "scoringStrategy.requestedToCapacityRatio: Required value: must be specified when type is RequestedToCapacityRatio",  # noqa: E501
        ),
        (
            "NodeResourcesFit",
            {"scoringStrategy": {"type": "MostAllocated", "resources": [{"name": "cpu", "weight": 101}]}},
            "scoringStrategy.resources[0].weight: Invalid value: 101: resource weight of cpu not in valid range (0, 100]",  # noqa: E501
        ),
        (
            "NodeResourcesFit",
            {"ignoredResourceGroups": ["a/b"]},
            "ignoredResourceGroups[0]: Invalid value: \"a/b\": resource group name can't contain '/'",
        ),
        (
            "PodTopologySpread",
            {"defaultConstraints": [{"maxSkew": 1, "topologyKey": "x", "whenUnsatisfiable": "DoNotSchedule"}]},
            'defaultingType: Invalid value: "System": when .defaultConstraints are not empty',
        ),
        (
            "PodTopologySpread",
            {"defaultingType": "List", "defaultConstraints": [{"maxSkew": 0, "topologyKey": "x", "whenUnsatisfiable": "x"}]},  # noqa: E501
            "defaultConstraints[0].maxSkew: Invalid value: 0: not in valid range (0, inf)",
        ),
        ("NodeResourcesBalancedAllocation", {"resources": [{"name": "cpu", "weight": 2}]}, "weight: Invalid value: 2: must be 1"),  # noqa: E501
        ("VolumeBinding", {"bindTimeoutSeconds": -1}, "bindTimeoutSeconds: Invalid value: -1: not in valid range [0, inf)"),  # noqa: E501
        (
            "NodeAffinity",
            {"addedAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}},
            "addedAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value",
        ),
    ],
)  # fmt: skip
def test_mistakes_in_arguments(name: str, args: Object, expected: str) -> None:
    entry = {"schedulerName": "s", "pluginConfig": [{"name": name, "args": args}]}
    with pytest.raises(ConfigurationError) as error:
        read_configuration(configuration(profiles=[entry]))
    assert expected in str(error.value)
