"""Which requests the rules and selectors of webhooks and policies match."""

from typing import Any

import pytest

from minikube_py.apiserver.admission.equivalents import Equivalents
from minikube_py.apiserver.admission.matching import Constraints, Match
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.apiserver.outbound import Outbound
from minikube_py.objects.errors import NotFound, Object
from minikube_py.resources.catalog import built_in_kinds
from minikube_py.resources.kind import GVK, GVR
from tests.support.admission import ADMIN
from tests.support.identity import request as request_info
from tests.support.object_reader import DictReader

REGISTRY = built_in_kinds()
NAMESPACES = GVR("", "v1", "namespaces")


@pytest.fixture
def places() -> Equivalents:
    reader = DictReader()
    reader.registry = REGISTRY
    reader.add(NAMESPACES, {"metadata": {"name": "default", "labels": {"on": "yes"}}})
    return Equivalents(reader, Outbound)


def asked(
    operation: str, path: str, obj: Object | None = None, old: Object | None = None, **more: Any
) -> AdmissionRequest:
    info = request_info(operation.lower(), path, **more)
    kind = REGISTRY.find(info.gvr)
    assert kind is not None
    return AdmissionRequest(info, kind, operation, ADMIN, obj, old)


def rule(resources: str, groups: str = "", versions: str = "v1", operations: str = "*", **more: Any) -> Object:
    return {
        "apiGroups": groups.split(",") if groups else [""],
        "apiVersions": versions.split(","),
        "resources": resources.split(","),
        "operations": operations.split(","),
        **more,
    }


@pytest.mark.parametrize(
    ("wanted", "path", "operation", "matches"),
    [
        (rule("pods"), "pods", "CREATE", True),
        (rule("pods"), "pods/status", "UPDATE", False),
        (rule("pods/status"), "pods/status", "UPDATE", True),
        (rule("pods/*"), "pods", "CREATE", True),
        (rule("pods/*"), "pods/exec", "CONNECT", True),
        (rule("*"), "pods", "CREATE", True),
        (rule("*"), "pods/status", "UPDATE", False),
        (rule("*/*"), "pods/status", "UPDATE", True),
        (rule("*/*"), "pods", "UPDATE", True),
        (rule("*/status"), "pods/status", "UPDATE", True),
        (rule("*/status"), "pods", "UPDATE", False),
        (rule("pods", operations="CREATE,UPDATE"), "pods", "DELETE", False),
        (rule("deployments", "apps"), "deployments.apps", "CREATE", True),
        (rule("deployments", "*"), "deployments.apps", "CREATE", True),
        (rule("deployments"), "deployments.apps", "CREATE", False),
        (rule("deployments", "apps", "v2"), "deployments.apps", "CREATE", False),
        (rule("deployments", "apps", "*"), "deployments.apps", "CREATE", True),
        (rule("pods", scope="Namespaced"), "pods", "CREATE", True),
        (rule("pods", scope="Cluster"), "pods", "CREATE", False),
        (rule("pods", resourceNames=["a"]), "pods", "CREATE", True),
        (rule("pods", resourceNames=["b"]), "pods", "CREATE", False),
    ],
)  # fmt: skip
def test_rules(places: Equivalents, wanted: Object, path: str, operation: str, matches: bool) -> None:
    constraints = Constraints({"resourceRules": [wanted]}, excluded="excludeResourceRules")
    request = asked(operation, path, {"metadata": {"name": "a"}}, namespace="default")
    assert (constraints.find(request, places) is not None) is matches
    # What may match is never less than what does.
    assert constraints.may_match(request, places) or not matches


def test_scope_of_namespaces_is_the_cluster(places: Equivalents) -> None:
    request = asked("CREATE", "namespaces", {"metadata": {"name": "a"}}, name="a", namespace="a")
    assert Constraints({"resourceRules": [rule("namespaces", scope="Cluster")]}).find(request, places)
    assert not Constraints({"resourceRules": [rule("namespaces", scope="Namespaced")]}).find(request, places)


def test_excluded_rules_and_bindings_without_rules(places: Equivalents) -> None:
    request = asked("CREATE", "pods", {"metadata": {"name": "a"}}, namespace="default")
    raw = {"resourceRules": [rule("*")], "excludeResourceRules": [rule("pods", resourceNames=["a"])]}
    assert Constraints(raw, excluded="excludeResourceRules").find(request, places) is None
    assert Constraints({}).find(request, places) == Match(GVR("", "v1", "pods"), GVK("", "v1", "Pod"))
    assert Constraints({"rules": []}, "rules").find(request, places) is None


def test_equivalent_versions(places: Equivalents) -> None:
    request = asked("CREATE", "horizontalpodautoscalers.autoscaling", {"metadata": {}}, namespace="default")
    rules = [rule("horizontalpodautoscalers", "autoscaling", "v2")]
    found = Constraints({"resourceRules": rules}).find(request, places)
    assert found is not None
    assert (found.resource.version, found.kind) == ("v2", GVK("autoscaling", "v2", "HorizontalPodAutoscaler"))
    assert Constraints({"resourceRules": rules, "matchPolicy": "Exact"}).find(request, places) is None


@pytest.mark.parametrize(
    ("selector", "namespace", "matches"),
    [
        ({}, "nowhere", True),
        ({"matchLabels": {"on": "yes"}}, "default", True),
        ({"matchLabels": {"on": "no"}}, "default", False),
    ],
)  # fmt: skip
def test_namespace_selectors(places: Equivalents, selector: Object, namespace: str, matches: bool) -> None:
    constraints = Constraints({"resourceRules": [rule("*")], "namespaceSelector": selector})
    request = asked("CREATE", "pods", {"metadata": {}}, namespace=namespace)
    assert (constraints.find(request, places) is not None) is matches
    if selector:
        with pytest.raises(NotFound):
            constraints.find(asked("CREATE", "pods", {"metadata": {}}, namespace="nowhere"), places)
        # Cluster-scoped objects are in no namespace and pass; a namespace is judged by its own labels.
        assert constraints.find(asked("CREATE", "nodes", {"metadata": {}}), places)
        own = {"metadata": {"name": "n", "labels": selector["matchLabels"]}}
        assert constraints.find(asked("CREATE", "namespaces", own, name="n", namespace="n"), places)


def test_object_selectors_look_at_the_old_object_too(places: Equivalents) -> None:
    constraints = Constraints({"resourceRules": [rule("*")], "objectSelector": {"matchLabels": {"a": "b"}}})
    labelled: Object = {"metadata": {"labels": {"a": "b"}}}
    plain: Object = {"metadata": {}}
    assert constraints.find(asked("UPDATE", "pods", plain, labelled, namespace="default"), places)
    assert constraints.find(asked("DELETE", "pods", None, labelled, namespace="default"), places)
    assert not constraints.find(asked("UPDATE", "pods", plain, plain, namespace="default"), places)
    assert not constraints.find(asked("CONNECT", "pods/exec", {"kind": "PodExecOptions"}, namespace="default"), places)
