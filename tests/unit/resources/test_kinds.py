"""The other kinds: error causes in Kubernetes' words on create and update, metadata, conversion."""

import base64
import copy
from typing import Any

import pytest

from minikube_py.resources.batch.cron import schedule_problem
from minikube_py.resources.fields import FieldErrors
from minikube_py.resources.metadata import validate_metadata_update
from tests.unit.resources.checking import create_errors, kind_of, stored, update_errors

POD = {"containers": [{"name": "c", "image": "x:1"}]}
LABELS = {"metadata": {"labels": {"a": "b"}}, "spec": POD}
SELECTOR = {"matchLabels": {"a": "b"}}


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("resource", "obj", "causes"),
    [
        ("deployments.apps", {"spec": {"selector": SELECTOR, "template": LABELS}}, []),
        (
            "deployments.apps",
            {"spec": {"selector": {"matchLabels": {"a": "c"}}, "template": LABELS}},
            ['spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`'],
        ),
        (
            "deployments.apps",
            {"spec": {"selector": {}, "template": LABELS, "replicas": -1}},
            [
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                "spec.selector: Invalid value: {}: empty selector is invalid for deployment",
            ],
        ),
        (
            "deployments.apps",
            {
                "spec": {
                    "selector": SELECTOR,
                    "template": LABELS,
                    "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}},
                }
            },
            [
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
            ],
        ),
        (
            "deployments.apps",
            {"spec": {"selector": SELECTOR, "template": LABELS, "progressDeadlineSeconds": 5, "minReadySeconds": 5}},
            ["spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"],
        ),
        (
            "daemonsets.apps",
            {
                "spec": {
                    "selector": SELECTOR,
                    "template": LABELS,
                    "updateStrategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}},
                }
            },
            [
                "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is"
                " non-zero"
            ],
        ),
        (
            "jobs.batch",
            {"spec": {"template": {"spec": POD}}},
            ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
        ),
        ("jobs.batch", {"spec": {"template": {"spec": {**POD, "restartPolicy": "Never"}}}}, []),
        (
            "jobs.batch",
            {
                "spec": {
                    "completionMode": "Indexed",
                    "template": {"spec": {**POD, "restartPolicy": "Never"}},
                    "parallelism": 1,
                }
            },
            ["spec.completions: Required value: when completion mode is Indexed"],
        ),
        (
            "cronjobs.batch",
            {
                "spec": {
                    "schedule": "* * *",
                    "jobTemplate": {"spec": {"template": {"spec": {**POD, "restartPolicy": "Never"}}}},
                }
            },
            ['spec.schedule: Invalid value: "* * *": expected exactly 5 fields, found 3: [* * *]'],
        ),
        ("services", {"spec": {"ports": [{"port": 80}]}}, []),
        ("services", {"spec": {}}, ["spec.ports: Required value"]),
        (
            "services",
            {"spec": {"ports": [{"port": 80}, {"port": 81}]}},
            ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
        ),
        (
            "services",
            {"spec": {"type": "ExternalName"}},
            ["spec.externalName: Required value"],
        ),
        (
            "services",
            {"spec": {"type": "x", "ports": [{"port": 1}]}},
            [
                'spec.type: Unsupported value: "x": supported values: "ClusterIP", "ExternalName", "LoadBalancer",'
                ' "NodePort"'
            ],
        ),
        (
            "services",
            {"spec": {"ports": [{"port": 80, "nodePort": 30000}]}},
            ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        ),
        (
            "configmaps",
            {"data": {"a/b": "c"}},
            [
                'data[a/b]: Invalid value: "a/b": a valid config key must consist of alphanumeric characters,'
                " '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is"
                " '[-._a-zA-Z0-9]+')"
            ],
        ),
        ("configmaps", {"data": {"a": "x" * 1024 * 1024 + "y"}}, ["[]: Too long: may not be more than 1048576 bytes"]),
        ("secrets", {"type": "kubernetes.io/tls"}, ["data[tls.crt]: Required value", "data[tls.key]: Required value"]),
        (
            "secrets",
            {"type": "kubernetes.io/service-account-token"},
            ["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        ),
        (
            "persistentvolumeclaims",
            {"spec": {"accessModes": ["x"]}},
            [
                'spec.accessModes: Unsupported value: "x": supported values: "ReadOnlyMany", "ReadWriteMany",'
                ' "ReadWriteOnce", "ReadWriteOncePod"',
                "spec.resources[storage]: Required value",
            ],
        ),
        (
            "ingresses.networking.k8s.io",
            {"spec": {"rules": [{"http": {"paths": [{"path": "a", "pathType": "Prefix", "backend": {}}]}}]}},
            [
                'spec.rules[0].http.paths[0].path: Invalid value: "a": must be an absolute path',
                'spec.rules[0].http.paths[0].backend: Invalid value: "": resource or service backend is required',
            ],
        ),
        (
            "networkpolicies.networking.k8s.io",
            {"spec": {"ingress": [{"from": [{}]}]}},
            ["spec.ingress[0].from[0]: Required value: must specify a peer"],
        ),
        (
            "roles.rbac.authorization.k8s.io",
            {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]},
            [
                'rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs',
            ],
        ),
        (
            "clusterrolebindings.rbac.authorization.k8s.io",
            {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "ServiceAccount", "name": "s"}]},
            [
                'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"',
                "subjects[0].namespace: Required value",
            ],
        ),
        (
            "priorityclasses.scheduling.k8s.io",
            {"value": 2_000_000_000},
            ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
        ),
        (
            "poddisruptionbudgets.policy",
            {"spec": {"minAvailable": 1, "maxUnavailable": 1}},
            [
                'spec: Invalid value: {"minAvailable":1,"maxUnavailable":1}: minAvailable and maxUnavailable cannot be'
                " both set"
            ],
        ),
        (
            "endpointslices.discovery.k8s.io",
            {"addressType": "IPv4", "endpoints": [{"addresses": ["127.0.0.1"]}]},
            [
                'endpoints[0].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range'
                " (127.0.0.0/8, ::1/128)"
            ],
        ),
        (
            "leases.coordination.k8s.io",
            {"spec": {"leaseDurationSeconds": 0}},
            ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
        ),
        (
            "limitranges",
            {"spec": {"limits": [{"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]}},
            [
                'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1',
                'spec.limits[0].default[cpu]: Invalid value: "1": min value 2 is greater than default value 1',
                'spec.limits[0].defaultRequest[cpu]: Invalid value: "1": min value 2 is greater than default request'
                " value 1",
            ],
        ),
        (
            "resourcequotas",
            {"spec": {"hard": {"foo": "1"}}},
            ['spec.hard[foo]: Invalid value: "foo": must be a standard resource for quota'],
        ),
        (
            "bindings",
            {"target": {"kind": "Pod"}},
            [
                'target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>"',
                "target.name: Required value",
            ],
        ),
        (
            "customresourcedefinitions.apiextensions.k8s.io",
            {
                "metadata": {"name": "things.x.io"},
                "spec": {
                    "group": "x.io",
                    "scope": "Namespaced",
                    "names": {"plural": "things", "kind": "Thing"},
                    "versions": [
                        {
                            "name": "v1",
                            "served": True,
                            "storage": True,
                            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {}}}},
                        }
                    ],
                },
            },
            [
                "spec.versions[0].schema.openAPIV3Schema.properties[spec].type: Required value: must not be empty for"
                " specified object fields"
            ],
        ),
        (
            "validatingwebhookconfigurations.admissionregistration.k8s.io",
            {"webhooks": [{"name": "a.b.c", "clientConfig": {}, "admissionReviewVersions": ["v1"]}]},
            [
                "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
                "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
            ],
        ),
    ],
)  # fmt: skip
def test_errors_on_create(resource: str, obj: dict[str, Any], causes: list[str]) -> None:
    found = create_errors(resource, obj)
    assert sorted(found) == sorted(causes)


@pytest.mark.parametrize(
    ("resource", "old", "change", "found"),
    [
        (
            "deployments.apps",
            {"spec": {"selector": SELECTOR, "template": LABELS}},
            {"spec": {"selector": {"matchLabels": {"a": "b", "c": "d"}}, "template": LABELS}},
            'spec.selector: Invalid value: {"matchLabels":{"a":"b","c":"d"}}: field is immutable',
        ),
        (
            "statefulsets.apps",
            {"spec": {"selector": SELECTOR, "template": LABELS, "serviceName": "s"}},
            {"spec": {"selector": SELECTOR, "template": LABELS, "serviceName": "t"}},
            "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template',"
            " 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds'"
            " are forbidden",
        ),
        (
            "configmaps",
            {"data": {"a": "b"}, "immutable": True},
            {"data": {"a": "c"}, "immutable": True},
            "data: Forbidden: field is immutable when `immutable` is set",
        ),
        ("secrets", {"type": "a"}, {"type": "b"}, 'type: Invalid value: "b": field is immutable'),
        (
            "storageclasses.storage.k8s.io",
            {"provisioner": "a"},
            {"provisioner": "b"},
            "provisioner: Forbidden: updates to provisioner are forbidden.",
        ),
        (
            "rolebindings.rbac.authorization.k8s.io",
            {"roleRef": {"kind": "Role", "name": "a"}},
            {"roleRef": {"kind": "Role", "name": "b"}},
            'roleRef: Invalid value: {"kind":"Role","name":"b","apiGroup":"rbac.authorization.k8s.io"}: cannot change'
            " roleRef",
        ),
        (
            "services",
            {"spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 1}]}},
            {"spec": {"clusterIP": "10.0.0.2", "ports": [{"port": 1}]}},
            'spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set',
        ),
    ],
)
def test_errors_on_update(resource: str, old: dict[str, Any], change: dict[str, Any], found: str) -> None:
    before = stored(resource, old)
    new = {**copy.deepcopy(change), "metadata": dict(before["metadata"])}
    assert found in update_errors(resource, new, before)


def test_a_service_keeps_its_address_and_node_ports_when_they_are_left_out() -> None:
    old = stored("services", {"spec": {"type": "NodePort", "ports": [{"port": 1, "nodePort": 30001}]}})
    old["spec"] |= {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"]}
    new: dict[str, Any] = {"spec": {"type": "NodePort", "ports": [{"port": 1}]}}
    rules = kind_of("services").rules
    rules.default(new)
    rules.prepare_update(new, old)
    assert new["spec"]["clusterIPs"] == ["10.0.0.1"]
    assert new["spec"]["ports"][0]["nodePort"] == 30001
    assert update_errors("services", new, old) == []


def test_string_data_moves_into_data() -> None:
    secret = stored("secrets", {"data": {"a": b64("1"), "b": b64("2")}, "stringData": {"b": "3"}})
    assert secret["data"] == {"a": b64("1"), "b": b64("3")}
    assert "stringData" not in secret
    assert secret["type"] == "Opaque"


def test_a_namespace_gets_its_label_and_finalizer() -> None:
    namespace = stored("namespaces", {})
    assert namespace["metadata"]["labels"] == {"kubernetes.io/metadata.name": "a"}
    assert namespace["spec"] == {"finalizers": ["kubernetes"]}
    assert namespace["status"] == {"phase": "Active"}


def test_a_job_gets_its_selector() -> None:
    job = stored("jobs.batch", {"spec": {"template": {"spec": POD}}})
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}
    assert job["spec"]["template"]["metadata"]["labels"] == {
        "batch.kubernetes.io/controller-uid": "u",
        "controller-uid": "u",
        "batch.kubernetes.io/job-name": "a",
        "job-name": "a",
    }


def test_autoscalers_convert_both_ways() -> None:
    v1 = {"spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 50}, "metadata": {"name": "a"}}
    rules = kind_of("horizontalpodautoscalers.autoscaling/v1").rules
    assert rules.to_storage is not None
    assert rules.from_storage is not None
    there = copy.deepcopy(v1)
    rules.to_storage(there)
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
    assert there["spec"]["metrics"] == [{"type": "Resource", "resource": cpu}]
    there["spec"]["behavior"] = {"scaleDown": {"selectPolicy": "Disabled"}}
    rules.from_storage(there)
    assert there["spec"] == v1["spec"]
    assert list(there["metadata"]["annotations"]) == ["autoscaling.alpha.kubernetes.io/behavior"]
    rules.to_storage(there)
    assert there["spec"]["behavior"] == {"scaleDown": {"selectPolicy": "Disabled"}}
    assert "annotations" not in there["metadata"]


def test_events_convert_both_ways() -> None:
    core = {"involvedObject": {"name": "p"}, "message": "m", "count": 2, "reason": "r"}
    event = copy.deepcopy(core)
    rules = kind_of("events.events.k8s.io").rules
    assert rules.to_storage is not None
    assert rules.from_storage is not None
    rules.from_storage(event)
    assert event == {"regarding": {"name": "p"}, "note": "m", "deprecatedCount": 2, "reason": "r"}
    rules.to_storage(event)
    assert event == core


@pytest.mark.parametrize(
    ("metadata", "causes"),
    [
        ({"name": "A"}, 1),
        ({"name": "a", "labels": {"-": "b"}}, 1),
        ({"name": "a", "annotations": {"k": "x" * 300_000}}, 1),
        ({"name": "a", "finalizers": ["orphan", "foregroundDeletion"]}, 1),
        ({"name": "a", "finalizers": ["mine"]}, 1),
        ({"name": "a", "finalizers": ["x.io/mine"]}, 0),
        ({"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]}, 1),
        ({"name": "a", "generateName": "a-"}, 0),
    ],
)
def test_metadata(metadata: dict[str, Any], causes: int) -> None:
    assert len(create_errors("configmaps", {"metadata": metadata})) == causes


def test_metadata_may_not_change() -> None:
    old = {"metadata": {"name": "a", "uid": "1", "resourceVersion": "5", "generation": 2}}
    new = {"metadata": {"name": "b", "uid": "1", "generation": 1}}
    errors = FieldErrors()
    validate_metadata_update(new, old, errors)
    assert [f"{c.field}: {c.message}" for c in errors.causes] == [
        'metadata.resourceVersion: Invalid value: "": must be specified for an update',
        "metadata.generation: Invalid value: 1: must not be decremented",
        'metadata.name: Invalid value: "b": field is immutable',
    ]


def test_no_finalizers_come_while_an_object_goes() -> None:
    old = {"metadata": {"name": "a", "resourceVersion": "5", "deletionTimestamp": "2024-01-01T00:00:00Z"}}
    new = copy.deepcopy(old)
    new["metadata"]["finalizers"] = ["x.io/a"]
    errors = FieldErrors()
    validate_metadata_update(new, old, errors)
    assert errors.causes[0].message == (
        "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers"
        ' []string{"x.io/a"}'
    )


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ("*/5 * * * *", ""),
        ("0 9-17 * jan-mar mon,wed", ""),
        ("@hourly", ""),
        ("@every 1h30m", ""),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("@never", "unrecognized descriptor: @never"),
    ],
)
def test_schedules(schedule: str, problem: str) -> None:
    assert schedule_problem(schedule) == problem
