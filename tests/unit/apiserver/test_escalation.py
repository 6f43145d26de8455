import pytest

from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.apiserver.authz.catalog import Authorization
from minikube_py.apiserver.authz.escalation import EscalationCheck
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.objects.errors import Forbidden, NotFound, Object
from minikube_py.resources.kind import ResourceKind
from tests.support.identity import RBAC, binding, default_authorization, request, user
from tests.support.object_reader import DictReader

JANE = user("jane", "dev")
ADMIN = user("root", "system:masters")
KINDS = {"roles": "Role", "clusterroles": "ClusterRole", "rolebindings": "RoleBinding"}


@pytest.fixture
def authorization() -> Authorization:
    made = default_authorization(DictReader())
    jane = {"kind": "User", "name": "jane"}
    made.rbac.observe("rolebindings", binding("RoleBinding", "jane", ("ClusterRole", "admin"), jane, "web"))
    return made


async def write(
    authorization: Authorization, who: UserInfo, resource: str, obj: Object, old: Object | None = None
) -> None:
    info = request("create", f"{resource}.{RBAC}", obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
    kind = ResourceKind(RBAC, "v1", KINDS[resource], resource, "", resource != "clusterroles", ())
    operation = "CREATE" if old is None else "UPDATE"
    check = EscalationCheck(authorization.union, authorization.rbac)
    await check.validate(AdmissionRequest(info, kind, operation, who, obj, old))


def role(*rules: Object) -> Object:
    return {"metadata": {"name": "r", "namespace": "web"}, "rules": list(rules)}


SECRETS = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}
NODES = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "delete"]}
MORE = {"apiGroups": ["apps"], "resources": ["deployments/status"], "verbs": ["update"], "resourceNames": ["x"]}


async def test_what_one_has_may_be_granted(authorization: Authorization) -> None:
    await write(authorization, JANE, "roles", role(SECRETS))
    await write(authorization, ADMIN, "roles", role(NODES))


async def test_what_one_has_not_may_not_be_granted(authorization: Authorization) -> None:
    with pytest.raises(Forbidden) as refused:
        await write(authorization, JANE, "roles", role(SECRETS, NODES, MORE))
    assert refused.value.message == (
        'roles.rbac.authorization.k8s.io "r" is forbidden: user "jane" (groups=["dev" "system:authenticated"]) is '
        "attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["nodes"], Verbs:["get" "delete"]}\n'
        '{APIGroups:["apps"], Resources:["deployments/status"], ResourceNames:["x"], Verbs:["update"]}'
    )


async def test_a_role_that_stays_may_be_touched(authorization: Authorization) -> None:
    await write(authorization, JANE, "roles", role(NODES), role(NODES))
    with pytest.raises(Forbidden):
        await write(authorization, JANE, "roles", role(NODES), role(SECRETS))


async def test_the_escalate_verb_lets_one(authorization: Authorization) -> None:
    rule = {"apiGroups": [RBAC], "resources": ["roles"], "verbs": ["escalate"]}
    authorization.rbac.observe("roles", {"metadata": {"name": "esc", "namespace": "web"}, "rules": [rule]})
    jane = {"kind": "User", "name": "jane"}
    authorization.rbac.observe("rolebindings", binding("RoleBinding", "esc", ("Role", "esc"), jane, "web"))
    await write(authorization, JANE, "roles", role(NODES))


async def test_bindings(authorization: Authorization) -> None:
    somebody = {"kind": "User", "name": "bob"}
    edit = binding("RoleBinding", "b", ("ClusterRole", "edit"), somebody, "web")
    await write(authorization, JANE, "rolebindings", edit)
    root = binding("RoleBinding", "b", ("ClusterRole", "cluster-admin"), somebody, "web")
    with pytest.raises(Forbidden, match=r'rolebindings.rbac.authorization.k8s.io "b" is forbidden: user "jane"'):
        await write(authorization, JANE, "rolebindings", root)
    none = binding("RoleBinding", "b", ("Role", "none"), somebody, "web")
    with pytest.raises(NotFound, match=r'roles.rbac.authorization.k8s.io "none" not found'):
        await write(authorization, JANE, "rolebindings", none)
    rule = {"apiGroups": [RBAC], "resources": ["clusterroles"], "resourceNames": ["cluster-admin"], "verbs": ["bind"]}
    authorization.rbac.observe("clusterroles", {"metadata": {"name": "binder"}, "rules": [rule]})
    jane = {"kind": "User", "name": "jane"}
    authorization.rbac.observe(
        "clusterrolebindings", binding("ClusterRoleBinding", "x", ("ClusterRole", "binder"), jane)
    )
    await write(authorization, JANE, "rolebindings", root)


async def test_aggregation_needs_everything(authorization: Authorization) -> None:
    rule = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}
    aggregated = {"metadata": {"name": "r"}, "aggregationRule": rule, "rules": []}
    with pytest.raises(Forbidden, match="must have cluster-admin privileges to use the aggregationRule"):
        await write(authorization, JANE, "clusterroles", aggregated)
