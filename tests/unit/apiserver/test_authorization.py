import pytest

from minikube_py.apiserver.authz.catalog import Authorization
from minikube_py.apiserver.authz.messages import forbidden
from minikube_py.apiserver.authz.node import CLAIMS, VOLUMES
from minikube_py.apiserver.authz.protocol import Verdict
from minikube_py.apiserver.authz.rbac import RbacAuthorizer
from minikube_py.apiserver.impersonation import impersonate
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.bootstrap.rbac_controller_roles import CONTROLLER_ROLES, controller_identity
from minikube_py.objects.errors import BadRequest, Forbidden
from tests.support.identity import binding, default_authorization, request, user
from tests.support.object_reader import DictReader

ANONYMOUS = UserInfo("system:anonymous", groups=("system:unauthenticated",))
NOBODY = user("nobody")
JANE = user("jane")
ADMIN = user("system:admin", "system:masters")
NODE_A = user("system:node:a", "system:nodes")
NODE_B = user("system:node:b", "system:nodes")
ALL = {"anonymous": ANONYMOUS, "nobody": NOBODY, "jane": JANE, "admin": ADMIN, "a": NODE_A, "b": NODE_B}
PROJECTED = {"name": "p", "projected": {"sources": [{"configMap": {"name": "conf"}}, {"secret": {"name": "proj"}}]}}
POD_ON_A = {
    "metadata": {"name": "pod", "namespace": "web", "uid": "u"},
    "spec": {
        "nodeName": "a",
        "serviceAccountName": "app",
        "imagePullSecrets": [{"name": "pull"}],
        "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "env", "key": "k"}}}]}],
        "volumes": [PROJECTED, {"name": "d", "persistentVolumeClaim": {"claimName": "data"}}],
    },
}


@pytest.fixture(scope="module")
def authorization() -> Authorization:
    reader = DictReader()
    reader.add(CLAIMS, {"metadata": {"name": "data", "namespace": "web"}, "spec": {"volumeName": "pv1"}})
    csi = {"driver": "d", "nodePublishSecretRef": {"name": "csi", "namespace": "storage"}}
    reader.add(VOLUMES, {"metadata": {"name": "pv1"}, "spec": {"csi": csi}})
    made = default_authorization(reader)
    jane = {"kind": "User", "name": "jane"}
    made.rbac.observe("rolebindings", binding("RoleBinding", "jane", ("ClusterRole", "edit"), jane, "web"))
    made.node.observe_pod(POD_ON_A)
    return made


# (verb, resource or path, namespace, name, who may). Every other user of ALL may not.
MATRIX = [
    ("get", "/livez", "", "", "anonymous nobody jane admin"),
    ("get", "/version", "", "", "anonymous nobody jane admin"),
    ("get", "/metrics", "", "", "admin"),
    ("get", "/api", "", "", "nobody jane admin a b"),
    ("get", "/apis/apps/v1", "", "", "nobody jane admin a b"),
    ("get", "/openapi/v3", "", "", "nobody jane admin a b"),
    ("post", "/api", "", "", "admin"),
    ("create", "selfsubjectaccessreviews.authorization.k8s.io", "", "", "nobody jane admin a b"),
    ("create", "selfsubjectreviews.authentication.k8s.io", "", "", "nobody jane admin a b"),
    ("create", "subjectaccessreviews.authorization.k8s.io", "", "", "admin a b"),
    ("create", "tokenreviews.authentication.k8s.io", "", "", "admin a b"),
    ("list", "pods", "web", "", "jane admin"),
    ("list", "pods", "other", "", "admin"),
    ("list", "pods", "", "", "admin"),
    ("create", "pods", "web", "", "jane admin a b"),
    ("delete", "pods", "web", "pod", "jane admin a b"),
    ("deletecollection", "pods", "web", "", "jane admin"),
    ("get", "pods", "web", "pod", "jane admin a"),
    ("get", "pods", "web", "elsewhere", "jane admin"),
    ("create", "pods/exec", "web", "pod", "jane admin"),
    ("get", "pods/exec", "web", "pod", "jane admin"),
    ("get", "pods/log", "web", "pod", "jane admin"),
    ("update", "pods/status", "web", "pod", "admin a b"),
    ("create", "pods/binding", "web", "pod", "admin"),
    ("create", "pods/eviction", "web", "pod", "jane admin a b"),
    ("get", "nodes", "", "a", "admin a"),
    ("get", "nodes", "", "b", "admin b"),
    ("list", "nodes", "", "", "admin"),
    ("update", "nodes/status", "", "a", "admin a b"),  # NodeRestriction keeps b from a's object
    ("create", "nodes/proxy", "", "a", "admin"),
    ("delete", "nodes", "", "a", "admin"),
    ("get", "secrets", "web", "env", "jane admin a"),
    ("get", "secrets", "web", "proj", "jane admin a"),
    ("get", "secrets", "web", "pull", "jane admin a"),
    ("get", "secrets", "storage", "csi", "admin a"),
    ("get", "secrets", "web", "unrelated", "jane admin"),
    ("list", "secrets", "web", "", "jane admin"),
    ("watch", "secrets", "web", "env", "jane admin a"),
    ("update", "secrets", "web", "env", "jane admin"),
    ("get", "configmaps", "web", "conf", "jane admin a"),
    ("get", "configmaps", "other", "conf", "admin"),
    ("get", "persistentvolumeclaims", "web", "data", "jane admin a"),
    ("update", "persistentvolumeclaims/status", "web", "data", "admin a"),
    ("get", "persistentvolumes", "", "pv1", "admin a"),
    ("create", "serviceaccounts/token", "web", "app", "jane admin a"),
    ("create", "serviceaccounts/token", "web", "default", "jane admin"),
    ("get", "leases.coordination.k8s.io", "kube-node-lease", "a", "admin a"),
    ("create", "leases.coordination.k8s.io", "kube-node-lease", "", "admin a b"),
    ("update", "leases.coordination.k8s.io", "kube-system", "kube-scheduler", "admin"),
    ("list", "services", "", "", "admin a b"),
    ("watch", "endpointslices.discovery.k8s.io", "", "", "admin a b"),
    ("create", "certificatesigningrequests.certificates.k8s.io", "", "", "admin a b"),
    ("update", "certificatesigningrequests.certificates.k8s.io/approval", "", "x", "admin"),
    ("create", "events", "web", "", "jane admin a b"),
    ("create", "deployments.apps", "web", "", "jane admin"),
    ("create", "roles.rbac.authorization.k8s.io", "web", "", "admin"),
    ("create", "clusterrolebindings.rbac.authorization.k8s.io", "", "", "admin"),
    ("impersonate", "users", "", "system:admin", "admin"),
    ("impersonate", "serviceaccounts", "web", "app", "jane admin"),
    ("create", "namespaces", "", "", "admin"),
    ("get", "namespaces", "web", "web", "jane admin a b"),
    ("delete", "namespaces", "web", "web", "admin"),
]


@pytest.mark.parametrize(("verb", "path", "namespace", "name", "allowed"), MATRIX)
def test_matrix(authorization: Authorization, verb: str, path: str, namespace: str, name: str, allowed: str) -> None:
    info = request(verb, path, namespace, name)
    if path in ("/livez", "/version"):
        allowed += " a b"
    may = {who for who, u in ALL.items() if authorization.union.authorize(u, info).verdict is Verdict.ALLOW}
    assert may == set(allowed.split())


def test_nodes_list_only_with_their_own_field_selector(authorization: Authorization) -> None:
    def may(node: UserInfo, path: str, selector: str) -> bool:
        info = request("watch", path, field_selector=selector)
        return authorization.union.authorize(node, info).verdict is Verdict.ALLOW

    assert may(NODE_A, "pods", "spec.nodeName=a")
    assert not may(NODE_B, "pods", "spec.nodeName=a")
    assert not may(NODE_A, "pods", "spec.nodeName!=a")
    assert not may(NODE_A, "pods", "status.phase=Running")
    assert may(NODE_A, "nodes", "metadata.name=a")
    assert not may(NODE_B, "nodes", "metadata.name=a")


def test_a_node_loses_what_its_pod_referred_to(authorization: Authorization) -> None:
    info = request("get", "secrets", "web", "env")
    authorization.node.observe_pod(POD_ON_A, deleted=True)
    try:
        decision = authorization.union.authorize(NODE_A, info)
        assert decision.verdict is Verdict.NO_OPINION
        assert decision.reason == "no relationship found between node 'a' and this object"
    finally:
        authorization.node.observe_pod(POD_ON_A)


@pytest.mark.parametrize("role", sorted(CONTROLLER_ROLES))
def test_every_controller_account_has_its_role(authorization: Authorization, role: str) -> None:
    account = user(f"system:serviceaccount:kube-system:{role}", "system:serviceaccounts")
    rules, problems = authorization.rbac.policy_rules(account, "")
    assert all(rule in rules for rule in CONTROLLER_ROLES[role])
    assert problems == []


def test_controllers_act_as_accounts_of_kube_system(authorization: Authorization) -> None:
    name, groups = controller_identity("certificate-controller")
    who = UserInfo(name, groups=groups)
    info = request("update", "certificatesigningrequests.certificates.k8s.io/status", "", "x")
    assert authorization.union.authorize(who, info).verdict is Verdict.ALLOW


def test_admin_edit_and_view_contain_each_other(authorization: Authorization) -> None:
    rules = {
        n: authorization.rbac.role_rules("", {"kind": "ClusterRole", "name": n}) for n in ("view", "edit", "admin")
    }
    assert all(rule in rules["edit"] for rule in rules["view"])
    assert all(rule in rules["admin"] for rule in rules["edit"])
    assert len(rules["view"]) < len(rules["edit"]) < len(rules["admin"])


def test_reasons_are_worded_as_in_kubernetes(authorization: Authorization) -> None:
    decision = authorization.union.authorize(JANE, request("get", "pods", "web", "x"))
    assert decision.reason == 'RBAC: allowed by RoleBinding "jane/web" of ClusterRole "edit" to User "jane"'
    account = user("system:serviceaccount:kube-system:ttl-controller", "system:serviceaccounts")
    decision = authorization.union.authorize(account, request("list", "nodes"))
    assert decision.reason == (
        'RBAC: allowed by ClusterRoleBinding "system:controller:ttl-controller" of '
        'ClusterRole "system:controller:ttl-controller" to ServiceAccount "ttl-controller/kube-system"'
    )


def test_changes_count_at_once() -> None:
    rbac = RbacAuthorizer()
    bound = binding("RoleBinding", "b", ("Role", "reader"), {"kind": "Group", "name": "readers"}, "ns")
    reader, info = user("r", "readers"), request("get", "pods", "ns", "one")
    rbac.observe("rolebindings", bound)
    missing = rbac.authorize(reader, info)
    assert missing.verdict is Verdict.NO_OPINION
    assert missing.reason == 'RBAC: role.rbac.authorization.k8s.io "reader" not found'
    role = {"metadata": {"name": "reader", "namespace": "ns"}}
    rule = {"apiGroups": [""], "resources": ["pods"], "resourceNames": ["one"], "verbs": ["get"]}
    rbac.observe("roles", role | {"rules": [rule]})
    assert rbac.authorize(reader, info).verdict is Verdict.ALLOW
    assert rbac.authorize(reader, request("get", "pods", "ns", "two")).verdict is Verdict.NO_OPINION
    assert rbac.authorize(reader, request("list", "pods", "ns")).verdict is Verdict.NO_OPINION
    assert rbac.authorize(reader, request("get", "pods/log", "ns", "one")).verdict is Verdict.NO_OPINION
    assert rbac.authorize(reader, request("get", "pods", "other", "one")).verdict is Verdict.NO_OPINION
    rbac.observe("rolebindings", bound | {"subjects": [{"kind": "User", "name": "readers"}]})
    assert rbac.authorize(reader, info).verdict is Verdict.NO_OPINION
    rbac.observe("rolebindings", bound)
    assert rbac.authorize(reader, info).verdict is Verdict.ALLOW
    rbac.observe("rolebindings", bound, deleted=True)
    assert rbac.authorize(reader, info).verdict is Verdict.NO_OPINION


@pytest.mark.parametrize(
    ("who", "info", "text"),
    [
        (
            UserInfo("x"),
            request("list", "pods", "default"),
            'pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "default"',
        ),
        (
            UserInfo("x"),
            request("get", "deployments.apps", "", "d"),
            'deployments.apps "d" is forbidden: User "x" cannot get resource "deployments" in API group "apps" '
            "at the cluster scope",
        ),
        (
            UserInfo("x"),
            request("create", "pods/exec", "ns", "p"),
            'pods "p" is forbidden: User "x" cannot create resource "pods/exec" in API group "" in the namespace "ns"',
        ),
        (UserInfo("x"), request("get", "/metrics"), 'forbidden: User "x" cannot get path "/metrics"'),
        (UserInfo("<b>"), request("get", "/m"), 'forbidden: User "&lt;b&gt;" cannot get path "/m"'),
    ],
)
def test_refusals_are_worded_as_in_kubernetes(who: UserInfo, info, text: str) -> None:
    assert forbidden(who, info).message == text


def test_impersonation_asks_for_every_part(authorization: Authorization) -> None:
    union = authorization.union
    info = request("list", "configmaps", "web")

    def act_as(user: UserInfo, headers: dict[str, list[str]]) -> UserInfo:
        return impersonate(user, headers, union, info).user

    plain = act_as(ADMIN, {"impersonate-user": ["bob"]})
    assert (plain.name, plain.groups) == ("bob", ("system:authenticated",))
    headers = {
        "impersonate-user": ["bob"],
        "impersonate-group": ["dev", "ops"],
        "impersonate-uid": ["7"],
        "impersonate-extra-acme.com%2fproject": ["p1", "p2"],
    }
    full = act_as(ADMIN, headers)
    assert full.groups == ("dev", "ops", "system:authenticated")
    assert full.uid == "7"
    assert full.extra == {"acme.com/project": ("p1", "p2")}
    account = act_as(JANE, {"impersonate-user": ["system:serviceaccount:web:app"]})
    assert account.groups == ("system:serviceaccounts", "system:serviceaccounts:web", "system:authenticated")
    headers = {"impersonate-user": ["system:serviceaccount:web:app"], "impersonate-group": ["system:masters"]}
    with pytest.raises(Forbidden, match='User "jane" cannot impersonate resource "groups" in API group ""'):
        act_as(JANE, headers)
    with pytest.raises(Forbidden, match='users "bob" is forbidden'):
        act_as(NODE_A, {"impersonate-user": ["bob"]})
    with pytest.raises(BadRequest, match="without impersonating a user"):
        act_as(ADMIN, {"impersonate-group": ["dev"]})
    assert act_as(JANE, {"accept": ["x"]}) is JANE


NODE_A_AGENT = UserInfo(
    "system:serviceaccount:web:agent",
    groups=("system:serviceaccounts",),
    extra={"authentication.kubernetes.io/node-name": ("a",)},
)


def constrained(mode: str, target: str, verb: str = "list") -> Authorization:
    """The agent may act in one mode, as `target`, and only for one verb on config maps."""
    made = default_authorization(DictReader())
    rules = [
        {"verbs": [f"impersonate:{mode}"], "apiGroups": ["authentication.k8s.io"], "resources": [target]},
        {"verbs": [f"impersonate-on:{mode}:{verb}"], "apiGroups": [""], "resources": ["configmaps"]},
    ]
    made.rbac.observe("clusterroles", {"metadata": {"name": "acting"}, "rules": rules})
    agent = {"kind": "ServiceAccount", "name": "agent", "namespace": "web"}
    made.rbac.observe("clusterrolebindings", binding("ClusterRoleBinding", "b", ("ClusterRole", "acting"), agent))
    return made


@pytest.mark.parametrize(
    ("mode", "target", "name", "groups"),
    [
        ("associated-node", "nodes", "system:node:a", ("system:nodes", "system:authenticated")),
        ("arbitrary-node", "nodes", "system:node:b", ("system:nodes", "system:authenticated")),
        (
            "serviceaccount",
            "serviceaccounts",
            "system:serviceaccount:web:app",
            ("system:serviceaccounts", "system:serviceaccounts:web", "system:authenticated"),
        ),
        ("user-info", "users", "bob", ("system:authenticated",)),
    ],
)
def test_constrained_impersonation_allows_one_verb_in_one_mode(
    mode: str, target: str, name: str, groups: tuple[str, ...]
) -> None:
    union, wanted = constrained(mode, target).union, {"impersonate-user": [name]}
    acting = impersonate(NODE_A_AGENT, wanted, union, request("list", "configmaps", "web"))
    assert (acting.user.name, acting.user.groups, acting.constraint) == (name, groups, f"impersonate:{mode}")
    with pytest.raises(Forbidden):
        impersonate(NODE_A_AGENT, wanted, union, request("watch", "configmaps", "web"))
    with pytest.raises(Forbidden):
        impersonate(NODE_A_AGENT, wanted, union, request("list", "secrets", "web"))


def test_an_associated_node_is_ones_own_and_brings_nothing_else() -> None:
    union, info = constrained("associated-node", "nodes").union, request("list", "configmaps", "web")
    for headers in (
        {"impersonate-user": ["system:node:b"]},
        {"impersonate-user": ["system:node:a"], "impersonate-group": ["system:nodes"]},
        {"impersonate-user": ["system:node:a"], "impersonate-uid": ["1"]},
    ):
        with pytest.raises(Forbidden):
            impersonate(NODE_A_AGENT, headers, union, info)


def test_constrained_users_never_bring_the_masters_group() -> None:
    union, info = constrained("user-info", "*").union, request("list", "configmaps", "web")
    both = {"impersonate-user": ["bob"], "impersonate-group": ["devs"]}
    assert impersonate(NODE_A_AGENT, both, union, info).user.groups == ("devs", "system:authenticated")
    with pytest.raises(Forbidden):
        impersonate(NODE_A_AGENT, {**both, "impersonate-group": ["system:masters"]}, union, info)
    user = {"impersonate-user": ["bob"]}
    extra = impersonate(NODE_A_AGENT, {**user, "impersonate-extra-acme.com/project": ["p"]}, union, info)
    assert extra.user.extra == {"acme.com/project": ("p",)}
    for key, values in (("project", ["p"]), ("acme.com/project", [""])):
        with pytest.raises(Forbidden):
            impersonate(NODE_A_AGENT, {**user, f"impersonate-extra-{key}": values}, union, info)
