"""Decoding checks: Go's type errors, unknown fields, nulls and canonical forms."""

import copy
from typing import Any

import pytest

from minikube_py.resources import schema
from minikube_py.resources.catalog import built_in_kinds
from minikube_py.resources.kind import GVR

KINDS = built_in_kinds()
DEPLOYMENT = KINDS.find(GVR("apps", "v1", "deployments"))
SECRET = KINDS.find(GVR("", "v1", "secrets"))
LEASE = KINDS.find(GVR("coordination.k8s.io", "v1", "leases"))
assert DEPLOYMENT is not None
assert SECRET is not None
assert LEASE is not None


def in_container(**fields: Any) -> dict[str, Any]:
    """A Deployment as it is stored, but for the fields given."""
    template = {"metadata": {}, "spec": {"containers": [{"name": "c", "resources": {}, **fields}]}}
    return {"metadata": {}, "spec": {"template": template, "strategy": {}}, "status": {}}


@pytest.mark.parametrize(
    ("obj", "error"),
    [
        (
            {"spec": {"replicas": "3"}},
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            {"spec": {"replicas": 1.5}},
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            {"spec": {"replicas": 2**31}},
            "json: cannot unmarshal number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            {"spec": "x"},
            "json: cannot unmarshal string into Go struct field Deployment.spec of type v1.DeploymentSpec",
        ),
        (
            in_container(image=5),
            "json: cannot unmarshal number into Go struct field Container.spec.template.spec.containers.image"
            " of type string",
        ),
        (
            in_container(args="x"),
            "json: cannot unmarshal string into Go struct field Container.spec.template.spec.containers.args"
            " of type []string",
        ),
        (
            in_container(env={}),
            "json: cannot unmarshal object into Go struct field Container.spec.template.spec.containers.env"
            " of type []v1.EnvVar",
        ),
        (
            {"metadata": {"labels": {"a": True}}},
            "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            in_container(livenessProbe={"httpGet": {"port": True}}),
            "json: cannot unmarshal bool into Go value of type int32",
        ),
        (
            {"metadata": {"creationTimestamp": "yesterday"}},
            'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006"',
        ),
        (
            in_container(resources={"limits": {"cpu": "x"}}),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
    ],
)
def test_type_errors_read_like_gos(obj: dict[str, Any], error: str) -> None:
    report = schema.check(DEPLOYMENT, obj)
    assert report.type_error == error
    text = report.decode_error("Deployment", "v1")
    assert text == f'Deployment in version "v1" cannot be handled as a Deployment: {error}'


def test_unknown_fields_are_named_and_dropped() -> None:
    obj = in_container(image="x", foo=1)
    obj["spec"]["bar"] = {"a": 1}
    obj["metadata"] = {"name": "n", "clusterName": "c"}
    report = schema.check(DEPLOYMENT, obj)
    assert set(report.unknown_fields) == {"spec.bar", "spec.template.spec.containers[0].foo", "metadata.clusterName"}
    assert obj == {**in_container(image="x"), "metadata": {"name": "n"}}
    assert schema.check(DEPLOYMENT, obj).is_clean


def test_strict_errors_list_every_field() -> None:
    report = schema.check(DEPLOYMENT, {"spec": {"a": 1}, "b": 2})
    assert report.strict_error("Deployment", "v1") == (
        'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error:'
        ' unknown field "spec.a", unknown field "b"'
    )


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"limits": {"cpu": "1000m", "memory": "1024Mi"}}, {"limits": {"cpu": "1", "memory": "1Gi"}}),
        ({"limits": {"cpu": 0.5}}, {"limits": {"cpu": "500m"}}),
        ({"limits": {"cpu": 2}}, {"limits": {"cpu": "2"}}),
        ({"limits": {"cpu": None}}, {"limits": {"cpu": "0"}}),
    ],
)
def test_quantities_become_canonical(given: dict[str, Any], kept: dict[str, Any]) -> None:
    obj = in_container(resources=given)
    assert schema.check(DEPLOYMENT, obj).is_clean
    assert obj == in_container(resources=kept)


def test_nulls_become_what_go_makes_of_them() -> None:
    obj = in_container(command=[None, "b"], env=[None], ports=None)
    obj["metadata"] = {"creationTimestamp": None, "labels": {"a": None}}
    assert schema.check(DEPLOYMENT, obj).is_clean
    assert obj == {**in_container(command=["", "b"], env=[{"name": ""}]), "metadata": {"labels": {"a": ""}}}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2024-01-01T01:00:00+01:00", "2024-01-01T00:00:00Z"),
        ("2024-01-01T00:00:00.9Z", "2024-01-01T00:00:00Z"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
    ],
)
def test_times_become_canonical(given: str, kept: str) -> None:
    obj = {"metadata": {"creationTimestamp": given}}
    assert schema.check(DEPLOYMENT, obj).is_clean
    assert obj["metadata"]["creationTimestamp"] == kept


def test_micro_times_keep_six_digits() -> None:
    obj = {"spec": {"renewTime": "2024-01-01T00:00:00Z"}}
    assert schema.check(LEASE, obj).is_clean
    assert obj["spec"]["renewTime"] == "2024-01-01T00:00:00.000000Z"


def test_bytes_are_base64() -> None:
    assert schema.check(SECRET, {"data": {"a": "YQ=="}}).is_clean
    assert schema.check(SECRET, {"data": {"a": "?"}}).type_error == "illegal base64 data at input byte 0"


def test_what_is_already_clean_is_not_touched() -> None:
    obj = in_container(image="x", ports=[{"containerPort": 80}], resources={"limits": {"cpu": "1"}})
    before = copy.deepcopy(obj)
    assert schema.check(DEPLOYMENT, obj).is_clean
    assert obj == before


@pytest.mark.parametrize("is_careful", [False, True])
def test_empty_values_go_or_stay_as_in_go(is_careful: bool) -> None:
    """Both passes do the same: an unknown field brings the careful one."""
    obj: dict[str, Any] = {
        "metadata": {"name": "n", "annotations": {}, "managedFields": [], "generation": 0},
        "spec": {
            "replicas": 0, "paused": False, "minReadySeconds": 0, "selector": {},
            "template": {
                "metadata": {"managedFields": []},
                "spec": {"volumes": [{"name": "", "emptyDir": {}}], "hostNetwork": False, "nodeName": ""},
            },
        },
    }  # fmt: skip
    if is_careful:
        obj["unknown"] = 1
    schema.check(DEPLOYMENT, obj)
    assert obj == {
        "metadata": {"name": "n", "managedFields": []},
        "spec": {
            "replicas": 0, "selector": {}, "strategy": {},
            "template": {"metadata": {}, "spec": {"volumes": [{"name": "", "emptyDir": {}}], "containers": []}},
        },
        "status": {},
    }  # fmt: skip


def test_nodes_carry_merge_rules() -> None:
    spec = schema.node_for(DEPLOYMENT).properties["spec"]
    assert spec.properties["strategy"].patch_strategy == "retainKeys"
    containers = spec.properties["template"].properties["spec"].properties["containers"]
    assert (containers.list_type, containers.map_keys, containers.patch_merge_key) == ("map", ("name",), "name")
    assert containers.items is not None
    ports = containers.items.properties["ports"]
    assert ports.map_keys == ("containerPort", "protocol")
    assert ports.items is not None
    assert ports.items.properties["protocol"].default == "TCP"


def test_nodes_of_kinds_that_contain_themselves_are_loops() -> None:
    props = schema.node_of("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps")
    assert props.properties["not"] is props
