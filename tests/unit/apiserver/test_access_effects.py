"""What the server lets happen over TLS: creating by other verbs, reaching other namespaces, and other nodes."""

from typing import Any

import aiohttp
import pytest

from minikube_py.client.protocol import WriteOptions
from minikube_py.resources.kind import GVR
from tests.support.http_calls import HttpCalls

RBAC = "rbac.authorization.k8s.io"
MAPS = "/api/v1/namespaces/default/configmaps"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
LEASE: dict[str, Any] = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"}}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
SPDY = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": "v4.channel.k8s.io"}


def acting(name: str, *groups: str) -> dict[str, str]:
    headers = {"Impersonate-User": name}
    return headers | ({"Impersonate-Group": groups[0]} if groups else {})


NODE_A = acting("system:node:a", "system:nodes")
BOB = acting("bob")


async def allow(http: HttpCalls, user: str, verbs: str, resources: str, group: str = "") -> None:
    """A role in `default` for a user."""
    client, name = http.cluster.client(), f"{user}-{verbs}".replace(" ", "-").replace("*", "all")
    rule = {"verbs": verbs.split(), "resources": resources.split(), "apiGroups": [group]}
    metadata = {"name": name, "namespace": "default"}
    await client.create(GVR(RBAC, "v1", "roles"), {"metadata": metadata, "rules": [rule]})
    reference = {"apiGroup": RBAC, "kind": "Role", "name": name}
    subjects = [{"apiGroup": RBAC, "kind": "User", "name": user}]
    bound = {"metadata": metadata, "roleRef": reference, "subjects": subjects}
    await client.create(GVR(RBAC, "v1", "rolebindings"), bound)


async def make_pod(http: HttpCalls, name: str, node: str) -> None:
    spec = {"nodeName": node, "containers": [{"name": "main", "image": "i"}]}
    pods, client = GVR("", "v1", "pods"), http.cluster.client()
    await client.create(pods, {"metadata": {"name": name, "namespace": "default"}, "spec": spec})
    running = WriteOptions(subresource="status")
    await client.patch(pods, name, {"status": {"phase": "Running"}}, "default", options=running)


async def test_applying_what_is_not_there_needs_create(http: HttpCalls) -> None:
    await allow(http, "bob", "patch", "configmaps")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}}
    refused = await http("PATCH", f"{MAPS}/a?fieldManager=bob", body, headers={**APPLY, **BOB})
    assert (refused.code, refused.json["reason"]) == (403, "Forbidden")
    assert (
        'User "bob" cannot create resource "configmaps" in API group "" in the namespace "default"' in refused.message
    )
    assert (await http("GET", f"{MAPS}/a")).code == 404
    await allow(http, "bob", "create", "configmaps")
    assert (await http("PATCH", f"{MAPS}/a?fieldManager=bob", body, headers={**APPLY, **BOB})).code == 201


async def test_updating_what_is_not_there_needs_create(http: HttpCalls) -> None:
    await allow(http, "bob", "update", "leases", "coordination.k8s.io")
    assert (await http("PUT", f"{LEASES}/a", LEASE, headers=BOB)).code == 403
    assert (await http("GET", f"{LEASES}/a")).code == 404
    await allow(http, "bob", "create", "leases", "coordination.k8s.io")
    assert (await http("PUT", f"{LEASES}/a", LEASE, headers=BOB)).code == 201


async def test_a_role_in_a_namespace_reaches_no_other_namespace(http: HttpCalls) -> None:
    await allow(http, "bob", "*", "*", "*")
    inside = "/api/v1/namespaces/default"
    assert (await http("GET", f"{inside}/configmaps", headers=BOB)).code == 200
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        body = None if method in ("GET", "DELETE") else {}
        for path in (f"{inside}/namespaces/kube-public", f"{inside}/namespaces/kube-public/finalize"):
            assert (await http(method, path, body, headers=BOB)).code in (404, 405), (method, path)
    assert (await http("GET", f"{inside}/namespaces", headers=BOB)).code == 404
    assert (await http("GET", f"{inside}/nodes", headers=BOB)).code == 404
    assert (await http("GET", f"{inside}//configmaps", headers=BOB)).code == 404
    assert (await http("GET", "/api/v1/namespaces/kube-public")).json["status"] == {"phase": "Active"}


@pytest.mark.parametrize("subresource", ["exec?command=ls&stdout=1", "attach?stdout=1", "portforward?ports=80"])
async def test_connecting_to_a_pod_needs_create_however_it_is_asked(http: HttpCalls, subresource: str) -> None:
    await make_pod(http, "p", "n1")
    await allow(http, "bob", "get list watch update patch delete", "pods pods/exec pods/attach pods/portforward")
    path = f"/api/v1/namespaces/default/pods/p/{subresource}"

    async def websocket(headers: dict[str, str]) -> int:
        protocols = ("v5.channel.k8s.io", "SPDY/3.1+portforward.k8s.io")
        sent = http.headers(None, headers)
        try:
            async with http.session.ws_connect(http.cluster.url + path, headers=sent, protocols=protocols):
                return 101
        except aiohttp.WSServerHandshakeError as error:
            return error.status

    for method in ("GET", "POST"):
        for upgrade in ({}, SPDY):
            assert (await http(method, path, headers={**upgrade, **BOB})).code == 403
    assert await websocket(BOB) == 403
    for method in ("PUT", "PATCH", "DELETE"):
        assert (await http(method, path, headers=BOB)).code == 403
    await allow(http, "bob", "create", "pods/exec pods/attach pods/portforward")
    assert await websocket(BOB) == 101
    for method in ("PUT", "PATCH", "DELETE"):
        assert (await http(method, path, headers=BOB)).code == 405


async def test_a_node_changes_nothing_of_another_node(http: HttpCalls) -> None:
    client = http.cluster.client()
    for node in ("a", "b"):
        await client.create(GVR("", "v1", "nodes"), {"metadata": {"name": node}})
        await make_pod(http, f"on-{node}", node)
    pods, leases = "/api/v1/namespaces/default/pods", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    merge = {"Content-Type": "application/merge-patch+json"}
    status = {"status": {"conditions": []}}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "on-b"}}
    mirror = {
        "metadata": {"name": "m", "annotations": {"kubernetes.io/config.mirror": "x"}},
        "spec": {"nodeName": "b", "containers": [{"name": "c", "image": "i"}]},
    }
    for method, path, body, more in (
        ("PATCH", "/api/v1/nodes/b", {"metadata": {"labels": {"x": "y"}}}, merge),
        ("PATCH", "/api/v1/nodes/b/status", status, merge),
        ("POST", "/api/v1/nodes", {"metadata": {"name": "c"}}, {}),
        ("PATCH", f"{pods}/on-b/status", status, merge),
        ("DELETE", f"{pods}/on-b", None, {}),
        ("POST", f"{pods}/on-b/eviction", eviction, {}),
        ("POST", pods, mirror, {}),
        ("POST", pods, {**mirror, "metadata": {"name": "m"}}, {}),
        ("POST", leases, {**LEASE, "metadata": {"name": "b"}}, {}),
        ("PUT", f"{leases}/b", {**LEASE, "metadata": {"name": "b"}}, {}),
        ("POST", "/apis/storage.k8s.io/v1/csinodes", {"metadata": {"name": "b"}, "spec": {"drivers": []}}, {}),
        ("PATCH", "/api/v1/nodes/a", {"metadata": {"labels": {"node-restriction.kubernetes.io/x": "y"}}}, merge),
        ("PATCH", "/api/v1/nodes/a", {"spec": {"taints": []}, "metadata": {"labels": {"team": "y"}}}, merge),
        ("GET", "/api/v1/nodes/b", None, {}),
        ("GET", f"{pods}/on-b", None, {}),
        ("GET", pods, None, {}),
        ("GET", f"{pods}?fieldSelector=spec.nodeName%3Db", None, {}),
        ("GET", f"{pods}?fieldSelector=spec.nodeName%3Da,spec.nodeName%3Db", None, {}),
        ("DELETE", pods, None, {}),
    ):
        answer = await http(method, path, body, headers={**more, **NODE_A})
        allowed = answer.code == 200 and method == "GET" and not answer.json["items"]
        assert answer.code == 403 or allowed, (method, path, answer.body)
    assert (await http("PATCH", "/api/v1/nodes/a/status", status, headers={**merge, **NODE_A})).code == 200
    assert (await http("PATCH", f"{pods}/on-a/status", status, headers={**merge, **NODE_A})).code == 200
    seen = await http("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Da", headers=NODE_A)
    assert [pod["metadata"]["name"] for pod in seen.json["items"]] == ["on-a"]
