"""Identity on a real server: first objects, users' rights over time, what each write is held to."""

import asyncio
from pathlib import Path

import pytest

from minikube_py.bootstrap.first_objects import publish_api_endpoint, write_first_objects
from minikube_py.bootstrap.pki import Pki, PkiOptions, ensure_pki
from minikube_py.bootstrap.rbac_policy import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, default_policy, reconcile_policy
from minikube_py.client.protocol import Selection, WriteOptions
from minikube_py.objects.errors import Forbidden, NotFound, Unauthorized
from minikube_py.resources.kind import GVR
from tests.support.identity import binding
from tests.support.identity_server import FIRST_OBJECTS, identity_server

PODS, SECRETS, CONFIG_MAPS = GVR("", "v1", "pods"), GVR("", "v1", "secrets"), GVR("", "v1", "configmaps")
NAMESPACES, SERVICES, ENDPOINTS = GVR("", "v1", "namespaces"), GVR("", "v1", "services"), GVR("", "v1", "endpoints")
SLICES = GVR("discovery.k8s.io", "v1", "endpointslices")
ROLES = GVR("rbac.authorization.k8s.io", "v1", "roles")
ROLE_BINDINGS = GVR("rbac.authorization.k8s.io", "v1", "rolebindings")
QUOTAS, SERVICE_ACCOUNTS = GVR("", "v1", "resourcequotas"), GVR("", "v1", "serviceaccounts")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return ensure_pki(PkiOptions(Path(tmp_path_factory.mktemp("identity"))))


async def test_first_objects_are_written_once(pki: Pki) -> None:
    async with identity_server(pki) as server:
        admin = server.admin
        revision = server.api.context.store.revision
        assert await write_first_objects(admin, FIRST_OBJECTS) == 0
        assert server.api.context.store.revision == revision
        names = {o["metadata"]["name"] for o in (await admin.list(NAMESPACES)).items}
        assert names == {"default", "kube-system", "kube-public", "kube-node-lease"}
        service = await admin.get(SERVICES, "kubernetes", "default")
        assert service["spec"]["clusterIP"] == "10.43.0.1"
        config = await admin.get(CONFIG_MAPS, "extension-apiserver-authentication", "kube-system")
        assert config["data"]["client-ca-file"] == "client ca"
        for wanted in default_policy():
            stored = await admin.get(wanted.gvr, wanted.place[1], wanted.place[0])
            assert stored.get("rules") == wanted.obj.get("rules")
            assert stored.get("roleRef") == wanted.obj.get("roleRef")


async def test_the_api_endpoint_follows_the_address(pki: Pki) -> None:
    async with identity_server(pki) as server:
        for address in ("10.0.0.5", "10.0.0.5", "10.0.0.6"):
            await publish_api_endpoint(server.admin, address, 6443)
            found = await server.admin.get(SLICES, "kubernetes", "default")
            assert found["endpoints"][0]["addresses"] == [address]
            endpoints = await server.admin.get(ENDPOINTS, "kubernetes", "default")
            assert endpoints["subsets"][0]["addresses"] == [{"ip": address}]


async def test_a_policy_with_gaps_is_completed_and_a_kept_one_left_alone(pki: Pki) -> None:
    async with identity_server(pki) as server:
        admin = server.admin
        role = dict(await admin.get(CLUSTER_ROLE, "system:kube-scheduler"))
        extra = {"apiGroups": ["mine"], "resources": ["things"], "verbs": ["get"]}
        await admin.update(CLUSTER_ROLE, {**role, "rules": [extra]})
        kept = dict(await admin.get(CLUSTER_ROLE, "system:node-proxier"))
        kept["metadata"] = {
            **kept["metadata"],
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"},
        }
        await admin.update(CLUSTER_ROLE, {**kept, "rules": []})
        bound = dict(await admin.get(CLUSTER_ROLE_BINDING, "system:kube-scheduler"))
        await admin.update(CLUSTER_ROLE_BINDING, {**bound, "subjects": []})
        await admin.delete(CLUSTER_ROLE, "view")

        assert await reconcile_policy(admin) == 3
        assert extra in (await admin.get(CLUSTER_ROLE, "system:kube-scheduler"))["rules"]
        assert not (await admin.get(CLUSTER_ROLE, "system:node-proxier")).get("rules")
        assert (await admin.get(CLUSTER_ROLE_BINDING, "system:kube-scheduler"))["subjects"]
        assert (await admin.get(CLUSTER_ROLE, "view"))["rules"]
        assert await reconcile_policy(admin) == 0
        scheduler = server.user("system:kube-scheduler")
        await asyncio.sleep(0)
        assert (await scheduler.list(PODS)).items == []


async def test_rights_come_and_go_with_bindings(pki: Pki) -> None:
    async with identity_server(pki) as server:
        jane = server.user("jane")
        text = 'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"'
        with pytest.raises(Forbidden) as refused:
            await jane.list(PODS, Selection("default"))
        assert refused.value.message == text
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}
        made = binding("RoleBinding", "jane", ("ClusterRole", "admin"), subject, "default")
        await server.admin.create(ROLE_BINDINGS, made, "default")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (await jane.list(PODS, Selection("default"))).items == []
        with pytest.raises(Forbidden):
            await jane.list(PODS, Selection("kube-system"))
        await server.admin.delete(ROLE_BINDINGS, "jane", "default")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(Forbidden):
            await jane.list(PODS, Selection("default"))


async def test_nobody_grants_what_he_has_not(pki: Pki) -> None:
    async with identity_server(pki) as server:
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}
        made = binding("RoleBinding", "jane", ("ClusterRole", "admin"), subject, "default")
        await server.admin.create(ROLE_BINDINGS, made, "default")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        jane = server.user("jane")
        role = {
            "metadata": {"name": "r"},
            "rules": [{"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": ["get"]}],
        }
        with pytest.raises(Forbidden, match="is attempting to grant RBAC permissions not currently held"):
            await jane.create(ROLES, role, "default")
        role["rules"][0] |= {"apiGroups": [""], "resources": ["secrets"]}
        await jane.create(ROLES, role, "default")


async def test_a_quota_holds_over_the_api(pki: Pki) -> None:
    async with identity_server(pki) as server:
        admin = server.admin
        hard = {"count/configmaps": "1"}
        quota = await admin.create(QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": hard}}, "default")
        status = {"hard": hard, "used": {"count/configmaps": "0"}}
        await admin.update(QUOTAS, {**quota, "status": status}, options=WriteOptions(subresource="status"))
        await admin.create(CONFIG_MAPS, {"metadata": {"name": "one"}}, "default")
        stored = await admin.get(QUOTAS, "q", "default")
        assert stored["status"]["used"] == {"count/configmaps": "1"}
        with pytest.raises(
            Forbidden, match="exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1"
        ):
            await admin.create(CONFIG_MAPS, {"metadata": {"name": "two"}}, "default")


async def test_a_pods_token_lets_it_in_as_its_account(pki: Pki) -> None:
    async with identity_server(pki) as server:
        admin = server.admin
        await admin.create(SERVICE_ACCOUNTS, {"metadata": {"name": "app"}}, "default")
        body = {"spec": {"expirationSeconds": 600}}
        options = WriteOptions(subresource="token")
        answer = await admin.create(SERVICE_ACCOUNTS, body, "default", name="app", options=options)
        app = await server.bearer(answer["status"]["token"])
        me = await app.create(GVR("authentication.k8s.io", "v1", "selfsubjectreviews"), {})
        user = me["status"]["userInfo"]
        assert user["username"] == "system:serviceaccount:default:app"
        assert user["groups"] == ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]
        with pytest.raises(Forbidden, match='User "system:serviceaccount:default:app" cannot list resource "secrets"'):
            await app.list(SECRETS, Selection("default"))
        await admin.delete(SERVICE_ACCOUNTS, "app", "default")
        with pytest.raises(Unauthorized):
            await server.bearer(answer["status"]["token"])
        with pytest.raises(NotFound):
            await admin.create(SERVICE_ACCOUNTS, body, "default", name="app", options=options)
