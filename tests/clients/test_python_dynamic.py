"""The official Python client's larger tools against a whole mkube: dynamic client, manifests, informer-like watches."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError, UnprocessibleEntityError

from tests.support.server_process import TestServer, running_server

pytestmark = [pytest.mark.client, pytest.mark.filterwarnings("ignore::ResourceWarning")]
HERE = Path(__file__).parent
APPLICATION = """
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: app}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: app}, data: {a: b}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, labels: {app: app}}
spec:
  replicas: 2
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec: {serviceAccountName: app, containers: [{name: c, image: nginx}]}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: app}
spec: {maxReplicas: 3, minReplicas: 2, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: app}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: app}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestServer]:
    with running_server(tmp_path_factory.mktemp("python"), "--container-runtime", "fake") as started:
        yield started


@pytest.fixture
def api(server: TestServer, request: pytest.FixtureRequest) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with config.new_client_from_config(str(server.kubeconfig)) as made:
            name = request.node.name.replace("_", "-")[:60]
            client.CoreV1Api(made).create_namespace({"metadata": {"name": name}})
            made.namespace = name
            yield made


def test_manifests(api: Any, tmp_path: Path) -> None:
    file = tmp_path / "application.yaml"
    file.write_text(APPLICATION)
    made = utils.create_from_yaml(api, str(file), namespace=api.namespace)
    assert sum(len(one) if isinstance(one, list) else 1 for one in made) >= 4
    with pytest.raises(utils.FailToCreateError, match="AlreadyExists"):
        utils.create_from_yaml(api, str(file), namespace=api.namespace)
    follow = watch.Watch()
    apps = client.AppsV1Api(api)
    for event in follow.stream(apps.list_namespaced_deployment, api.namespace, timeout_seconds=60):
        if event["object"].status.ready_replicas == 2:
            follow.stop()
    scaler = client.AutoscalingV2Api(api).read_namespaced_horizontal_pod_autoscaler("app", api.namespace)
    assert scaler.spec.max_replicas == 3


def test_a_watch_goes_on_after_its_end(api: Any) -> None:
    core, follow = client.CoreV1Api(api), watch.Watch()
    core.create_namespaced_config_map(api.namespace, {"metadata": {"name": "first"}})
    names = []
    for event in follow.stream(core.list_namespaced_config_map, api.namespace, label_selector="!none"):
        names.append(event["object"].metadata.name)
        if "first" in names:
            follow.stop()
    since = follow.resource_version
    assert since
    core.create_namespaced_config_map(api.namespace, {"metadata": {"name": "second"}})
    again = watch.Watch()
    for event in again.stream(core.list_namespaced_config_map, api.namespace, resource_version=since):
        assert event["raw_object"]["kind"] == "ConfigMap"
        if event["object"].metadata.name == "second":
            again.stop()


def test_dynamic_client(api: Any, server: TestServer) -> None:
    server.kubectl("apply", "-f", str(HERE / "manifests" / "sites.yaml"))
    server.kubectl("wait", "--for=condition=Established", "crd/sites.web.example.com", "--timeout=30s")
    found = dynamic.DynamicClient(api)
    sites = found.resources.get(api_version="web.example.com/v1", kind="Site")
    body = {
        "apiVersion": "web.example.com/v1",
        "kind": "Site",
        "metadata": {"name": "a"},
        "spec": {"image": "nginx", "replicas": 1},
    }
    made = sites.create(body, namespace=api.namespace)
    assert made.spec.replicas == 1
    with pytest.raises(ConflictError):
        sites.create(body, namespace=api.namespace)
    applied = {**body, "spec": {"image": "nginx", "replicas": 4}}
    done = sites.server_side_apply(
        body=applied, name="a", namespace=api.namespace, field_manager="python", force_conflicts=True
    )
    assert done.spec.replicas == 4
    change = {"status": {"ready": 4}}
    merge = "application/merge-patch+json"
    sites.status.patch(body=change, name="a", namespace=api.namespace, content_type=merge)
    assert sites.get(name="a", namespace=api.namespace).status.ready == 4
    with pytest.raises(UnprocessibleEntityError, match=r"spec\.replicas"):
        sites.patch(body={"spec": {"replicas": -1}}, name="a", namespace=api.namespace, content_type=merge)
    seen = next(sites.watch(namespace=api.namespace, timeout=30))
    assert (seen["type"], seen["object"].metadata.name) == ("ADDED", "a")
    sites.delete(name="a", namespace=api.namespace)
    with pytest.raises(NotFoundError):
        sites.get(name="a", namespace=api.namespace)
    maps = found.resources.get(api_version="v1", kind="ConfigMap")
    maps.create({"metadata": {"name": "x", "labels": {"k": "v"}}}, namespace=api.namespace)
    assert [m.metadata.name for m in maps.get(namespace=api.namespace, label_selector="k=v").items] == ["x"]
    maps.delete(namespace=api.namespace, label_selector="k=v")
    assert maps.get(namespace=api.namespace, label_selector="k=v").items == []
    assert found.resources.search(kind="Deployment", api_version="apps/v1")[0].name == "deployments"


def test_typed_lists_and_deletions(api: Any) -> None:
    core = client.CoreV1Api(api)
    for number in range(5):
        core.create_namespaced_secret(api.namespace, {"metadata": {"name": f"s{number}", "labels": {"many": "yes"}}})
    page = core.list_namespaced_secret(api.namespace, limit=2)
    rest = core.list_namespaced_secret(api.namespace, limit=50, _continue=page.metadata._continue)
    assert [one.metadata.name for one in (*page.items, *rest.items)] == [f"s{number}" for number in range(5)]
    gone = core.delete_collection_namespaced_secret(api.namespace, label_selector="many")
    assert gone.status in ("Success", None)
    assert core.list_namespaced_secret(api.namespace).items == []
    versions = client.ApisApi(api).get_api_versions()
    assert "apps" in {group.name for group in versions.groups}
    assert client.VersionApi(api).get_code().git_version.startswith("v1.37.")
