"""Empty values are kept, dropped and added as Go's structs do it, so that an unchanged PUT changes nothing."""

from typing import Any

import pytest

from minikube_py.client.protocol import PatchType
from tests.support.http_calls import HttpCalls

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
PROTOBUF = "application/vnd.kubernetes.protobuf"
CONTAINER = {"name": "c", "image": "app:1"}


def managed(obj: dict[str, Any], manager: str = "tests") -> dict[str, Any]:
    found: dict[str, Any] = next(e["fieldsV1"] for e in obj["metadata"]["managedFields"] if e["manager"] == manager)
    return found


async def test_what_is_empty_and_optional_vanishes(http: HttpCalls) -> None:
    sent = {
        "metadata": {"name": "d", "annotations": {}, "labels": {}, "finalizers": [], "ownerReferences": []},
        "spec": {
            "replicas": 0, "paused": False, "minReadySeconds": 0, "selector": {"matchLabels": {"app": "a"}},
            "template": {
                "metadata": {"labels": {"app": "a"}, "annotations": {}},
                "spec": {
                    "containers": [{**CONTAINER, "args": [], "env": [], "command": None, "stdin": False, "tty": True}],
                    "nodeSelector": {}, "hostNetwork": False, "automountServiceAccountToken": False,
                    "terminationGracePeriodSeconds": 0, "volumes": [{"name": "v", "emptyDir": {}}], "hostname": "",
                    "affinity": {}, "tolerations": [],
                },
            },
        },
    }  # fmt: skip
    made = (await http("POST", DEPLOYMENTS, sent)).json
    assert not {"annotations", "labels", "finalizers", "ownerReferences"} & set(made["metadata"])
    spec, pod = made["spec"], made["spec"]["template"]["spec"]
    assert spec["replicas"] == 0
    assert not {"paused", "minReadySeconds"} & set(spec)
    assert made["spec"]["template"]["metadata"] == {"labels": {"app": "a"}}
    assert not {"nodeSelector", "hostNetwork", "hostname", "tolerations"} & set(pod)
    assert (pod["automountServiceAccountToken"], pod["terminationGracePeriodSeconds"]) == (False, 0)
    assert (pod["volumes"], pod["affinity"]) == ([{"name": "v", "emptyDir": {}}], {})
    assert not {"args", "env", "command", "stdin"} & set(pod["containers"][0])
    assert (pod["containers"][0]["tty"], pod["containers"][0]["resources"]) == (True, {})
    owned = managed(made)["f:spec"]
    assert not {"f:paused", "f:minReadySeconds"} & set(owned)
    container = owned["f:template"]["f:spec"]["f:containers"]['k:{"name":"c"}']
    assert "f:args" not in container
    assert container["f:resources"] == {}
    assert "." not in owned["f:template"]["f:spec"]["f:containers"]


async def test_entries_of_maps_may_be_empty(http: HttpCalls) -> None:
    made = (await http("POST", MAPS, {"metadata": {"name": "m"}, "data": {"a": ""}, "binaryData": {}})).json
    assert made["data"] == {"a": ""}
    assert "binaryData" not in made
    emptied = {"metadata": {"name": "m"}, "data": {}}
    assert "data" not in (await http("PUT", f"{MAPS}/m", emptied)).json
    policy = {"metadata": {"name": "n"}, "spec": {"podSelector": {}, "ingress": [], "policyTypes": ["Ingress"]}}
    made = (await http("POST", "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies", policy)).json
    assert made["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}


async def test_a_patch_leaves_nothing_empty_behind(http: HttpCalls) -> None:
    await http("POST", MAPS, {"metadata": {"name": "m", "labels": {"a": "b"}}, "data": {"a": "1"}})
    for media_type, patch in (
        (PatchType.MERGE, {"metadata": {"labels": {"a": None}, "annotations": {}}, "data": {"a": None}}),
        (PatchType.JSON, [{"op": "add", "path": "/metadata/annotations", "value": {}}]),
        (PatchType.STRATEGIC, {"metadata": {"annotations": {}}}),
    ):
        changed = (await http("PATCH", f"{MAPS}/m", patch, headers={"Content-Type": media_type})).json
        assert not {"labels", "annotations", "data"} & {*changed, *changed["metadata"]}
    before = changed["metadata"]["resourceVersion"]
    again = await http("PATCH", f"{MAPS}/m", {"data": {}}, headers={"Content-Type": PatchType.MERGE})
    assert again.json["metadata"]["resourceVersion"] == before


async def test_an_applied_empty_value_is_owned_and_not_there(http: HttpCalls) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "annotations": {}}, "data": {"a": "1"}}
    headers, path = {"Content-Type": PatchType.APPLY}, f"{MAPS}/m?fieldManager=me"
    made = (await http("PATCH", path, body, headers=headers)).json
    assert "annotations" not in made["metadata"]
    again = (await http("PATCH", path, body, headers=headers)).json
    assert again == made


async def test_custom_objects_keep_their_empty_values(http: HttpCalls) -> None:
    version = {
        "name": "v1", "served": True, "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }  # fmt: skip
    names = {"plural": "things", "kind": "Thing"}
    spec = {"group": "acme.test", "scope": "Namespaced", "names": names, "versions": [version]}
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert (await http("POST", definitions, {"metadata": {"name": "things.acme.test"}, "spec": spec})).code == 201
    thing = {"apiVersion": "acme.test/v1", "kind": "Thing", "spec": {"a": [], "b": {}, "c": ""}}
    things = "/apis/acme.test/v1/namespaces/default/things"
    for _ in range(50):
        made = await http("POST", things, {**thing, "metadata": {"name": "t", "annotations": {}}})
        if made.code == 201:
            break
    assert made.json["spec"] == thing["spec"]
    assert "annotations" not in made.json["metadata"]


@pytest.mark.parametrize("form", ["application/json", PROTOBUF])
async def test_only_what_a_client_wants_is_its_own(http: HttpCalls, form: str) -> None:
    """What admission and the storage add has no owner: neither pods' accounts and tokens, nor Services' addresses."""
    pod = (await http("POST", PODS, {"metadata": {"name": "p"}, "spec": {"containers": [CONTAINER]}})).json
    assert pod["spec"]["serviceAccountName"] == "default"
    assert pod["spec"]["volumes"]
    owned = managed(pod)["f:spec"]
    assert not {"f:serviceAccountName", "f:serviceAccount", "f:volumes", "f:tolerations", "f:priority"} & set(owned)
    assert "f:volumeMounts" not in owned["f:containers"]['k:{"name":"c"}']
    services = "/api/v1/namespaces/default/services"
    service = (await http("POST", services, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})).json
    assert set(managed(service)["f:spec"]) == {"f:internalTrafficPolicy", "f:ports", "f:sessionAffinity", "f:type"}
    body = (await http("GET", f"{PODS}/p", headers={"Accept": form})).body
    same = (await http("PUT", f"{PODS}/p?fieldManager=other", body, headers={"Content-Type": form})).json
    assert same["metadata"]["resourceVersion"] == pod["metadata"]["resourceVersion"]
    assert [entry["manager"] for entry in same["metadata"]["managedFields"]] == ["tests"]
