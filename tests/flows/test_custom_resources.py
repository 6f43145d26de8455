"""Custom resources from definition to deletion, over a running API server."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from minikube_py.apiserver.local_client import LocalClient
from minikube_py.apiserver.records import StoreReader
from minikube_py.apiserver.server import ApiServer, ApiServerOptions
from minikube_py.apiserver.transforms import table
from minikube_py.client.protocol import PatchType, Selection, WriteOptions
from minikube_py.objects.conditions import get_condition
from minikube_py.objects.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    Forbidden,
    Invalid,
    NotFound,
    Object,
    UnknownPath,
)
from minikube_py.resources.catalog import built_in_kinds
from minikube_py.resources.custom.definition import DEFINITIONS
from minikube_py.resources.kind import GVR
from tests.support.cluster import test_cluster

TABS = GVR("stable.example.com", "v1", "crontabs")
OLD_TABS = GVR("stable.example.com", "v1beta1", "crontabs")
STATUS, SCALE = WriteOptions(subresource="status"), WriteOptions(subresource="scale")
SCHEMA: Object = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "cron": {"type": "string", "default": "5 0 * * *"},
                "image": {"type": "string"},
                "replicas": {"type": "integer", "minimum": 0},
            },
        },
        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "labels": {"type": "string"}}},
    },
}


def definition(**more: Any) -> Object:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA}, **more}
    old = {**version, "name": "v1beta1", "storage": False}
    return {
        "metadata": {"name": "crontabs.stable.example.com"},
        "spec": {
            "group": "stable.example.com",
            "scope": "Namespaced",
            "names": {"plural": "crontabs", "kind": "CronTab", "shortNames": ["ct"]},
            "versions": [version, old],
        },
    }


FULL = {
    "subresources": {
        "status": {},
        "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
    },
    "selectableFields": [{"jsonPath": ".spec.image"}],
    "additionalPrinterColumns": [{"name": "Image", "type": "string", "jsonPath": ".spec.image"}],
}


async def established(client: LocalClient, obj: Object) -> Object:
    await client.create(DEFINITIONS, obj)
    return await until(client, obj["metadata"]["name"], "Established", "True")


async def until(client: LocalClient, name: str, condition: str, status: str) -> Object:
    async with asyncio.timeout(5):
        async for event in client.watch(DEFINITIONS, Selection(field_selector=f"metadata.name={name}")):
            found = get_condition((event.object.get("status") or {}).get("conditions"), condition)
            if found is not None and found["status"] == status:
                return event.object
    raise AssertionError


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Lets the server's tasks run until something holds."""
    async with asyncio.timeout(5):
        while not await holds():  # noqa: ASYNC110  the server tells nobody when it has caught up
            await asyncio.sleep(0)


def tab(name: str = "one", **spec: Any) -> Object:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


async def test_a_definition_is_established_and_its_objects_are_kept() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        found = await established(client, definition(**FULL))
        assert found["status"]["storedVersions"] == ["v1"]
        assert found["status"]["acceptedNames"] == {
            "plural": "crontabs", "singular": "crontab", "kind": "CronTab", "listKind": "CronTabList",
            "shortNames": ["ct"],
        }  # fmt: skip
        assert get_condition(found["status"]["conditions"], "NamesAccepted")["reason"] == "NoConflicts"  # type: ignore[index]

        made = await client.create(TABS, {**tab(image="x"), "status": {"replicas": 1}})
        assert made["spec"] == {"cron": "5 0 * * *", "image": "x"}
        assert "status" not in made
        assert made["metadata"]["generation"] == 1
        with pytest.raises(AlreadyExists):
            await client.create(TABS, tab())
        with pytest.raises(BadRequest, match=r'strict decoding error: unknown field "spec\.typo"'):
            await client.create(TABS, tab("two", typo=1))
        with pytest.raises(Invalid, match="should be greater than or equal to 0"):
            await client.create(TABS, tab("two", replicas=-1))

        patched = await client.patch(TABS, "one", {"spec": {"replicas": 2}}, "default")
        assert patched["metadata"]["generation"] == 2
        with pytest.raises(ApiError, match="unknown format"):
            await client.patch(TABS, "one", {}, "default", patch_type=PatchType.STRATEGIC)
        applied = {"apiVersion": "stable.example.com/v1", "kind": "CronTab", **tab("applied", image="y")}
        options = WriteOptions(field_manager="me")
        await client.patch(TABS, "applied", applied, "default", patch_type=PatchType.APPLY, options=options)
        chosen = await client.list(TABS, Selection("default", field_selector="spec.image=y"))
        assert [item["metadata"]["name"] for item in chosen.items] == ["applied"]
        kind = cluster.api.context.registry.find(TABS)
        assert kind is not None
        assert table(kind, [made], {})["rows"][0]["cells"] == ["one", "x"]


async def test_status_and_scale_change_nothing_else() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        await established(client, definition(**FULL))
        made = await client.create(TABS, tab(replicas=1))
        made["status"] = {"replicas": 1}
        made["spec"]["image"] = "lost"
        made["metadata"]["labels"] = {"also": "lost"}
        changed = await client.update(TABS, made, options=STATUS)
        assert changed["status"] == {"replicas": 1}
        assert "image" not in changed["spec"]
        assert "labels" not in changed["metadata"]
        assert changed["metadata"]["generation"] == 1

        scale = await client.get(TABS, "one", "default", subresource="scale")
        assert (scale["kind"], scale["spec"], scale["status"]) == ("Scale", {"replicas": 1}, {"replicas": 1})
        await client.patch(TABS, "one", {"spec": {"replicas": 4}}, "default", options=SCALE)
        assert (await client.get(TABS, "one", "default"))["spec"]["replicas"] == 4


async def test_versions_show_the_same_objects() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        await established(client, definition())
        await client.create(OLD_TABS, tab(image="x"))
        assert (await client.get(TABS, "one", "default"))["apiVersion"] == "stable.example.com/v1"
        assert (await client.get(OLD_TABS, "one", "default"))["apiVersion"] == "stable.example.com/v1beta1"


async def test_stored_objects_follow_a_new_schema() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        await established(client, definition())
        await client.create(TABS, tab(image="x"))
        crd = await client.get(DEFINITIONS, "crontabs.stable.example.com")
        for version in crd["spec"]["versions"]:
            properties = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
            del properties["image"]
            properties["fresh"] = {"type": "string", "default": "new"}
        await client.update(DEFINITIONS, crd)

        async def is_fresh() -> bool:
            return bool((await client.get(TABS, "one", "default"))["spec"].get("fresh") == "new")

        await eventually(is_fresh)
        found = await client.get(TABS, "one", "default")
        assert found["spec"] == {"cron": "5 0 * * *", "fresh": "new"}


async def watched(client: LocalClient, gvr: GVR, seen: list[tuple[str, str]]) -> None:
    """All events of a watch until it ends by itself."""
    async with asyncio.timeout(5):
        async for event in client.watch(gvr, Selection("default")):
            seen.append((event.type, event.object["apiVersion"]))


async def test_watches_end_when_a_definition_changes_and_when_it_goes() -> None:
    """What is stored in another version from then on must not come in it to those who watch the old one."""
    async with test_cluster() as cluster:
        client = cluster.client()
        await established(client, definition())
        await client.create(TABS, tab(image="x"))
        seen: dict[GVR, list[tuple[str, str]]] = {TABS: [], OLD_TABS: []}
        running = [asyncio.create_task(watched(client, gvr, found)) for gvr, found in seen.items()]

        async def have_begun() -> bool:
            return all(seen.values())

        await eventually(have_begun)
        crd = await client.get(DEFINITIONS, "crontabs.stable.example.com")
        for version in crd["spec"]["versions"]:
            version["storage"] = not version["storage"]
        await client.update(DEFINITIONS, crd)
        await asyncio.gather(*running)
        await client.create(TABS, tab("two", image="x"))
        running = [asyncio.create_task(watched(client, gvr, found)) for gvr, found in seen.items()]
        await asyncio.sleep(0)
        await client.delete(DEFINITIONS, "crontabs.stable.example.com")
        await asyncio.gather(*running)
        for gvr, found in seen.items():
            assert [type_ for type_, _ in found] == ["ADDED", "ADDED", "ADDED", "DELETED", "DELETED"]
            assert {version for _, version in found} == {f"{gvr.group}/{gvr.version}"}


async def test_deleting_a_definition_deletes_its_objects_first() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        await established(client, definition())
        await client.create(TABS, tab())
        held = tab("held")
        held["metadata"]["finalizers"] = ["example.com/wait"]
        await client.create(TABS, held)
        await client.delete(DEFINITIONS, "crontabs.stable.example.com")
        await until(client, "crontabs.stable.example.com", "Terminating", "True")
        with pytest.raises(Forbidden, match="create not allowed while custom resource definition is terminating"):
            await client.create(TABS, tab("late"))

        async def is_alone() -> bool:
            return len((await client.list(TABS)).items) == 1

        await eventually(is_alone)
        await client.patch(TABS, "held", {"metadata": {"finalizers": None}}, "default")

        async def is_gone() -> bool:
            return cluster.api.context.registry.find(TABS) is None

        await eventually(is_gone)
        assert not (await client.list(DEFINITIONS)).items
        with pytest.raises((UnknownPath, NotFound)):
            await client.list(TABS)


async def test_two_definitions_can_not_have_one_name() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        await established(client, definition())
        other = definition()
        other["metadata"]["name"] = "others.stable.example.com"
        other["spec"]["names"] = {"plural": "others", "kind": "CronTab"}
        await client.create(DEFINITIONS, other)
        found = await until(client, "others.stable.example.com", "NamesAccepted", "False")
        condition = get_condition(found["status"]["conditions"], "NamesAccepted")
        assert condition is not None
        assert condition["message"] == '"CronTabList" is already in use'
        await client.delete(DEFINITIONS, "crontabs.stable.example.com")
        await until(client, "others.stable.example.com", "Established", "True")


async def test_rules_of_a_definition_are_checked_and_run() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        for text, why in (("self.z > 1", "undefined field 'z'"), ("self = 1", "Syntax error")):
            wrong = definition()
            for version in wrong["spec"]["versions"]:
                version["schema"] = {"openAPIV3Schema": {**SCHEMA, "x-kubernetes-validations": [{"rule": text}]}}
            with pytest.raises(Invalid, match=why):
                await client.create(DEFINITIONS, wrong)
        good = definition()
        for version in good["spec"]["versions"]:
            rules = [{"rule": "self.spec.replicas < 5"}]
            version["schema"] = {"openAPIV3Schema": {**SCHEMA, "x-kubernetes-validations": rules}}
        await established(client, good)
        await client.create(TABS, tab(replicas=1))
        with pytest.raises(Invalid, match=r"failed rule: self\.spec\.replicas < 5"):
            await client.create(TABS, tab("two", replicas=7))


async def test_a_restarted_server_serves_what_was_established() -> None:
    async with test_cluster() as cluster:
        client = cluster.client()
        await established(client, definition())
        await client.create(TABS, tab())
        again = ApiServer(ApiServerOptions(StoreReader(cluster.store, built_in_kinds())))
        found = await again.local_client(client.user).get(TABS, "one", "default")
        assert found["spec"]["cron"] == "5 0 * * *"


async def test_a_rule_that_takes_long_leaves_others_their_turn() -> None:
    made = definition()
    numbers = {"type": "array", "maxItems": 300, "items": {"type": "integer"}}
    rules = [{"rule": "self.all(x, self.all(y, x != y || x == y))"}]
    schema = {"type": "object", "properties": {"numbers": {**numbers, "x-kubernetes-validations": rules}}}
    for version in made["spec"]["versions"]:
        version["schema"] = {"openAPIV3Schema": schema}
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with test_cluster() as cluster:
        client = cluster.client()
        await established(client, made)
        counting = asyncio.ensure_future(count())
        await client.create(TABS, {"metadata": {"name": "a"}, "numbers": list(range(300))}, "default")
        counting.cancel()
    assert turns > 100
