"""What people are warned of in pods and templates, in Kubernetes' words."""

from typing import Any

import pytest

from minikube_py.resources.core import pod_warnings


def pod(metadata: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", **(metadata or {})}, "spec": spec}


def container(**more: Any) -> dict[str, Any]:
    return {"name": "c", "image": "i", **more}


CASES: list[tuple[dict[str, Any], list[str]]] = [
    (pod(containers=[container(ports=[{"containerPort": 80}])]), []),
    (
        pod(nodeSelector={"beta.kubernetes.io/arch": "amd64"}),
        ['spec.nodeSelector[beta.kubernetes.io/arch]: deprecated since v1.14; use "kubernetes.io/arch" instead'],
    ),
    (
        pod(terminationGracePeriodSeconds=-1),
        ["spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"],
    ),
    (
        pod({"annotations": {"scheduler.alpha.kubernetes.io/critical-pod": ""}}),
        [
            "metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; "
            'use the "priorityClassName" field instead'
        ],
    ),
    (
        pod(containers=[container(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}])]),
        ['spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply'],
    ),
    (pod(containers=[container(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "$(A):2"}])]), []),
    (
        pod(containers=[container(ports=[{"containerPort": 80}]), container(ports=[{"containerPort": 80}])]),
        ["spec.containers[1].ports[0]: duplicate port definition with spec.containers[0].ports[0]"],
    ),
    (
        pod(containers=[container(ports=[{"containerPort": 80}, {"containerPort": 80, "hostPort": 1}])]),
        ["spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]"],
    ),
    (
        pod(containers=[container(resources={"limits": {"memory": "100m", "cpu": "100m"}})]),
        ['spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, must be an integer'],
    ),
    (
        pod(hostAliases=[{"ip": "1.2.3.4"}, {"ip": "1.2.3.4"}], imagePullSecrets=[{"name": "a"}, {"name": "a"}, {}]),
        [
            'spec.hostAliases[1].ip: duplicate ip "1.2.3.4"',
            'spec.imagePullSecrets[1].name: duplicate name "a"',
            'spec.imagePullSecrets[2].name: invalid empty name ""',
        ],
    ),
    (
        pod(topologySpreadConstraints=[{"topologyKey": "beta.kubernetes.io/os"}]),
        [
            "spec.topologySpreadConstraints[0].topologyKey: beta.kubernetes.io/os is deprecated since v1.14; "
            'use "kubernetes.io/os" instead',
            "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
        ],
    ),
    (
        pod(volumes=[{"name": "v", "glusterfs": {}}]),
        ["spec.volumes[0].glusterfs: deprecated in v1.25, non-functional in v1.26+"],
    ),
]


@pytest.mark.parametrize(("obj", "expected"), CASES)
def test_pods(obj: dict[str, Any], expected: list[str]) -> None:
    assert pod_warnings.of_pod(obj) == expected


def test_templates_say_where_they_are() -> None:
    template = {"spec": {"nodeSelector": {"beta.kubernetes.io/os": "linux"}}}
    found = pod_warnings.of_workload("spec", "template")({"metadata": {"name": "a.b"}, "spec": {"template": template}})
    assert found[0].startswith("metadata.name: this is used in Pod names and hostnames, which can result in surprising")
    assert found[1:] == [
        'spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'
    ]
