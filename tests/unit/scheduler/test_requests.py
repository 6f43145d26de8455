"""What a pod asks for: init containers, sidecars, overhead, pod-level resources."""

from typing import Any

import pytest

from minikube_py.scheduler.requests import pod_requests


def container(cpu: str, **more: Any) -> dict[str, Any]:
    return {"name": f"c{cpu}", "resources": {"requests": {"cpu": cpu}}, **more}


SIDECAR = {"restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({"containers": [container("1"), container("2")]}, 3000),
        ({"containers": [container("1")], "initContainers": [container("5")]}, 5000),
        ({"containers": [container("1")], "initContainers": [container("2", **SIDECAR)]}, 3000),
        ({"containers": [container("1")], "initContainers": [container("2", **SIDECAR), container("3")]}, 5000),
        ({"containers": [container("1")], "initContainers": [container("3"), container("2", **SIDECAR)]}, 3000),
        ({"containers": [container("1")], "overhead": {"cpu": "250m"}}, 1250),
        ({"containers": [container("1")], "resources": {"requests": {"cpu": "4"}}}, 4000),
    ],
)
def test_cpu(spec: dict[str, Any], cpu: int) -> None:
    assert pod_requests({"spec": spec})["cpu"] == cpu


@pytest.mark.parametrize(
    ("conditions", "cpu"),
    [
        ([], 8000),
        ([{"type": "PodResizePending", "status": "True", "reason": "Deferred"}], 8000),
        ([{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}], 2000),
    ],
)
def test_a_resize_counts_until_the_node_has_refused_it_for_good(conditions: list[dict[str, str]], cpu: int) -> None:
    held = {"name": "c8", "allocatedResources": {"cpu": "2"}, "resources": {"requests": {"cpu": "1"}}}
    status = {"containerStatuses": [held], "conditions": conditions}
    assert pod_requests({"spec": {"containers": [container("8")]}, "status": status})["cpu"] == cpu
