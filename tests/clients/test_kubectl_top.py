"""`kubectl top` and the pages of metrics against a whole server with a simulated node."""

import json
from collections.abc import Iterator

import pytest

from tests.support.prometheus import parse
from tests.support.server_process import TestServer, running_server
from tests.support.waiting import wait_for

pytestmark = pytest.mark.client

PODS = """
apiVersion: v1
kind: Pod
metadata:
  name: small
  labels: {app: web}
  annotations: {fake.mkube.io/cpu: 100m, fake.mkube.io/memory: 32Mi}
spec: {containers: [{name: main, image: "web:1"}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: large
  annotations: {fake.mkube.io/cpu.main: "1500m", fake.mkube.io/cpu.side: 20m, fake.mkube.io/memory: 64Mi}
spec: {containers: [{name: main, image: "web:1"}, {name: side, image: "side:1"}]}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestServer]:
    data_dir = tmp_path_factory.mktemp("top")
    with running_server(data_dir, "--container-runtime", "fake", "--node-name", "one") as running:
        running.kubectl("apply", "-f", "-", text=PODS)
        running.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=30s")
        wait_for(lambda: "small" in running.kubectl("top", "pod", check=False), "there are figures")
        yield running


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_top_pod(server: TestServer) -> None:
    assert rows(server.kubectl("top", "pod")) == [
        ["NAME", "CPU(cores)", "MEMORY(bytes)"], ["large", "1520m", "128Mi"], ["small", "100m", "32Mi"],
    ]  # fmt: skip
    assert rows(server.kubectl("top", "pod", "-l", "app=web", "--no-headers")) == [["small", "100m", "32Mi"]]
    assert rows(server.kubectl("top", "pod", "small", "--no-headers")) == [["small", "100m", "32Mi"]]
    by_cpu = rows(server.kubectl("top", "pod", "-A", "--sort-by=cpu", "--sum", "--no-headers"))
    assert by_cpu[:2] == [["default", "large", "1520m", "128Mi"], ["default", "small", "100m", "32Mi"]]
    assert by_cpu[-1] == ["1620m", "160Mi"]
    assert rows(server.kubectl("top", "pod", "large", "--containers", "--no-headers")) == [
        ["large", "main", "1500m", "64Mi"], ["large", "side", "20m", "64Mi"],
    ]  # fmt: skip
    assert '"none" not found' in server.kubectl("top", "pod", "none", check=False)


def test_top_node(server: TestServer) -> None:
    header, one = rows(server.kubectl("top", "node"))
    assert header == ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"]
    assert one[:2] == ["one", "1620m"]
    assert one[3] == "160Mi"
    assert rows(server.kubectl("top", "node", "one", "--no-headers")) == [one]


def test_the_metrics_api_is_a_local_one(server: TestServer) -> None:
    assert rows(server.kubectl("get", "apiservice", "v1beta1.metrics.k8s.io", "--no-headers"))[0][1:3] == [
        "Local", "True",
    ]  # fmt: skip
    table = rows(server.kubectl("get", "pods.metrics.k8s.io", "small"))
    assert table[0] == ["NAME", "CPU", "MEMORY", "WINDOW"]
    assert table[1][:3] == ["small", "100m", "32Mi"]
    raw = json.loads(server.kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods"))
    assert (raw["kind"], len(raw["items"])) == ("PodMetricsList", 2)
    assert "usage" in server.kubectl("explain", "nodes", "--api-version=metrics.k8s.io/v1beta1")


def test_whoever_may_view_a_namespace_may_see_what_its_pods_use(server: TestServer) -> None:
    server.kubectl("create", "rolebinding", "see", "--clusterrole=view", "--user=ann")
    assert rows(server.kubectl("top", "pod", "small", "--as=ann", "--no-headers")) == [["small", "100m", "32Mi"]]
    assert "Forbidden" in server.kubectl("top", "node", "--as=ann", check=False)
    assert "Forbidden" in server.kubectl("top", "pod", "-n", "kube-system", "--as=ann", check=False)


def test_pages_of_metrics(server: TestServer) -> None:
    found = parse(server.kubectl("get", "--raw", "/metrics"))
    assert found.total("apiserver_request_total", resource="pods", verb="LIST") > 0
    assert found.total("workqueue_adds_total") > 0
    assert found.total("scheduler_schedule_attempts_total", result="scheduled") == 2
    node = "/api/v1/nodes/one/proxy"
    assert parse(server.kubectl("get", "--raw", f"{node}/metrics")).value("kubelet_running_pods") == 2
    found = parse(server.kubectl("get", "--raw", f"{node}/metrics/cadvisor"))
    assert found.value("container_memory_working_set_bytes", pod="small", container="main") == 32 * 2**20
    found = parse(server.kubectl("get", "--raw", f"{node}/metrics/resource"))
    assert len(found.values("container_cpu_usage_seconds_total")) == 3
    parse(server.kubectl("get", "--raw", f"{node}/metrics/probes"))
    summary = json.loads(server.kubectl("get", "--raw", f"{node}/stats/summary"))
    assert summary["node"]["cpu"]["usageNanoCores"] == 1_620_000_000
    assert "NotFound" in server.kubectl("get", "--raw", f"{node}/metrics/other", check=False)
    for path in ("/metrics", f"{node}/metrics", f"{node}/stats/summary"):
        assert "Forbidden" in server.kubectl("get", "--raw", path, "--as=ann", check=False)


def test_the_monitoring_group_may_read_metrics(server: TestServer) -> None:
    as_prometheus = ("--as=prometheus", "--as-group=system:monitoring", "--as-group=system:authenticated")
    assert "apiserver_request_total" in server.kubectl("get", "--raw", "/metrics", *as_prometheus)


def test_rights_to_single_pages_of_a_node(server: TestServer) -> None:
    server.kubectl("create", "clusterrole", "scrape", "--verb=get", "--resource=nodes/metrics")
    server.kubectl("create", "clusterrolebinding", "scrape", "--clusterrole=scrape", "--user=scraper")
    node = "/api/v1/nodes/one/proxy"
    for page in ("/metrics", "/metrics/cadvisor", "/metrics/resource", "/metrics/probes"):
        parse(server.kubectl("get", "--raw", node + page, "--as=scraper"))
    for page in ("/stats/summary", "/pods", "/healthz", "/exec/metrics", ""):
        assert "Forbidden" in server.kubectl("get", "--raw", node + page, "--as=scraper", check=False)
    body = "/dev/null"
    assert "Forbidden" in server.kubectl("create", "--raw", f"{node}/metrics", "-f", body, "--as=scraper", check=False)


def test_autoscale(server: TestServer) -> None:
    server.kubectl("create", "deployment", "web", "--image=web:1")
    server.kubectl("autoscale", "deployment", "web", "--cpu-percent=50", "--min=2", "--max=4")
    wait_for(lambda: server.kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "2", "it has two")
    row = rows(server.kubectl("get", "hpa", "web", "--no-headers"))[0]
    assert row[:2] == ["web", "Deployment/web"]
    assert row[-4:-2] == ["2", "4"]
    wait_for(lambda: "SuccessfulRescale" in server.kubectl("describe", "hpa", "web"), "the event is there")
    assert "SucceededRescale" in server.kubectl("describe", "hpa", "web")
