"""URLs become the one tuple that authorization and dispatch share."""

import pytest

from minikube_py.apiserver.request_info import RequestInfo, parse_request

POD = "/api/v1/namespaces/ns/pods/p"


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/api/v1/namespaces/ns/pods", {}, ("list", "", "v1", "pods", "", "ns", "")),
        ("GET", "/api/v1/pods", {"watch": "true"}, ("watch", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/pods", {"watch": "0"}, ("list", "", "v1", "pods", "", "", "")),
        ("GET", POD, {}, ("get", "", "v1", "pods", "", "ns", "p")),
        ("HEAD", POD, {}, ("get", "", "v1", "pods", "", "ns", "p")),
        ("POST", "/apis/apps/v1/namespaces/ns/deployments", {}, ("create", "apps", "v1", "deployments", "", "ns", "")),
        ("PUT", "/apis/apps/v1/namespaces/ns/deployments/d/status", {},
         ("update", "apps", "v1", "deployments", "status", "ns", "d")),
        ("PATCH", POD, {}, ("patch", "", "v1", "pods", "", "ns", "p")),
        ("DELETE", POD, {}, ("delete", "", "v1", "pods", "", "ns", "p")),
        ("DELETE", "/api/v1/nodes", {}, ("deletecollection", "", "v1", "nodes", "", "", "")),
        ("GET", "/api/v1/namespaces", {}, ("list", "", "v1", "namespaces", "", "", "")),
        ("GET", "/api/v1/namespaces/ns", {}, ("get", "", "v1", "namespaces", "", "ns", "ns")),
        ("PUT", "/api/v1/namespaces/ns/finalize", {}, ("update", "", "v1", "namespaces", "finalize", "ns", "ns")),
        ("GET", "/api/v1/namespaces/ns/status", {}, ("get", "", "v1", "namespaces", "status", "ns", "ns")),
        ("GET", POD + "/proxy/a/b", {}, ("get", "", "v1", "pods", "proxy", "ns", "p")),
        ("GET", "/api/v1/watch/namespaces/ns/pods/p", {}, ("watch", "", "v1", "pods", "", "ns", "p")),
        ("GET", "/api/v1/watch/pods", {}, ("watch", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/pods", {"fieldSelector": "metadata.name=p"}, ("list", "", "v1", "pods", "", "", "p")),
    ],
)  # fmt: skip
def test_resource_urls(method: str, path: str, query: dict[str, str], expected: tuple[str, ...]) -> None:
    info = parse_request(path, method, query)
    assert info.is_resource
    found = (info.verb, info.group, info.version, info.resource, info.subresource, info.namespace, info.name)
    assert found == expected


def test_the_path_below_a_subresource_is_kept() -> None:
    assert parse_request(POD + "/proxy/a/b", "GET").parts == ("pods", "p", "proxy", "a", "b")


@pytest.mark.parametrize(
    "path", ["/", "/version", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/readyz"]
)
def test_other_urls(path: str) -> None:
    assert parse_request(path, "GET") == RequestInfo(path=path, verb="get")
