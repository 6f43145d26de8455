"""Stock kubectl and an API that another server of the cluster serves, behind an APIService."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from minikube_py.apiserver.streaming.proxied_http import SocketStream
from minikube_py.bootstrap import certificates
from minikube_py.client.node_connection import ByteStream
from tests.support.cluster import HttpsCluster, https_cluster
from tests.support.http_calls import http_calls
from tests.support.kubectl import Kubectl

pytestmark = pytest.mark.client

GROUP_VERSION = "wardle.example.com/v1alpha1"
RESOURCES = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": GROUP_VERSION,
    "resources": [
        {
            "name": "flunders",
            "singularName": "flunder",
            "namespaced": True,
            "kind": "Flunder",
            "verbs": ["get", "list", "create", "watch"],
            "shortNames": ["fl"],
        }
    ],
}


class Backend:
    """Another API server: one kind, kept in a dict. `asked` are the identities it was told."""

    def __init__(self, directory: Path) -> None:
        self.authority = certificates.make_authority("other-ca", timedelta(days=1))
        self.directory = directory
        self.objects: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, list[str]]] = []
        self.peers: list[str] = []
        self.port = 0
        self.certificate = b""

    @asynccontextmanager
    async def running(self, header_ca: bytes) -> AsyncIterator[None]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=header_ca.decode())
        context.verify_mode = ssl.CERT_REQUIRED
        key = certificates.make_key()
        request = certificates.LeafRequest("api", names=("api.wardle.svc",), usages=("server",))
        leaf = certificates.sign_leaf(self.authority, key.public_key(), request)
        self.certificate = certificates.to_pem(leaf)
        file = self.directory / "server.pem"
        file.write_bytes(certificates.to_pem(leaf) + certificates.key_to_pem(key))
        context.load_cert_chain(file)
        runner = web.ServerRunner(web.Server(self.handle))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield
        finally:
            await runner.cleanup()

    async def dial(self, _namespace: str, _service: str, _port: str) -> ByteStream:
        return SocketStream(*await asyncio.open_connection("127.0.0.1", self.port))

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        groups = request.headers.getall("X-Remote-Group", [])
        self.asked.append((request.headers.get("X-Remote-User", ""), groups))
        if "Authorization" in request.headers:
            return web.json_response({"message": "a credential was passed on"}, status=500)
        if request.path == f"/apis/{GROUP_VERSION}":
            return web.json_response(RESOURCES)
        if not request.path.startswith(f"/apis/{GROUP_VERSION}/namespaces/default/flunders"):
            return web.json_response({"kind": "Status", "code": 404, "message": request.path}, status=404)
        name = request.path.rpartition("/")[2]
        if request.method == "POST":
            body = await request.json()
            body["metadata"] |= {"namespace": "default", "uid": "u", "resourceVersion": "1"}
            self.objects[body["metadata"]["name"]] = body
            return web.json_response(body, status=201)
        if name in self.objects:
            return web.json_response(self.objects[name])
        items = list(self.objects.values())
        return web.json_response({"kind": "FlunderList", "apiVersion": GROUP_VERSION, "metadata": {}, "items": items})


def api_service(ca: bytes) -> str:
    return json.dumps({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1alpha1.wardle.example.com"},
        "spec": {
            "group": "wardle.example.com",
            "version": "v1alpha1",
            "service": {"namespace": "wardle", "name": "api"},
            "caBundle": base64.b64encode(ca).decode(),
            "groupPriorityMinimum": 2000,
            "versionPriority": 200,
        },
    })  # fmt: skip


FLUNDER = '{"apiVersion":"wardle.example.com/v1alpha1","kind":"Flunder","metadata":{"name":"one"},"spec":{}}'


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    return Backend(tmp_path)


@pytest.fixture
async def cluster(tmp_path: Path, backend: Backend) -> AsyncIterator[HttpsCluster]:
    async with https_cluster(tmp_path, dial=backend.dial) as running:
        yield running


async def test_kubectl_uses_the_api_of_another_server(cluster: HttpsCluster, backend: Backend) -> None:
    kubectl = Kubectl(cluster.kubeconfig)
    local = await kubectl("get", "apiservices", "v1.apps", "v1.", "--no-headers")
    assert [line.split()[1:3] for line in local.splitlines()] == [["Local", "True"], ["Local", "True"]]
    async with backend.running(cluster.pki.request_header_ca_pem):
        await kubectl("create", "namespace", "wardle")
        await kubectl("apply", "-f", "-", stdin=api_service(certificates.to_pem(backend.authority.certificate)))
        row = await kubectl("get", "apiservice", "v1alpha1.wardle.example.com", "--no-headers")
        assert row.split()[1:4] == ["wardle/api", "False", "(ServiceNotFound)"]

        await kubectl("create", "service", "clusterip", "api", "-n", "wardle", "--tcp=443:443")
        await kubectl("wait", "--for=condition=Available", "apiservice/v1alpha1.wardle.example.com", "--timeout=30s")
        assert await kubectl("api-resources", "--api-group=wardle.example.com", "--no-headers", "-o", "name") == (
            "flunders.wardle.example.com\n"
        )
        made = await kubectl("create", "--validate=false", "-f", "-", stdin=FLUNDER)
        assert made == "flunder.wardle.example.com/one created\n"
        assert await kubectl("get", "fl", "one", "-o", "jsonpath={.metadata.resourceVersion}") == "1"
        assert backend.asked[-1] == ("system:admin", ["system:masters", "system:authenticated"])
        listed = await kubectl("get", "--raw", "/apis/wardle.example.com")
        assert json.loads(listed)["preferredVersion"]["version"] == "v1alpha1"
        await kubectl("delete", "apiservice", "v1alpha1.wardle.example.com")
        gone = await kubectl.fails("get", "flunders.wardle.example.com")
        assert "the server doesn't have a resource type" in gone


async def test_who_asks_is_said_by_the_server_alone(cluster: HttpsCluster, backend: Backend) -> None:
    kubectl = Kubectl(cluster.kubeconfig)
    async with backend.running(cluster.pki.request_header_ca_pem), http_calls(cluster) as http:
        await kubectl("create", "namespace", "wardle")
        await kubectl("create", "service", "clusterip", "api", "-n", "wardle", "--tcp=443:443")
        await kubectl("apply", "-f", "-", stdin=api_service(certificates.to_pem(backend.authority.certificate)))
        await kubectl("wait", "--for=condition=Available", "apiservice/v1alpha1.wardle.example.com", "--timeout=30s")
        path = f"/apis/{GROUP_VERSION}/namespaces/default/flunders"
        forged = {"X-Remote-User": "root", "X-Remote-Group": "others"}
        assert (await http("GET", path, headers=forged)).code == 200
        assert backend.asked[-1][0] != "root"
        assert "others" not in backend.asked[-1][1]
        assert (await http("GET", path, token="")).code == 401
        nobody = await http("GET", path, headers={"Impersonate-User": "jane"})
        assert (nobody.code, "flunders.wardle.example.com is forbidden" in nobody.message) == (403, True)


async def test_a_server_is_trusted_by_its_certificate_alone(cluster: HttpsCluster, backend: Backend) -> None:
    """As in Go, a bundle may hold the certificate itself instead of the authority that signed it."""
    kubectl = Kubectl(cluster.kubeconfig)
    async with backend.running(cluster.pki.request_header_ca_pem):
        await kubectl("create", "namespace", "wardle")
        await kubectl("create", "service", "clusterip", "api", "-n", "wardle", "--tcp=443:443")
        await kubectl("apply", "-f", "-", stdin=api_service(backend.certificate))
        await kubectl("wait", "--for=condition=Available", "apiservice/v1alpha1.wardle.example.com", "--timeout=30s")


async def test_a_server_with_another_certificate_is_not_trusted(cluster: HttpsCluster, backend: Backend) -> None:
    kubectl = Kubectl(cluster.kubeconfig)
    other = certificates.make_authority("not-its-ca", timedelta(days=1))
    async with backend.running(cluster.pki.request_header_ca_pem):
        await kubectl("create", "namespace", "wardle")
        await kubectl("create", "service", "clusterip", "api", "-n", "wardle", "--tcp=443:443")
        await kubectl("apply", "-f", "-", stdin=api_service(certificates.to_pem(other.certificate)))
        failed = "jsonpath={.status.conditions[0].reason}=FailedDiscoveryCheck"
        await kubectl("wait", f"--for={failed}", "apiservice/v1alpha1.wardle.example.com", "--timeout=30s")
        answer = await kubectl.fails("get", "--raw", f"/apis/{GROUP_VERSION}/namespaces/default/flunders")
        assert "service unavailable" in answer
    assert backend.asked == []
