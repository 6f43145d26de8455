"""Tables: the rows of sample objects as kubectl shows them."""

from collections.abc import Iterator
from typing import Any

import pytest

from minikube_py import clock
from minikube_py.resources.printing import human_duration
from tests.unit.resources.checking import kind_of

CREATED = "2024-01-01T00:00:00Z"
TEMPLATE = {"spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:2"}]}}


@pytest.fixture(autouse=True)
def _two_hours_later() -> Iterator[None]:
    clock.set_source(lambda: clock.parse(CREATED).timestamp() + 7200)
    yield
    clock.reset_source()


def row(resource: str, obj: dict[str, Any]) -> dict[str, Any]:
    rules = kind_of(resource).rules
    assert rules.row is not None
    cells = rules.row({"metadata": {"name": "n", "creationTimestamp": CREATED}, **obj})
    return dict(zip((column.name for column in rules.columns), cells, strict=True))


def status(name: str, **state: Any) -> dict[str, Any]:
    return {"name": name, "ready": False, "restartCount": 0, **state}


SPEC = {"containers": [{"name": "c"}], "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}]}


@pytest.mark.parametrize(
    ("obj", "cells"),
    [
        ({"status": {"phase": "Pending"}}, ("0/2", "Pending", "0")),
        (
            {"status": {"phase": "Pending", "initContainerStatuses": [status("i", state={"running": {}})]}},
            ("0/2", "Init:0/2", "0"),
        ),
        (
            {
                "status": {
                    "phase": "Pending",
                    "initContainerStatuses": [status("i", state={"waiting": {"reason": "CrashLoopBackOff"}})],
                }
            },
            ("0/2", "Init:CrashLoopBackOff", "0"),
        ),
        (
            {
                "status": {
                    "phase": "Running",
                    "initContainerStatuses": [
                        status("i", state={"terminated": {"exitCode": 0}}),
                        status("s", state={"running": {}}, started=True, ready=True),
                    ],
                    "containerStatuses": [
                        status(
                            "c",
                            state={"running": {}},
                            ready=True,
                            restartCount=3,
                            lastState={"terminated": {"finishedAt": "2024-01-01T01:55:00Z"}},
                        )
                    ],
                }
            },
            ("2/2", "Running", "3 (5m ago)"),
        ),
        (
            {
                "status": {
                    "phase": "Running",
                    "containerStatuses": [status("c", state={"waiting": {"reason": "ImagePullBackOff"}})],
                }
            },
            ("0/2", "ImagePullBackOff", "0"),
        ),
        (
            {
                "status": {
                    "phase": "Succeeded",
                    "containerStatuses": [status("c", state={"terminated": {"reason": "Completed"}})],
                }
            },
            ("0/2", "Completed", "0"),
        ),
        (
            {"status": {"phase": "Failed", "containerStatuses": [status("c", state={"terminated": {"exitCode": 3}})]}},
            ("0/2", "ExitCode:3", "0"),
        ),
        (
            {"metadata": {"name": "n", "deletionTimestamp": CREATED}, "status": {"phase": "Running"}},
            ("0/2", "Terminating", "0"),
        ),
        (
            {
                "status": {
                    "phase": "Pending",
                    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
                }
            },
            ("0/2", "SchedulingGated", "0"),
        ),
    ],
)  # fmt: skip
def test_pods(obj: dict[str, Any], cells: tuple[str, ...]) -> None:
    found = row("pods", {"spec": SPEC, **obj})
    assert (found["Ready"], found["Status"], found["Restarts"]) == cells


def test_wide_pod_columns_say_why() -> None:
    message = "0/1 nodes are available: 1 Insufficient cpu."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    obj = {"spec": SPEC, "status": {"phase": "Pending", "conditions": [condition]}}
    found = row("pods", obj)
    assert found["Why"] == message
    assert (found["IP"], found["Node"], found["Nominated Node"], found["Readiness Gates"]) == ("<none>",) * 4
    assert [c.priority for c in kind_of("pods").rules.columns] == [0] * 5 + [1] * 5


@pytest.mark.parametrize(
    ("resource", "obj", "cells"),
    [
        (
            "deployments.apps",
            {
                "spec": {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE},
                "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 2},
            },
            ["n", "2/3", 3, 2, "120m", "a,b", "x:1,y:2", "a=b"],
        ),
        (
            "services",
            {
                "spec": {
                    "type": "NodePort",
                    "clusterIP": "10.0.0.1",
                    "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
                    "selector": {"a": "b"},
                }
            },
            ["n", "NodePort", "10.0.0.1", "<none>", "80:30080/TCP,53/UDP", "120m", "a=b"],
        ),
        (
            "services",
            {"spec": {"type": "LoadBalancer"}},
            ["n", "LoadBalancer", "<none>", "<pending>", "<none>", "120m", "<none>"],
        ),
        (
            "nodes",
            {
                "metadata": {
                    "name": "n",
                    "creationTimestamp": CREATED,
                    "labels": {"node-role.kubernetes.io/control-plane": ""},
                },
                "spec": {"unschedulable": True},
                "status": {
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "addresses": [{"type": "InternalIP", "address": "10.0.0.2"}],
                    "nodeInfo": {"kubeletVersion": "v1.37.0"},
                },
            },
            [
                "n", "Ready,SchedulingDisabled", "control-plane", "120m", "v1.37.0", "10.0.0.2", "<none>",
                "<unknown>", "<unknown>", "<unknown>",
            ],
        ),
        (
            "jobs.batch",
            {
                "spec": {"completions": 2, "template": TEMPLATE},
                "status": {"succeeded": 1, "startTime": "2024-01-01T01:59:00Z"},
            },
            ["n", "Running", "1/2", "60s", "120m", "a,b", "x:1,y:2", "<none>"],
        ),
        (
            "persistentvolumeclaims",
            {
                "spec": {"volumeName": "pv", "storageClassName": "s", "volumeMode": "Filesystem"},
                "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]},
            },
            ["n", "Bound", "pv", "1Gi", "RWO", "s", "<unset>", "120m", "Filesystem"],
        ),
        (
            "events",
            {
                "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec"},
                "reason": "Started",
                "type": "Normal",
                "message": "ok\n",
                "firstTimestamp": CREATED,
                "lastTimestamp": "2024-01-01T01:59:50Z",
                "count": 4,
                "source": {"component": "kubelet", "host": "h"},
            },
            ["10s", "Normal", "Started", "pod/p", "spec", "kubelet, h", "ok", "120m", 4, "n"],
        ),
        (
            "endpoints",
            {
                "subsets": [
                    {"addresses": [{"ip": f"10.0.0.{i}"} for i in range(4)], "ports": [{"port": 80, "name": "a"}]}
                ]
            },
            ["n", "10.0.0.0:80,10.0.0.1:80,10.0.0.2:80 + 1 more...", "120m"],
        ),
        (
            "ingresses.networking.k8s.io",
            {"spec": {"rules": [{"host": "a.b"}], "tls": [{}], "ingressClassName": "nginx"}},
            ["n", "nginx", "a.b", "", "80, 443", "120m"],
        ),
        ("storageclasses.storage.k8s.io", {"provisioner": "p"}, ["n", "p", "Delete", "<unset>", False, "120m"]),
        ("roles.rbac.authorization.k8s.io", {}, ["n", CREATED]),
        ("namespaces", {"status": {"phase": "Active"}}, ["n", "Active", "120m"]),
    ],
)  # fmt: skip
def test_rows(resource: str, obj: dict[str, Any], cells: list[Any]) -> None:
    assert list(row(resource, obj).values()) == cells


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (10799, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 60, "3h1m"),
        (47 * 3600, "47h"),
        (49 * 3600, "2d1h"),
        (8 * 86400, "8d"),
        (800 * 86400, "2y70d"),
        (-5, "<invalid>"),
    ],
)
def test_durations(seconds: int, text: str) -> None:
    assert human_duration(seconds) == text
