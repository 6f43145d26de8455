"""Pods: defaults, error causes in Kubernetes' words, what an update may change."""

import copy
from typing import Any

import pytest

from minikube_py.resources.core.pod_defaults import aggregate_requests, default_pull_policy
from minikube_py.resources.core.pod_qos import qos_class
from minikube_py.resources.core.pod_update import validate_ephemeral_containers_update, validate_resize
from minikube_py.resources.fields import FieldErrors
from tests.unit.resources.checking import change_errors, create_errors, kind_of, stored, update_errors

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with"
    " an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


def pod(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "c", "image": "nginx", **(container or {})}], **spec}}


@pytest.mark.parametrize(
    ("obj", "causes"),
    [
        (pod(), []),
        ({"spec": {}}, ["spec.containers: Required value"]),
        (pod({"name": "C"}), [f'spec.containers[0].name: Invalid value: "C": {LABEL}']),
        (pod({"image": ""}), ["spec.containers[0].image: Required value"]),
        (
            pod({"image": " nginx"}),
            ['spec.containers[0].image: Invalid value: " nginx": must not have leading or trailing whitespace'],
        ),
        (
            pod({"ports": [{"containerPort": 99999}]}),
            ["spec.containers[0].ports[0].containerPort: Invalid value: 99999: must be between 1 and 65535, inclusive"],
        ),
        (
            pod({"imagePullPolicy": "x"}),
            [
                'spec.containers[0].imagePullPolicy: Unsupported value: "x": supported values: "Always",'
                ' "IfNotPresent", "Never"'
            ],
        ),
        (
            pod({"volumeMounts": [{"name": "v", "mountPath": "/x"}]}),
            ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
        ),
        (
            pod({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}),
            [
                'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit'
                " of 1"
            ],
        ),
        (
            pod({"resources": {"requests": {"foo": "1"}}}),
            [
                'spec.containers[0].resources.requests: Invalid value: "foo": must be a standard resource for'
                " containers"
            ],
        ),
        (
            pod({"livenessProbe": {"successThreshold": 2, "exec": {"command": ["x"]}}}),
            ["spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"],
        ),
        (
            pod({"readinessProbe": {}}),
            ["spec.containers[0].readinessProbe: Required value: must specify a handler type"],
        ),
        (
            pod({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.restartPolicy"}}}]}),
            [
                "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value:"
                ' "spec.restartPolicy": supported values: "metadata.name", "metadata.namespace", "metadata.uid",'
                ' "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP",'
                ' "status.podIPs"'
            ],
        ),
        (
            pod(volumes=[{"name": "v", "emptyDir": {}, "secret": {"secretName": "s"}}]),
            ["spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            pod(volumes=[{"name": "v", "hostPath": {"path": "/a/../b"}}]),
            ['spec.volumes[0].hostPath.path: Invalid value: "/a/../b": must not contain \'..\''],
        ),
        (
            pod(volumes=[{"name": "v"}, {"name": "v"}]),
            ['spec.volumes[1].name: Duplicate value: "v"'],
        ),
        (
            pod(restartPolicy="x"),
            ['spec.restartPolicy: Unsupported value: "x": supported values: "Always", "OnFailure", "Never"'],
        ),
        (
            pod(activeDeadlineSeconds=0),
            ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
        ),
        (
            pod(tolerations=[{"key": "a", "operator": "Exists", "value": "b"}]),
            ["spec.tolerations[0].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'"],
        ),
        (
            pod(dnsPolicy="None"),
            ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
        ),
        (
            pod(topologySpreadConstraints=[{"maxSkew": 0, "topologyKey": "", "whenUnsatisfiable": "x"}]),
            [
                "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
                "spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty",
                'spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "x": supported values:'
                ' "DoNotSchedule", "ScheduleAnyway"',
            ],
        ),
        (
            pod(initContainers=[{"name": "c", "image": "x"}]),
            ['spec.initContainers[0].name: Duplicate value: "c"'],
        ),
        (
            pod(initContainers=[{"name": "i", "image": "x", "readinessProbe": {"exec": {"command": ["a"]}}}]),
            [
                "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without"
                " restartPolicy=Always"
            ],
        ),
        (
            pod(ephemeralContainers=[{"name": "e", "image": "x"}]),
            ["spec.ephemeralContainers: Forbidden: cannot be set on create"],
        ),
        (
            pod(nodeName="n", schedulingGates=[{"name": "g"}]),
            ["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
        ),
        (
            pod({"securityContext": {"privileged": True, "allowPrivilegeEscalation": False}}),
            [
                'spec.containers[0].securityContext: Invalid value: {"privileged":true,'
                '"allowPrivilegeEscalation":false}: cannot set `allowPrivilegeEscalation` to false and `privileged`'
                " to true"
            ],
        ),
        (
            pod(securityContext={"sysctls": [{"name": "net.a"}]}, hostNetwork=True),
            [
                "spec.securityContext.sysctls[0].name: Invalid value: \"net.a\": may not be specified when"
                " 'hostNetwork' is true"
            ],
        ),
        (
            pod({"ports": [{"containerPort": 80, "hostPort": 81}]}, hostNetwork=True),
            [
                "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when"
                " `hostNetwork` is true"
            ],
        ),
    ],
)  # fmt: skip
def test_errors_on_create(obj: dict[str, Any], causes: list[str]) -> None:
    assert create_errors("pods", obj) == causes


def test_defaults() -> None:
    obj = stored("pods", pod({"ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "1"}}}))
    spec, container = obj["spec"], obj["spec"]["containers"][0]
    assert spec["restartPolicy"] == "Always"
    assert spec["terminationGracePeriodSeconds"] == 30
    assert spec["enableServiceLinks"] is True
    assert container["imagePullPolicy"] == "Always"
    assert container["ports"][0]["protocol"] == "TCP"
    assert container["resources"]["requests"] == {"cpu": "1"}
    assert obj["status"] == {"phase": "Pending", "qosClass": "Burstable"}


def test_a_negative_grace_becomes_one() -> None:
    assert stored("pods", pod(terminationGracePeriodSeconds=-1))["spec"]["terminationGracePeriodSeconds"] == 1


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1", "IfNotPresent"),
        ("host:5000/nginx", "Always"),
        ("nginx@sha256:abc", "IfNotPresent"),
        ("nginx:latest@sha256:abc", "Always"),
    ],
)
def test_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    assert default_pull_policy(image) == policy


@pytest.mark.parametrize(
    ("change", "causes"),
    [
        ({"image": "nginx:2"}, []),
        ({"image": ""}, ["spec.containers[0].image: Required value"] * 2),
    ],
)
def test_images_may_change(change: dict[str, Any], causes: list[str]) -> None:
    old = stored("pods", pod())
    new = copy.deepcopy(old)
    new["spec"]["containers"][0].update(change)
    assert change_errors("pods", new, old) == causes


@pytest.mark.parametrize("change", [{"metadata": {"name": "a", "uid": "u", "labels": {"a": "b"}}}, {}])
def test_a_pod_that_is_being_debugged_may_change(change: dict[str, Any]) -> None:
    old = stored("pods", pod(ephemeralContainers=[{"name": "debugger", "image": "busybox"}]))
    new = {**old, "spec": {**old["spec"], "activeDeadlineSeconds": 60}, **change}
    assert change_errors("pods", new, old) == []


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"activeDeadlineSeconds": 5}, "must be less than or equal to previous value"),
        ({"activeDeadlineSeconds": None}, "must not update from a positive integer to nil value"),
        ({"tolerations": []}, "existing toleration can not be modified except its tolerationSeconds"),
        ({"schedulingGates": [{"name": "g"}]}, "only deletion is allowed, but found new scheduling gate 'g'"),
        ({"nodeName": "other"}, "pod updates may not change fields other than `spec.containers[*].image`"),
        ({"containers": []}, "pod updates may not add or remove containers"),
    ],
)
def test_the_rest_may_not(spec: dict[str, Any], found: str) -> None:
    old = stored("pods", pod(activeDeadlineSeconds=3, tolerations=[{"operator": "Exists"}]))
    new = copy.deepcopy(old)
    new["spec"].update(spec)
    assert any(found in cause for cause in update_errors("pods", new, old))


def test_tolerations_may_be_added() -> None:
    old = stored("pods", pod(tolerations=[{"operator": "Exists"}]))
    new = copy.deepcopy(old)
    new["spec"]["tolerations"].append({"key": "a", "operator": "Exists"})
    assert update_errors("pods", new, old) == []


def test_ephemeral_containers_only_come() -> None:
    old = pod(ephemeralContainers=[{"name": "e", "image": "x"}])
    errors = FieldErrors()
    validate_ephemeral_containers_update(pod(), old, errors)
    assert errors.causes[0].message == 'Forbidden: existing ephemeral containers "e" may not be removed\n'


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        ({"requests": {"cpu": "2"}}, []),
        ({"requests": {}}, ["Forbidden: resource requests cannot be removed"]),
        (
            {"requests": {"cpu": "1"}, "limits": {"cpu": "1", "memory": "1Gi"}},
            [],
        ),
    ],
)
def test_resize(change: dict[str, Any], messages: list[str]) -> None:
    old = stored("pods", pod({"resources": {"requests": {"cpu": "1"}}}))
    new = copy.deepcopy(old)
    new["spec"]["containers"][0]["resources"] = change
    errors = FieldErrors()
    validate_resize(new, old, errors)
    assert [c.message for c in errors.causes if "QOS" not in c.message] == messages


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ([{}], "BestEffort"),
        ([{"requests": {"cpu": "1"}}], "Burstable"),
        ([{"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}], "Guaranteed"),
        ([{"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}, {}], "Burstable"),
    ],
)
def test_quality_of_service(resources: list[dict[str, Any]], expected: str) -> None:
    assert qos_class({"containers": [{"resources": r} for r in resources]}) == expected


def test_sidecars_add_up_and_init_containers_overlap() -> None:
    def asks(cpu: str, **more: str) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    spec = {
        "containers": [asks("1"), asks("500m")],
        "initContainers": [asks("250m", restartPolicy="Always"), asks("3")],
    }
    assert aggregate_requests(spec) == {"cpu": "3250m"}


def test_grace_is_nothing_before_a_node_and_after_the_end() -> None:
    grace = kind_of("pods").rules.default_grace_seconds
    assert grace is not None
    assert grace(pod()) == 0
    assert grace(pod(nodeName="n", terminationGracePeriodSeconds=7)) == 7
    assert grace({**pod(nodeName="n"), "status": {"phase": "Failed"}}) == 0


def test_field_selectors() -> None:
    fields = kind_of("pods").rules.fields
    assert fields is not None
    obj = {**pod(nodeName="n", hostNetwork=True), "status": {"phase": "Running", "podIPs": [{"ip": "1.2.3.4"}]}}
    found = fields(obj)
    assert found["spec.nodeName"] == "n"
    assert found["spec.hostNetwork"] == "true"
    assert found["status.podIP"] == "1.2.3.4"
    assert fields({})["spec.hostNetwork"] == "false"


def transition_errors(**spec: Any) -> list[str]:
    """What the server says when a container that has ended is reported to run."""
    old = stored("pods", pod(restartPolicy="Never", **spec))
    ended, running = {"terminated": {"exitCode": 0}}, {"running": {}}
    states = [{**old, "status": {"containerStatuses": [{"name": "c", "state": s}]}} for s in (ended, running)]
    errors = FieldErrors()
    kind_of("pods").rules.validate_status(states[1], states[0], errors)
    return [cause.message for cause in errors.causes]


def test_what_has_ended_stays_ended() -> None:
    assert transition_errors() == ["Forbidden: may not be transitioned to non-terminated state"]
    rules = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]
    assert transition_errors(initContainers=[{"name": "i", "image": "x", "restartPolicyRules": rules}]) == []


def selected(**fields: Any) -> dict[str, Any]:
    return {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "a"}}, **fields}


def test_label_keys_are_merged_into_selectors() -> None:
    """matchLabelKeys and mismatchLabelKeys stand for the labels that the pod is made with."""
    keys = {"matchLabelKeys": ["rev", "none"], "mismatchLabelKeys": ["tenant"]}
    spread = {"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
    terms = {
        "requiredDuringSchedulingIgnoredDuringExecution": [selected(**keys), {"topologyKey": "zone"}],
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": selected(**keys)}],
    }
    made = stored(
        "pods",
        {
            "metadata": {"labels": {"app": "a", "rev": "1", "tenant": "t"}},
            **pod(
                affinity={"podAffinity": terms, "podAntiAffinity": copy.deepcopy(terms)},
                topologySpreadConstraints=[selected(**spread, matchLabelKeys=["rev"])],
            ),
        },
    )
    same = {"key": "rev", "operator": "In", "values": ["1"]}
    merged = {
        "matchLabels": {"app": "a"},
        "matchExpressions": [same, {"key": "tenant", "operator": "NotIn", "values": ["t"]}],
    }
    for kind in ("podAffinity", "podAntiAffinity"):
        found = made["spec"]["affinity"][kind]
        required = found["requiredDuringSchedulingIgnoredDuringExecution"]
        assert [term.get("labelSelector") for term in required] == [merged, None]
        assert found["preferredDuringSchedulingIgnoredDuringExecution"][0]["podAffinityTerm"]["labelSelector"] == merged
    constraint = made["spec"]["topologySpreadConstraints"][0]
    assert constraint["labelSelector"] == {"matchLabels": {"app": "a"}, "matchExpressions": [same]}


def test_a_label_key_is_not_selected_twice() -> None:
    spread = {"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "matchLabelKeys": ["app"]}
    body = {"metadata": {"labels": {"app": "a"}}, **pod(topologySpreadConstraints=[selected(**spread)])}
    assert create_errors("pods", body) == [
        'spec.topologySpreadConstraints[0][0]: Invalid value: "app": exists in both matchLabelKeys and labelSelector'
    ]
    assert create_errors("pods", {**body, "metadata": {"labels": {"app": "a", "rev": "1"}}, **pod(
        topologySpreadConstraints=[selected(**{**spread, "matchLabelKeys": ["rev"]})]
    )}) == []  # fmt: skip
