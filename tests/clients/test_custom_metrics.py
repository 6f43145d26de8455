"""Autoscalers' questions to a metrics adapter, another server of the cluster behind an APIService."""

import base64
from pathlib import Path

import pytest
from aiohttp import web

from minikube_py.bootstrap import certificates
from minikube_py.controllers.autoscaling.measuring import MetricsReader
from minikube_py.controllers.autoscaling.replicas import CannotCalculate
from minikube_py.resources.kind import GVR
from tests.clients.test_aggregation import Backend
from tests.support.cluster import HttpsCluster, https_cluster
from tests.support.virtual_time import START_SECONDS

API_SERVICES = GVR("apiregistration.k8s.io", "v1", "apiservices")
NAMESPACES, SERVICES = GVR("", "v1", "namespaces"), GVR("", "v1", "services")
PODS = 400


class Adapter(Backend):
    """Serves the requests a second of each pod, in an answer of unknown length."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        groups = request.headers.getall("X-Remote-Group", [])
        self.asked.append((request.headers.get("X-Remote-User", ""), groups))
        if request.path == "/apis/custom.metrics.k8s.io/v1beta2":
            resources = [{"name": "pods/qps", "namespaced": True, "kind": "MetricValueList", "verbs": ["get"]}]
            body = {"kind": "APIResourceList", "groupVersion": "custom.metrics.k8s.io/v1beta2", "resources": resources}
            return web.json_response(body)
        if request.path != "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/pods/*/qps":
            return web.json_response({"kind": "Status", "code": 404, "message": "no such metric"}, status=404)
        assert request.query.get("labelSelector") == "app=a,tier in (x,y)"
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b'{"kind":"MetricValueList","items":[')
        for number in range(PODS):
            comma = b"," if number else b""
            text = '{"describedObject":{"name":"p%d"},"timestamp":"2026-01-01T00:00:00Z","value":"%dm"}'
            await response.write(comma + (text % (number, number)).encode())
        await response.write(b"]}")
        await response.write_eof()
        return response


async def serve(cluster: HttpsCluster, adapter: Adapter) -> None:
    client = cluster.client()
    await client.create(NAMESPACES, {"metadata": {"name": "wardle"}})
    await client.create(SERVICES, {"metadata": {"name": "api"}, "spec": {"ports": [{"port": 443}]}}, "wardle")
    spec = {
        "group": "custom.metrics.k8s.io",
        "version": "v1beta2",
        "service": {"namespace": "wardle", "name": "api"},
        "caBundle": base64.b64encode(certificates.to_pem(adapter.authority.certificate)).decode(),
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
    }
    name = "v1beta2.custom.metrics.k8s.io"
    made = await client.create(API_SERVICES, {"metadata": {"name": name}, "spec": spec})
    version = made["metadata"]["resourceVersion"]
    async for event in client.watch(API_SERVICES, resource_version=version):
        conditions = (event.object.get("status") or {}).get("conditions") or ()
        if event.object["metadata"]["name"] == name and any(c["status"] == "True" for c in conditions):
            return


async def test_an_adapter_is_asked_as_the_autoscaler(tmp_path: Path) -> None:
    adapter = Adapter(tmp_path)
    async with https_cluster(tmp_path, dial=adapter.dial) as cluster:
        user = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
        groups = ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated")
        reader = MetricsReader(cluster.client(user, groups))
        with pytest.raises(CannotCalculate, match="no custom metrics API"):
            await reader.pods({"name": "qps"}, "default", "")
        async with adapter.running(cluster.pki.request_header_ca_pem):
            await serve(cluster, adapter)
            found = await reader.pods({"name": "qps"}, "default", "app=a,tier in (x,y)")
            assert len(found) == PODS
            assert (found["p7"].value, found["p7"].time, found["p7"].window) == (7, START_SECONDS, 60)
            assert adapter.asked[-1] == (user, list(groups))
            with pytest.raises(CannotCalculate, match="no such metric"):
                await reader.pods({"name": "other"}, "default", "")
