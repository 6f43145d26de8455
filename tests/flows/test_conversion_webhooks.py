"""Custom resources whose versions a webhook converts: reads, lists of mixed versions, watches, writes and failures."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from minikube_py.apiserver.local_client import LocalClient
from minikube_py.client.protocol import PatchType, Selection
from minikube_py.objects.conditions import get_condition
from minikube_py.objects.errors import ApiError, InternalError, NotFound, Object
from minikube_py.objects.meta import deep_copy
from minikube_py.resources.custom.definition import DEFINITIONS
from minikube_py.resources.kind import GVR
from tests.support.admitting import admitting_cluster
from tests.support.cluster import Cluster, test_cluster
from tests.support.webhook_server import WebhookServer, allow, webhook_server

V1, V2 = GVR("stable.example.com", "v1", "tests"), GVR("stable.example.com", "v2", "tests")
GROUP = "admissionregistration.k8s.io"
POLICIES = GVR(GROUP, "v1", "validatingadmissionpolicies")
BINDINGS = GVR(GROUP, "v1", "validatingadmissionpolicybindings")
VALIDATING = GVR(GROUP, "v1", "validatingwebhookconfigurations")
TEXT: Object = {"type": "string"}


@pytest.fixture
async def hooks(tmp_path: Path) -> AsyncIterator[WebhookServer]:
    async with webhook_server(tmp_path) as server:
        server.handlers["/convert"] = converted
        yield server


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with test_cluster() as running:
        yield running


@pytest.fixture
async def client(cluster: Cluster, hooks: WebhookServer) -> LocalClient:
    return await established(cluster.client(), hooks)


async def established(client: LocalClient, hooks: WebhookServer, made: Object | None = None) -> LocalClient:
    await client.create(DEFINITIONS, made or definition(hooks))
    async with asyncio.timeout(5):
        async for event in client.watch(DEFINITIONS, Selection()):
            if get_condition((event.object.get("status") or {}).get("conditions") or [], "Established"):
                break
    return client


def converted(request: Object) -> Object:
    objects = [convert(deep_copy(obj), request["desiredAPIVersion"]) for obj in request["objects"]]
    return {"convertedObjects": objects, "result": {"status": "Success"}}


def convert(obj: Object, version: str) -> Object:
    if version.endswith("/v2") and "hostPort" in obj:
        obj["host"], _, obj["port"] = obj.pop("hostPort").partition(":")
    elif version.endswith("/v1") and "host" in obj:
        obj["hostPort"] = f"{obj.pop('host')}:{obj.pop('port')}"
    obj["apiVersion"] = version
    return obj


def version(name: str, *fields: str, storage: bool) -> Object:
    schema = {"type": "object", "properties": dict.fromkeys(fields, TEXT)}
    selectable = [{"jsonPath": f".{fields[0]}"}]
    return {
        "name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": schema},
        "selectableFields": selectable,
    }  # fmt: skip


def definition(hooks: WebhookServer) -> Object:
    webhook = {"clientConfig": hooks.config("/convert"), "conversionReviewVersions": ["v1", "v1beta1"]}
    return {
        "metadata": {"name": "tests.stable.example.com"},
        "spec": {
            "group": "stable.example.com", "scope": "Namespaced", "names": {"plural": "tests", "kind": "Test"},
            "versions": [version("v1", "hostPort", storage=True), version("v2", "host", "port", storage=False)],
            "conversion": {"strategy": "Webhook", "webhook": webhook},
        },
    }  # fmt: skip


def first(name: str = "a", **more: Any) -> Object:
    return {"metadata": {"name": name, "labels": {"l": "1"}}, "hostPort": "localhost:8080", **more}


def shown(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key not in ("metadata", "kind")}


AS_V1: Object = {"apiVersion": "stable.example.com/v1", "hostPort": "localhost:8080"}
AS_V2: Object = {"apiVersion": "stable.example.com/v2", "host": "localhost", "port": "8080"}


async def test_what_is_stored_in_one_version_is_read_in_another(client: LocalClient, hooks: WebhookServer) -> None:
    made = await client.create(V1, first(), "default")
    assert not hooks.asked
    read = await client.get(V2, "a", "default")
    assert shown(read) == AS_V2
    assert read["metadata"] == made["metadata"]
    assert shown(await client.get(V2, "a", "default")) == AS_V2
    assert len(hooks.asked) == 1  # what was converted is kept
    assert shown(await client.get(V1, "a", "default")) == AS_V1


async def test_writes_in_the_other_version(client: LocalClient) -> None:
    made = await client.create(V2, {"metadata": {"name": "a"}, "host": "localhost", "port": "8080"}, "default")
    assert shown(made) == AS_V2
    assert shown(await client.get(V1, "a", "default")) == AS_V1
    await client.patch(V2, "a", {"port": "1"}, "default", patch_type=PatchType.MERGE)
    assert (await client.get(V1, "a", "default"))["hostPort"] == "localhost:1"
    changed = await client.get(V2, "a", "default")
    changed["host"] = "there"
    await client.update(V2, changed)
    assert (await client.get(V1, "a", "default"))["hostPort"] == "there:1"
    await client.delete(V2, "a", "default")
    with pytest.raises(NotFound):
        await client.get(V1, "a", "default")


async def test_a_list_of_objects_that_are_stored_in_different_versions(client: LocalClient) -> None:
    await client.create(V1, first(), "default")
    stored = await client.get(DEFINITIONS, "tests.stable.example.com")
    for each in stored["spec"]["versions"]:
        each["storage"] = each["name"] == "v2"
    await client.update(DEFINITIONS, stored)
    async with asyncio.timeout(5):
        async for event in client.watch(DEFINITIONS, Selection()):
            if event.object["status"].get("storedVersions") == ["v1", "v2"]:
                break
    await client.create(V1, first("b"), "default")
    for gvr, form in ((V1, AS_V1), (V2, AS_V2)):
        listed = await client.list(gvr, Selection(namespace="default"))
        assert [shown(obj) for obj in listed.items] == [form, form]
    chosen = await client.list(V2, Selection(namespace="default", field_selector="host=localhost"))
    assert len(chosen.items) == 2


async def test_watchers_see_their_version(client: LocalClient) -> None:
    await client.create(V1, first(), "default")
    seen: list[tuple[str, Object]] = []

    async def follow() -> None:
        async for event in client.watch(V2, Selection(namespace="default")):
            seen.append((event.type, shown(event.object)))
            if event.type == "ADDED" and len(seen) == 1:
                await client.patch(V1, "a", {"hostPort": "localhost:1"}, "default")
                await client.delete(V1, "a", "default")
            if event.type == "DELETED":
                return

    async with asyncio.timeout(5):
        await follow()
    assert seen == [("ADDED", AS_V2), ("MODIFIED", {**AS_V2, "port": "1"}), ("DELETED", {**AS_V2, "port": "1"})]


async def test_watchers_select_by_the_fields_of_their_version(client: LocalClient) -> None:
    await client.create(V1, first(), "default")
    await client.create(V1, first("other", hostPort="elsewhere:1"), "default")
    seen: list[tuple[str, str, str]] = []

    async def change() -> None:
        await client.patch(V1, "other", {"hostPort": "localhost:2"}, "default")
        await client.patch(V1, "other", {"hostPort": "localhost:3"}, "default")
        await client.patch(V1, "a", {"hostPort": "elsewhere:1"}, "default")
        await client.delete(V1, "a", "default")
        await client.delete(V1, "other", "default")

    async def follow() -> None:
        async for event in client.watch(V2, Selection(namespace="default", field_selector="host=localhost")):
            seen.append((event.type, event.object["metadata"]["name"], event.object["port"]))
            if len(seen) == 1:
                await change()
            if event.type == "DELETED" and event.object["metadata"]["name"] == "other":
                return

    async with asyncio.timeout(5):
        await follow()
    assert seen == [
        ("ADDED", "a", "8080"), ("ADDED", "other", "2"), ("MODIFIED", "other", "3"), ("DELETED", "a", "8080"),
        ("DELETED", "other", "3"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("response", "why"),
    [
        ({"convertedObjects": [], "result": {"status": "Failure", "message": "no"}},
         "conversion webhook for stable.example.com/v1, Kind=Test failed: no"),
        ({"convertedObjects": [], "result": {"status": "Success"}}, "returned 0 objects, expected 1"),
        ({"convertedObjects": [{"metadata": {}, "kind": "Test", "apiVersion": "x/v2"}],
          "result": {"status": "Success"}},
         "returned invalid converted object at index 0: invalid groupVersion (expected stable.example.com/v2, "
         "received x/v2)"),
        ({"convertedObjects": [{"metadata": {"name": "z"}, "kind": "Test", "apiVersion": "stable.example.com/v2"}],
          "result": {"status": "Success"}}, "must have the same name: a != z"),
    ],
)  # fmt: skip
async def test_conversions_that_fail(client: LocalClient, hooks: WebhookServer, response: Object, why: str) -> None:
    await client.create(V1, first(), "default")
    hooks.handlers["/convert"] = lambda request: response
    with pytest.raises(InternalError) as caught:
        await client.get(V2, "a", "default")
    assert why in caught.value.message
    assert shown(await client.get(V1, "a", "default")) == AS_V1


async def test_a_webhook_may_change_labels_but_nothing_else_of_the_metadata(
    client: LocalClient, hooks: WebhookServer
) -> None:
    made = await client.create(V1, first(), "default")

    def meddling(request: Object) -> Object:
        response = converted(request)
        for obj in response["convertedObjects"]:
            obj["metadata"]["labels"] = {"l": "2"}
            obj["metadata"]["finalizers"] = ["x.io/y"]
        return response

    hooks.handlers["/convert"] = meddling
    read = await client.get(V2, "a", "default")
    assert read["metadata"] == {**made["metadata"], "labels": {"l": "2"}}


async def test_a_write_that_was_under_way_when_the_storage_version_changed(
    tmp_path: Path, hooks: WebhookServer
) -> None:
    """It is stored as it began, in the version before, and read in the one that is asked for."""
    async with admitting_cluster() as running:
        client, unconverted = running.client(), definition(hooks)
        del unconverted["spec"]["conversion"]
        await established(client, hooks, unconverted)
        hooks.handlers["/slow"] = lambda request: allow()
        rule = {"apiGroups": ["stable.example.com"], "apiVersions": ["*"], "resources": ["tests"], "operations": ["*"]}
        slow = {
            "name": "slow.example.com", "clientConfig": hooks.config("/slow"), "rules": [rule], "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }  # fmt: skip
        await client.create(VALIDATING, {"metadata": {"name": "slow"}, "webhooks": [slow]})
        hooks.gate.clear()
        writing = asyncio.create_task(client.create(V1, first(), "default"))
        async with asyncio.timeout(5):
            await hooks.arrivals.acquire()
            stored = await client.get(DEFINITIONS, "tests.stable.example.com")
            for each in stored["spec"]["versions"]:
                each["storage"] = each["name"] == "v2"
            async with aclosing(client.watch(V1, Selection())) as until_changed:
                await client.update(DEFINITIONS, stored)
                async for _ in until_changed:
                    pass
        hooks.gate.set()
        await writing
        for gvr in (V1, V2):
            assert (await client.get(gvr, "a", "default"))["apiVersion"] == f"{gvr.group}/{gvr.version}"


async def test_a_definition_goes_without_its_webhook(cluster: Cluster, hooks: WebhookServer) -> None:
    """Objects that are stored in the storage version need nobody to convert them when they are deleted."""
    client, newer = cluster.client(), definition(hooks)
    for each in newer["spec"]["versions"]:
        each["storage"] = each["name"] == "v2"
    await established(client, hooks, newer)
    await client.create(V2, {"metadata": {"name": "a"}, "host": "localhost", "port": "8080"}, "default")
    hooks.code = 500
    async with asyncio.timeout(5):
        async for event in client.watch(DEFINITIONS, Selection()):
            if event.type == "ADDED":
                await client.delete(DEFINITIONS, "tests.stable.example.com")
            elif event.type == "DELETED":
                break


async def test_admission_sees_the_version_it_asked_for(tmp_path: Path, hooks: WebhookServer) -> None:
    async with admitting_cluster() as running:
        client = running.client()
        await established(client, hooks)
        rule = {"apiGroups": ["stable.example.com"], "apiVersions": ["v2"], "resources": ["tests"]}
        rule["operations"] = ["CREATE"]
        spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "object.port != '1'"}]}
        await client.create(POLICIES, {"metadata": {"name": "p"}, "spec": spec})
        bound = {"policyName": "p", "validationActions": ["Deny"]}
        await client.create(BINDINGS, {"metadata": {"name": "p"}, "spec": bound})
        await client.create(V1, first(), "default")
        with pytest.raises(ApiError, match=r"failed expression: object\.port != '1'"):
            await client.create(V1, {"metadata": {"name": "b"}, "hostPort": "localhost:1"}, "default")
