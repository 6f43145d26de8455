"""Who may ask for what: every verb on every built-in resource, by every way a request can be written, for every user.

The expectations are rules, from the RBAC and Node authorization pages; the requests come from the catalog of kinds.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qsl

import orjson
import pytest

from minikube_py.apiserver.authn.protocol import Authenticated, Credentials
from minikube_py.apiserver.authz.catalog import Authorization, build_authorization
from minikube_py.apiserver.messages import HttpRequest, Reply
from minikube_py.apiserver.node_paths import node_paths
from minikube_py.apiserver.pipeline import run
from minikube_py.apiserver.raw_calls import MemoryExchange
from minikube_py.apiserver.records import StoreReader
from minikube_py.apiserver.server import ApiServer, ApiServerOptions
from minikube_py.bootstrap.rbac_policy import default_policy
from minikube_py.client.connected_nodes import ConnectedNodes
from minikube_py.resources.catalog import built_in_kinds
from minikube_py.resources.kind import ResourceKind
from minikube_py.store.memory import MemoryStore
from tests.support.identity import binding, user
from tests.support.object_reader import DictReader
from tests.support.request_forms import Question, forms_of, odd_forms

KINDS = built_in_kinds().all()
NODE_A, NODE_B = "node-a", "node-b"
USERS = {
    "no role": user("nobody"),
    "namespaced": user("owner"),
    "node a": user(f"system:node:{NODE_A}", "system:nodes"),
    "node b": user(f"system:node:{NODE_B}", "system:nodes"),
    "admin": user("root", "system:masters"),
}
ANONYMOUS = ""
DISCOVERY = ("/api", "/apis", "/openapi", "/healthz", "/livez", "/readyz", "/version")


def pod_of(node: str) -> dict[str, object]:
    """A pod on a node whose objects all carry the node's name."""
    volumes = [{"persistentVolumeClaim": {"claimName": node}}, {"configMap": {"name": node}}]
    spec = {
        "nodeName": node, "serviceAccountName": node, "imagePullSecrets": [{"name": node}], "volumes": volumes,
        "containers": [], "resourceClaims": [{"name": "c", "resourceClaimName": node}],
    }  # fmt: skip
    return {"metadata": {"name": node, "namespace": "web", "uid": node}, "spec": spec}


def related(reader: DictReader) -> Authorization:
    """The default policy; `owner` may do everything in the namespace web; each node has one pod there."""
    authorization = build_authorization(reader)
    for wanted in default_policy():
        authorization.rbac.observe(wanted.gvr.resource, wanted.obj)
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    authorization.rbac.observe("roles", {"metadata": {"name": "all", "namespace": "web"}, "rules": [everything]})
    owner = {"kind": "User", "name": "owner"}
    authorization.rbac.observe("rolebindings", binding("RoleBinding", "owner", ("Role", "all"), owner, "web"))
    for node in (NODE_A, NODE_B):
        authorization.node.observe_pod(pod_of(node))
        for group, plural, spec in (
            ("", "persistentvolumeclaims", {"volumeName": node}),
            ("", "persistentvolumes", {}),
            ("storage.k8s.io", "volumeattachments", {"nodeName": node}),
            ("resource.k8s.io", "resourceslices", {"nodeName": node}),
        ):
            kind = next(k for k in KINDS if (k.group, k.plural) == (group, plural))
            metadata = {"name": node, "namespace": "web"} if kind.namespaced else {"name": node}
            reader.add(kind.gvr, {"metadata": metadata, "spec": spec})
    return authorization


class NamedUsers:
    """Takes the bearer token as the name of one of USERS."""

    async def authenticate(self, credentials: Credentials) -> Authenticated | None:
        found = USERS.get(credentials.bearer_token)
        return None if found is None else Authenticated(found)


@dataclass
class Asked:
    """What a server made of a request."""

    code: int
    message: str

    @property
    def is_allowed(self) -> bool:
        return self.code not in (401, 403)


class Server:
    """A whole server of memory, nothing stored, without admission: every 403 is authorization's."""

    def __init__(self) -> None:
        store = MemoryStore()
        reader = StoreReader(store, built_in_kinds())
        authorizer = related(DictReader()).union
        self.api = ApiServer(ApiServerOptions(reader, authorizer, authenticator=NamedUsers()))
        for path, handler in node_paths(ConnectedNodes(), {}).items():
            self.api.paths.add(path, handler)

    async def ask(self, who: str, method: str, url: str, headers: dict[str, str] | None = None) -> Asked:
        path, _, query = url.partition("?")
        exchange = MemoryExchange(method, query, b"")
        exchange.headers = {"authorization": f"Bearer {who}", **(headers or {})} if who else dict(headers or {})
        request = HttpRequest(method, path, dict(parse_qsl(query)), exchange.headers, exchange)
        reply = await run(self.api.pipeline, request)
        assert isinstance(reply, Reply)
        body = orjson.loads(reply.body) if reply.code >= 400 and reply.body.startswith(b"{") else {}
        return Asked(reply.code, body.get("message", ""))


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def server(loop: asyncio.Runner) -> Server:
    async def make() -> Server:
        return Server()

    return loop.run(make())


# --- the rules -------------------------------------------------------------------------------------------------------


def everybody_may(q: Question) -> bool:
    """Without a role one may only ask about oneself."""
    own = ("selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews")
    return q.verb == "create" and q.resource in own and not q.subresource


def owner_may(q: Question) -> bool:
    """A role of a namespace reaches what is in it, and the namespace itself."""
    return q.namespace == "web"


def node_may(node: str, q: Question) -> bool:
    """What the Node authorizer page lists, and what mkube's own role lets every node watch."""
    is_own, is_read = q.name == node, q.verb in ("get", "list", "watch")
    in_web = q.namespace == "web"
    match q.group, q.resource, q.subresource:
        case "", "nodes", "":
            return q.verb in ("create", "update", "patch") or (is_read and is_own)
        case "", "nodes" | "pods", "status":
            return q.verb in ("update", "patch")
        case "", "pods", "":
            return q.verb in ("create", "delete") or (is_read and is_own and in_web)
        case "", "pods", "eviction":
            return q.verb == "create"
        case "", "secrets" | "configmaps", "":
            return is_read and is_own and in_web
        case ("", "persistentvolumeclaims", "") | ("resource.k8s.io", "resourceclaims", ""):
            return q.verb == "get" and is_own and in_web
        case "", "persistentvolumeclaims", "status":
            return q.verb in ("update", "patch") and is_own and in_web
        case ("", "persistentvolumes", "") | ("storage.k8s.io", "volumeattachments", ""):
            return q.verb == "get" and is_own
        case "", "serviceaccounts", "":
            return q.verb == "get" and is_own and in_web
        case "", "serviceaccounts", "token":
            return q.verb == "create" and is_own and in_web
        case "coordination.k8s.io", "leases", "":
            own = q.verb in ("get", "update", "patch", "delete") and is_own
            return q.namespace == "kube-node-lease" and (q.verb == "create" or own)
        case "storage.k8s.io", "csinodes", "":
            return q.verb == "create" or (q.verb in ("get", "update", "patch", "delete") and is_own)
        case "resource.k8s.io", "resourceslices", "":
            return q.verb == "create" or (q.verb in ("get", "update", "patch", "delete") and is_own)
        case (("" | "events.k8s.io"), "events", ""):
            return q.verb in ("create", "update", "patch")
        case "certificates.k8s.io", "certificatesigningrequests", "":
            return is_read or q.verb == "create"
        case (
            ("", "services" | "endpoints" | "namespaces", "")
            | ("discovery.k8s.io", "endpointslices", "")
            | ("certificates.k8s.io", "clustertrustbundles", "")
            | ("storage.k8s.io", "csidrivers", "")
            | ("node.k8s.io", "runtimeclasses", "")
        ):
            return is_read
        case "certificates.k8s.io", "podcertificaterequests", "":
            return q.verb == "create"  # NodeRestriction looks at the pod it is for
        case "authentication.k8s.io", "tokenreviews", "":
            return q.verb == "create"
        case "authorization.k8s.io", "subjectaccessreviews" | "localsubjectaccessreviews", "":
            return q.verb == "create"
        case _:
            return False


def may(who: str, q: Question) -> bool:
    if who == "admin" or everybody_may(q):
        return True
    if who == "namespaced":
        return owner_may(q)
    if who.startswith("node"):
        return node_may(NODE_A if who == "node a" else NODE_B, q)
    return False


# --- the matrix ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.plural}.{kind.group}/{kind.version}")
def test_every_request_for_a_resource(server: Server, loop: asyncio.Runner, kind: ResourceKind) -> None:
    async def check() -> list[str]:
        wrong = []
        elsewhere = "kube-node-lease" if kind.plural == "leases" else "other"
        for form in forms_of(kind, ("web", elsewhere), (NODE_A, NODE_B)):
            asked = await server.ask(ANONYMOUS, form.method, form.path + form.query, dict(form.headers))
            if asked.code != 401:
                wrong.append(f"anonymous: {form}: {asked}")
            for who in USERS:
                asked = await server.ask(who, form.method, form.path + form.query, dict(form.headers))
                if asked.is_allowed is not may(who, form.question) or asked.code == 500:
                    wrong.append(f"{who}: {form}: {asked}")
        return wrong

    assert loop.run(check()) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.plural}.{kind.group}/{kind.version}")
def test_requests_without_a_route_do_nothing(server: Server, loop: asyncio.Runner, kind: ResourceKind) -> None:
    async def check() -> list[str]:
        wrong = []
        for method, path in odd_forms(kind, "web", NODE_A):
            for who in (ANONYMOUS, *USERS):
                asked = await server.ask(who, method, path)
                allowed = (401,) if who == ANONYMOUS else (403, 404, 405)
                if asked.code not in allowed:
                    wrong.append(f"{who or 'anonymous'}: {method} {path}: {asked}")
        return wrong

    assert loop.run(check()) == []


async def test_paths_beside_the_resources() -> None:
    """Discovery is everybody's who has a name; liveness, readiness and version are anybody's; the rest needs a role."""
    server = Server()
    listed = [*orjson.loads((await paths_document(server)).body)["paths"], "/"]
    below = [f"{path}{'' if path.endswith('/') else '/'}x" for path in listed if path != "/"]
    assert {"/mkube/v1/tunnel", "/version", "/openapi/v2", "/readyz/"} <= set(listed)
    for path in [*listed, *below, "/metrics", "/debug/pprof", "/logs", "/configz", "/flagz", "/statusz"]:
        top = "/" + path.strip("/").partition("/")[0]
        is_discovery = path != "/" and top in DISCOVERY and (top in ("/api", "/apis", "/openapi") or path == top)
        is_public = path.rstrip("/") in ("/livez", "/readyz", "/version")
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            is_read = method in ("GET", "HEAD")
            anonymous = await server.ask(ANONYMOUS, method, path)
            assert (anonymous.code != 401) is (is_read and is_public), (method, path, anonymous)
            for who in ("no role", "namespaced", "node a", "node b"):
                asked = await server.ask(who, method, path)
                is_nodes = who.startswith("node") and path in ("/mkube/v1/cluster", "/mkube/v1/tunnel")
                expected = method == "GET" and (is_discovery or is_nodes)
                assert asked.is_allowed is expected or (is_read and is_public), (who, method, path, asked)


async def paths_document(server: Server) -> Reply:
    exchange = MemoryExchange("GET", "", b"")
    request = HttpRequest("GET", "/", {}, {"authorization": "Bearer admin"}, exchange)
    reply = await run(server.api.pipeline, request)
    assert isinstance(reply, Reply)
    return reply


async def test_unknown_resources_tell_nothing_to_strangers() -> None:
    """404 only for those who might have seen it; 403 for the others, as for what exists."""
    server = Server()
    for path in ("/api/v1/namespaces/other/things/x", "/apis/none/v1/things", "/api/v1/nodes/n/none"):
        assert (await server.ask("no role", "GET", path)).code == 403, path
        assert (await server.ask("admin", "GET", path)).code == 404, path
