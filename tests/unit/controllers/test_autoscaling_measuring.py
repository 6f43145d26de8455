"""What autoscalers ask the metrics APIs, and what they make of the answers."""

from typing import Any, cast
from urllib.parse import unquote

import pytest

from minikube_py.client.protocol import Client
from minikube_py.controllers.autoscaling.measuring import MetricsReader
from minikube_py.controllers.autoscaling.metrics import InvalidMetric, MetricEvaluator, Outcome, Scaled
from minikube_py.controllers.autoscaling.replicas import CannotCalculate, Situation
from minikube_py.objects.errors import NotFound, Object, ServiceUnavailable
from minikube_py.resources.catalog import built_in_kinds
from minikube_py.resources.kind import ResourceKind

STAMP = "2026-01-01T00:00:00Z"
CUSTOM = "/apis/custom.metrics.k8s.io"
KINDS = built_in_kinds()


class Answers:
    """`raw` of a client, by path."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self._answers = answers
        self.asked: list[str] = []

    async def raw(self, method: str, path: str, body: Object | None = None) -> Any:
        assert method == "GET"
        self.asked.append(unquote(path))
        for prefix, answer in self._answers.items():
            if unquote(path).startswith(prefix):
                if isinstance(answer, Exception):
                    raise answer
                return answer
        raise NotFound("the server could not find the requested resource")


def find_kind(reference: Object) -> ResourceKind:
    for kind in KINDS.all():
        if kind.kind == reference["kind"]:
            return kind
    raise CannotCalculate("no such kind")


def ready_pod(name: str) -> Object:
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": STAMP}
    return {
        "metadata": {"name": name},
        "spec": {"containers": []},
        "status": {"phase": "Running", "conditions": [condition]},
    }


SCALED = Scaled("ns", "app=a,tier in (x,y)", 2, Situation(2, (ready_pod("a"), ready_pod("b"))))


async def evaluate(answers: dict[str, Any], spec: Object) -> tuple[Outcome, list[str]]:
    client = Answers(answers)
    reader = MetricsReader(cast(Client, client))
    return await MetricEvaluator(reader, find_kind).evaluate(spec, SCALED), client.asked


def served(*versions: str) -> Object:
    return {"versions": [{"version": version} for version in versions]}


def value(amount: str, name: str = "a") -> Object:
    return {"describedObject": {"name": name}, "timestamp": STAMP, "value": amount}


def pods_metric(**metric: Any) -> Object:
    target = {"type": "AverageValue", "averageValue": "10"}
    return {"type": "Pods", "pods": {"metric": {"name": "qps", **metric}, "target": target}}


async def test_a_metric_of_pods() -> None:
    items = {"items": [value("15"), value("25500m", "b")]}
    outcome, asked = await evaluate({f"{CUSTOM}/v1beta2": items, CUSTOM: served("v1beta1", "v1beta2")}, pods_metric())
    assert outcome.replicas == 5
    assert outcome.status["pods"]["current"] == {"averageValue": "20250m"}
    assert asked[1] == (
        f"{CUSTOM}/v1beta2/namespaces/ns/pods/*/qps?metricLabelSelector=&labelSelector=app=a,tier in (x,y)"
    )


async def test_series_are_selected() -> None:
    answers = {f"{CUSTOM}/v1beta1": {"items": [value("10"), value("10", "b")]}, CUSTOM: served("v1beta1")}
    spec = pods_metric(selector={"matchLabels": {"verb": "GET"}})
    outcome, asked = await evaluate(answers, spec)
    assert outcome.replicas == 2
    assert "/v1beta1/" in asked[1]
    assert "metricLabelSelector=verb=GET&" in asked[1]


@pytest.mark.parametrize(
    ("described", "path"),
    [
        ({"kind": "Service", "name": "s"}, "namespaces/ns/services/s/hits"),
        ({"kind": "Ingress", "name": "i"}, "namespaces/ns/ingresses.networking.k8s.io/i/hits"),
        ({"kind": "Namespace", "name": "n"}, "namespaces/n/metrics/hits"),
        ({"kind": "Node", "name": "n"}, "nodes/n/hits"),
    ],
)
async def test_a_metric_of_an_object(described: Object, path: str) -> None:
    answers = {f"{CUSTOM}/v1beta2": {"items": [value("40")]}, CUSTOM: served("v1beta2")}
    source = {"describedObject": described, "metric": {"name": "hits"}, "target": {"type": "Value", "value": "10"}}
    outcome, asked = await evaluate(answers, {"type": "Object", "object": source})
    assert asked[1] == f"{CUSTOM}/v1beta2/{path}?metricLabelSelector="
    assert (outcome.replicas, outcome.status["object"]["current"]) == (8, {"value": "40"})
    source["target"] = {"type": "AverageValue", "averageValue": "10"}
    outcome, _ = await evaluate(answers, {"type": "Object", "object": source})
    assert (outcome.replicas, outcome.status["object"]["current"]) == (4, {"averageValue": "20"})


async def test_an_external_metric_is_a_sum() -> None:
    answers = {"/apis/external.metrics.k8s.io/v1beta1": {"items": [{"value": "30"}, {"value": "15"}]}}
    metric = {"name": "queue", "selector": {"matchLabels": {"q": "a"}}}
    spec = {"type": "External", "external": {"metric": metric, "target": {"type": "Value", "value": "30"}}}
    outcome, asked = await evaluate(answers, spec)
    assert asked == ["/apis/external.metrics.k8s.io/v1beta1/namespaces/ns/queue?labelSelector=q=a"]
    assert (outcome.replicas, outcome.name) == (3, "external metric queue(q=a)")


def pod_metrics(name: str, **containers: Object) -> Object:
    listed = [{"name": container, "usage": usage} for container, usage in containers.items()]
    metadata = {"name": name, "namespace": "ns"}
    return {"metadata": metadata, "timestamp": STAMP, "window": "15s", "containers": listed}


async def test_the_use_of_a_resource() -> None:
    items = [
        pod_metrics("a", x={"cpu": "100m", "memory": "1Mi"}, y={"cpu": "1500u"}),
        pod_metrics("b", x={"cpu": "5n", "memory": "2Mi"}),
    ]
    reader = MetricsReader(cast(Client, Answers({"/apis/metrics.k8s.io/v1beta1/namespaces/ns/pods": {"items": items}})))
    found = await reader.resource("cpu", "ns", "")
    assert {name: m.value for name, m in found.items()} == {"a": 102, "b": 1}  # rounded up
    assert found["a"].window == 15
    assert set(await reader.resource("memory", "ns", "")) == {"b"}  # of a, one container has no figure
    assert {n: m.value for n, m in (await reader.resource("cpu", "ns", "", "x")).items()} == {"a": 100, "b": 1}
    with pytest.raises(CannotCalculate, match="container y not present in metrics for pod ns/b"):
        await reader.resource("cpu", "ns", "", "y")


def resource(percent: int) -> Object:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


@pytest.mark.parametrize(
    ("answers", "spec", "reason", "text"),
    [
        (
            {"/apis/metrics.k8s.io": {"items": []}},
            resource(50),
            "FailedGetResourceMetric",
            "failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource "
            "metrics API",
        ),
        (
            {"/apis/metrics.k8s.io": ServiceUnavailable("away")},
            resource(50),
            "FailedGetResourceMetric",
            "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from "
            "resource metrics API: away",
        ),
        (
            {},
            pods_metric(),
            "FailedGetPodsMetric",
            "unable to get metric qps: unable to fetch metrics from custom metrics API: no custom metrics API "
            "(custom.metrics.k8s.io) registered",
        ),
        (
            {f"{CUSTOM}/v1beta2": {"items": []}, CUSTOM: served("v1beta2")},
            pods_metric(),
            "FailedGetPodsMetric",
            "unable to get metric qps: no metrics returned from custom metrics API",
        ),
        ({}, {"type": "Other"}, "InvalidMetricSourceType", 'unknown metric source type "Other"'),
    ],
)
async def test_failures_are_told(answers: dict[str, Any], spec: Object, reason: str, text: str) -> None:
    with pytest.raises(InvalidMetric) as failure:
        await evaluate(answers, spec)
    assert (failure.value.reason, failure.value.text) == (reason, text)
