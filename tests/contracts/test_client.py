"""What every client of the API promises, over the one in process and the one over HTTPS alike."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from minikube_py.client.http import HttpClient, HttpClientOptions
from minikube_py.client.protocol import Client, DeleteOptions, PatchType, Selection, WriteOptions
from minikube_py.objects.errors import (
    AlreadyExists,
    ApplyConflict,
    BadRequest,
    Conflict,
    Expired,
    Invalid,
    NotFound,
    Object,
    UnknownPath,
)
from minikube_py.resources.kind import GVR
from tests.support.cluster import HttpsCluster, https_cluster

CONFIG_MAPS = GVR("", "v1", "configmaps")
DEPLOYMENTS = GVR("apps", "v1", "deployments")
NAMESPACES = GVR("", "v1", "namespaces")
PODS = GVR("", "v1", "pods")


def config_map(name: str, data: dict[str, str] | None = None, **metadata: object) -> Object:
    return {"metadata": {"name": name, "namespace": "default", **metadata}, "data": data or {"x": "1"}}


def deployment(name: str) -> Object:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


@pytest.fixture(scope="module")
def pki_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pki")


@pytest.fixture
async def cluster(pki_directory: Path) -> AsyncIterator[HttpsCluster]:
    async with https_cluster(pki_directory) as running:
        yield running


@pytest.fixture(params=["local", "http"])
async def client(request: pytest.FixtureRequest, cluster: HttpsCluster) -> AsyncIterator[Client]:
    if request.param == "local":
        yield cluster.client()
        return
    context = ssl.create_default_context(cadata=cluster.pki.server_ca_pem.decode())
    options = HttpClientOptions(cluster.url, context, cluster.pki.admin_token)
    async with HttpClient(options) as http:
        yield http


async def test_create_gives_identity_and_get_finds_it(client: Client) -> None:
    made = await client.create(CONFIG_MAPS, config_map("a"))
    assert made["metadata"]["uid"]
    assert made["metadata"]["creationTimestamp"]
    assert made["kind"] == "ConfigMap"
    assert made["apiVersion"] == "v1"
    assert await client.get(CONFIG_MAPS, "a", "default") == made


async def test_what_a_client_hands_in_and_gets_back_is_its_own(client: Client) -> None:
    sent = config_map("a")
    made = await client.create(CONFIG_MAPS, sent)
    assert sent == config_map("a")
    made["data"]["x"] = "changed"
    assert (await client.get(CONFIG_MAPS, "a", "default"))["data"] == {"x": "1"}


async def test_create_twice_is_refused(client: Client) -> None:
    await client.create(CONFIG_MAPS, config_map("a"))
    with pytest.raises(AlreadyExists, match='configmaps "a" already exists'):
        await client.create(CONFIG_MAPS, config_map("a"))


async def test_missing_objects_and_kinds(client: Client) -> None:
    with pytest.raises(NotFound, match='configmaps "none" not found'):
        await client.get(CONFIG_MAPS, "none", "default")
    with pytest.raises((UnknownPath, NotFound), match="could not find the requested resource"):
        await client.list(GVR("example.org", "v1", "things"))


async def test_generated_names_differ(client: Client) -> None:
    body = {"metadata": {"generateName": "job-", "namespace": "default"}}
    names = {(await client.create(CONFIG_MAPS, body))["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("job-") and len(name) == 9 for name in names)


async def test_invalid_objects_name_the_field(client: Client) -> None:
    with pytest.raises(Invalid) as refused:
        await client.create(CONFIG_MAPS, config_map("Not_A_Name"))
    assert refused.value.message.startswith('ConfigMap "Not_A_Name" is invalid: metadata.name: Invalid value: ')
    assert refused.value.details is not None
    assert refused.value.details["causes"][0]["field"] == "metadata.name"


async def test_unknown_fields_are_refused(client: Client) -> None:
    with pytest.raises(BadRequest, match='unknown field "dota"'):
        await client.create(CONFIG_MAPS, {**config_map("a"), "dota": {}})


async def test_update_replaces_and_locks(client: Client) -> None:
    made = await client.create(CONFIG_MAPS, config_map("a"))
    changed = await client.update(CONFIG_MAPS, {**made, "data": {"y": "2"}})
    assert changed["data"] == {"y": "2"}
    assert int(changed["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    with pytest.raises(Conflict, match="the object has been modified"):
        await client.update(CONFIG_MAPS, {**made, "data": {"z": "3"}})
    unconditional = config_map("a", {"z": "3"})
    assert (await client.update(CONFIG_MAPS, unconditional))["data"] == {"z": "3"}


async def test_an_update_that_changes_nothing_makes_no_revision(client: Client) -> None:
    made = await client.create(CONFIG_MAPS, config_map("a"))
    again = await client.update(CONFIG_MAPS, config_map("a"))
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_patches(client: Client) -> None:
    await client.create(DEPLOYMENTS, deployment("a"))
    merged = await client.patch(DEPLOYMENTS, "a", {"spec": {"replicas": 2}}, "default")
    assert merged["spec"]["replicas"] == 2
    assert merged["metadata"]["generation"] == 2
    operations = [{"op": "replace", "path": "/spec/replicas", "value": 3}]
    replaced = await client.patch(DEPLOYMENTS, "a", operations, "default", patch_type=PatchType.JSON)
    assert replaced["spec"]["replicas"] == 3
    sidecar = {"spec": {"template": {"spec": {"containers": [{"name": "d", "image": "j"}]}}}}
    strategic = await client.patch(DEPLOYMENTS, "a", sidecar, "default", patch_type=PatchType.STRATEGIC)
    assert [c["name"] for c in strategic["spec"]["template"]["spec"]["containers"]] == ["d", "c"]


async def test_apply_creates_owns_and_conflicts(client: Client) -> None:
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}}
    one, two = WriteOptions(field_manager="one"), WriteOptions(field_manager="two")
    await client.patch(CONFIG_MAPS, "a", applied, "default", patch_type=PatchType.APPLY, options=one)
    other = {**applied, "data": {"x": "2"}}
    with pytest.raises((ApplyConflict, Conflict), match=r'conflict with "one": \.data\.x'):
        await client.patch(CONFIG_MAPS, "a", other, "default", patch_type=PatchType.APPLY, options=two)
    forced = WriteOptions(field_manager="two", force=True)
    taken = await client.patch(CONFIG_MAPS, "a", other, "default", patch_type=PatchType.APPLY, options=forced)
    assert taken["data"] == {"x": "2"}
    assert [entry["manager"] for entry in taken["metadata"]["managedFields"]] == ["two"]


async def test_status_and_spec_are_apart(client: Client) -> None:
    made = await client.create(DEPLOYMENTS, {**deployment("a"), "status": {"replicas": 9}})
    assert not made.get("status")
    made["status"] = {"replicas": 4}
    made["spec"]["replicas"] = 7
    status = await client.update(DEPLOYMENTS, made, options=WriteOptions(subresource="status"))
    assert status["status"]["replicas"] == 4
    assert status["spec"]["replicas"] == 1
    assert status["metadata"]["generation"] == 1
    status["status"] = {"replicas": 5}
    status["spec"]["replicas"] = 7
    spec = await client.update(DEPLOYMENTS, status)
    assert spec["status"]["replicas"] == 4
    assert spec["spec"]["replicas"] == 7


async def test_scale(client: Client) -> None:
    await client.create(DEPLOYMENTS, deployment("a"))
    scale = await client.get(DEPLOYMENTS, "a", "default", subresource="scale")
    assert scale["kind"] == "Scale"
    assert scale["status"]["selector"] == "app=a"
    scale["spec"]["replicas"] = 5
    await client.update(DEPLOYMENTS, scale, options=WriteOptions(subresource="scale"))
    assert (await client.get(DEPLOYMENTS, "a", "default"))["spec"]["replicas"] == 5


async def test_dry_run_stores_nothing(client: Client) -> None:
    dry = WriteOptions(dry_run=True)
    made = await client.create(CONFIG_MAPS, config_map("a"), options=dry)
    assert made["metadata"]["uid"]
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAPS, "a", "default")
    await client.create(CONFIG_MAPS, config_map("a"))
    patched = await client.patch(CONFIG_MAPS, "a", {"data": {"x": "2"}}, "default", options=dry)
    assert patched["data"] == {"x": "2"}
    await client.delete(CONFIG_MAPS, "a", "default", options=DeleteOptions(dry_run=True))
    assert (await client.get(CONFIG_MAPS, "a", "default"))["data"] == {"x": "1"}


async def test_list_selects(client: Client) -> None:
    for name, color in (("a", "red"), ("b", "blue"), ("c", "red")):
        await client.create(CONFIG_MAPS, config_map(name, labels={"color": color}))
    red = await client.list(CONFIG_MAPS, Selection("default", label_selector="color=red"))
    assert [item["metadata"]["name"] for item in red.items] == ["a", "c"]
    assert red.resource_version
    one = await client.list(CONFIG_MAPS, Selection(field_selector="metadata.name=b"))
    assert [item["metadata"]["name"] for item in one.items] == ["b"]
    with pytest.raises(BadRequest, match="unable to parse requirement"):
        await client.list(CONFIG_MAPS, Selection(label_selector="color in red"))


async def test_a_long_list_is_whole(client: Client) -> None:
    for index in range(620):
        await client.create(CONFIG_MAPS, config_map(f"m{index:04}"))
    listed = await client.list(CONFIG_MAPS, Selection("default"))
    assert len(listed.items) == 620


async def test_delete_and_preconditions(client: Client) -> None:
    made = await client.create(CONFIG_MAPS, config_map("a"))
    with pytest.raises(Conflict, match="Precondition failed: UID in precondition: other"):
        await client.delete(CONFIG_MAPS, "a", "default", options=DeleteOptions(uid="other"))
    answer = await client.delete(CONFIG_MAPS, "a", "default", options=DeleteOptions(uid=made["metadata"]["uid"]))
    assert answer["status"] == "Success"
    with pytest.raises(NotFound):
        await client.delete(CONFIG_MAPS, "a", "default")


async def test_finalizers_hold_a_deleted_object(client: Client) -> None:
    await client.create(CONFIG_MAPS, config_map("a", finalizers=["example.org/hold"]))
    marked = await client.delete(CONFIG_MAPS, "a", "default")
    assert marked["metadata"]["deletionTimestamp"]
    more = {"metadata": {"finalizers": ["example.org/hold", "example.org/more"]}}
    with pytest.raises(Invalid, match="no new finalizers can be added if the object is being deleted"):
        await client.patch(CONFIG_MAPS, "a", more, "default")
    await client.patch(CONFIG_MAPS, "a", {"metadata": {"finalizers": None}}, "default")
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAPS, "a", "default")


async def test_propagation_policies_become_finalizers(client: Client) -> None:
    for policy, finalizer in (("Foreground", "foregroundDeletion"), ("Orphan", "orphan")):
        await client.create(DEPLOYMENTS, deployment(policy.lower()))
        options = DeleteOptions(propagation=policy)
        marked = await client.delete(DEPLOYMENTS, policy.lower(), "default", options=options)
        assert marked["metadata"]["finalizers"] == [finalizer]


async def test_pods_on_a_node_get_their_grace(client: Client) -> None:
    pod = {"metadata": {"name": "p", "namespace": "default"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    await client.create(PODS, pod)
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
    options = WriteOptions(subresource="binding")
    await client.create(PODS, binding, "default", name="p", options=options)
    with pytest.raises(Conflict, match='pod p is already assigned to node "n"'):
        await client.create(PODS, binding, "default", name="p", options=options)
    marked = await client.delete(PODS, "p", "default")
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
    gone = await client.delete(PODS, "p", "default", options=DeleteOptions(grace_seconds=0))
    assert gone["kind"] == "Pod"
    with pytest.raises(NotFound):
        await client.get(PODS, "p", "default")


async def test_a_namespace_ends_with_its_last_finalizer(client: Client) -> None:
    await client.create(NAMESPACES, {"metadata": {"name": "n"}})
    marked = await client.delete(NAMESPACES, "n")
    assert marked["status"]["phase"] == "Terminating"
    marked["spec"]["finalizers"] = []
    await client.update(NAMESPACES, marked, options=WriteOptions(subresource="finalize"))
    with pytest.raises(NotFound):
        await client.get(NAMESPACES, "n")


async def test_delete_collection_takes_what_is_selected(client: Client) -> None:
    for name, color in (("a", "red"), ("b", "blue")):
        await client.create(CONFIG_MAPS, config_map(name, labels={"color": color}))
    await client.delete_collection(CONFIG_MAPS, Selection("default", label_selector="color=red"))
    left = await client.list(CONFIG_MAPS, Selection("default"))
    assert [item["metadata"]["name"] for item in left.items] == ["b"]


async def test_watch_from_a_list_sees_every_change(client: Client) -> None:
    listed = await client.list(CONFIG_MAPS)
    made = await client.create(CONFIG_MAPS, config_map("a"))
    async with aclosing(client.watch(CONFIG_MAPS, resource_version=listed.resource_version)) as events:
        assert await anext(events) == ("ADDED", made)
        changed = await client.patch(CONFIG_MAPS, "a", {"data": {"x": "2"}}, "default")
        assert await anext(events) == ("MODIFIED", changed)
        await client.delete(CONFIG_MAPS, "a", "default")
        deleted = await anext(events)
        assert deleted.type == "DELETED"
        assert deleted.object["data"] == {"x": "2"}
        assert int(deleted.object["metadata"]["resourceVersion"]) > int(changed["metadata"]["resourceVersion"])


async def test_watch_without_a_revision_begins_with_what_is_there(client: Client) -> None:
    made = await client.create(CONFIG_MAPS, config_map("a"))
    async with aclosing(client.watch(CONFIG_MAPS, Selection("default"))) as events:
        assert await anext(events) == ("ADDED", made)


async def test_watch_selectors_turn_changes_into_coming_and_going(client: Client) -> None:
    red = Selection("default", label_selector="color=red")
    listed = await client.list(CONFIG_MAPS, red)
    async with aclosing(client.watch(CONFIG_MAPS, red, resource_version=listed.resource_version)) as events:
        first = asyncio.ensure_future(anext(events))
        await client.create(CONFIG_MAPS, config_map("a", labels={"color": "blue"}))
        await client.patch(CONFIG_MAPS, "a", {"metadata": {"labels": {"color": "red"}}}, "default")
        assert (await first).type == "ADDED"
        left = await client.patch(CONFIG_MAPS, "a", {"metadata": {"labels": {"color": "green"}}}, "default")
        gone = await anext(events)
        assert gone.type == "DELETED"
        assert gone.object["metadata"]["labels"] == {"color": "red"}
        assert gone.object["metadata"]["resourceVersion"] == left["metadata"]["resourceVersion"]


async def test_a_revision_that_is_gone_is_expired(client: Client, cluster: HttpsCluster) -> None:
    for index in range(10_600):
        await cluster.client().patch(NAMESPACES, "default", {"metadata": {"labels": {"n": str(index)}}})
    with pytest.raises(Expired, match="too old resource version"):
        await anext(client.watch(NAMESPACES, resource_version="1"))


async def test_raw_paths(client: Client) -> None:
    version = await client.raw("GET", "/version")
    assert (version["major"], version["minor"]) == ("1", "37")
    assert "deployments" in {r["name"] for r in (await client.raw("GET", "/apis/apps/v1"))["resources"]}
    assert await client.raw("GET", "/readyz") == "ok"
    made = await client.raw("POST", "/api/v1/namespaces/default/configmaps", config_map("a"))
    assert made["metadata"]["name"] == "a"
    with pytest.raises(NotFound):
        await client.raw("GET", "/nowhere")
