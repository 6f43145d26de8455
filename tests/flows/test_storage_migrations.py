"""Storage version migrations rewrite what is stored; a class of volume attributes stays while it is used."""

import orjson

from minikube_py.objects.conditions import get_condition, is_true
from minikube_py.objects.errors import Object
from minikube_py.resources.custom.definition import DEFINITIONS
from minikube_py.resources.kind import GVR
from minikube_py.store.protocol import Key
from tests.flows.test_custom_resources import TABS, definition
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.virtual_time import virtual_time

MIGRATIONS = GVR("storagemigration.k8s.io", "v1", "storageversionmigrations")
CLASSES = GVR("storage.k8s.io", "v1", "volumeattributesclasses")
CLAIMS = GVR("", "v1", "persistentvolumeclaims")


def migration(name: str, resource: str, group: str = "") -> Object:
    return {"metadata": {"name": name}, "spec": {"resource": {"group": group, "resource": resource}}}


async def finish(plane: ControlPlane, name: str, type_: str) -> list[Object]:
    """The conditions once the migration is over and says so."""

    async def over() -> bool:
        conditions = (await plane.get(MIGRATIONS, name, "")).get("status", {}).get("conditions")
        running = get_condition(conditions, "Running")
        return is_true(conditions, type_) and (running is None or running["status"] == "False")

    await plane.until(over)
    conditions: list[Object] = (await plane.get(MIGRATIONS, name, ""))["status"]["conditions"]
    return conditions


def stored_version(plane: ControlPlane, name: str) -> str:
    record = plane.cluster.store.get(Key("stable.example.com/crontabs", "default", name))
    assert record is not None
    version: str = orjson.loads(record.data)["apiVersion"]
    return version


async def change_storage_version(plane: ControlPlane) -> None:
    changed = await plane.get(DEFINITIONS, "crontabs.stable.example.com", "")
    for version in changed["spec"]["versions"]:
        version["storage"] = version["name"] == "v1beta1"
    await plane.client.update(DEFINITIONS, changed)

    async def followed() -> bool:
        kind = plane.cluster.api.context.registry.find(TABS)
        return kind is not None and kind.storage_gvk.version == "v1beta1"

    await plane.until(followed)
    status = (await plane.get(DEFINITIONS, "crontabs.stable.example.com", ""))["status"]
    assert status["storedVersions"] == ["v1", "v1beta1"]


@virtual_time
async def test_objects_are_stored_in_the_new_version_and_the_old_one_is_forgotten() -> None:
    async with control_plane(nodes=0) as plane:
        await plane.create(DEFINITIONS, definition(), "")

        async def served() -> bool:
            return plane.cluster.api.context.registry.find(TABS) is not None

        await plane.until(served)
        before = await plane.create(TABS, {"metadata": {"name": "a"}, "spec": {"image": "x"}})
        await change_storage_version(plane)
        assert stored_version(plane, "a") == "stable.example.com/v1"

        await plane.create(MIGRATIONS, migration("m", "crontabs", "stable.example.com"), "")
        conditions = await finish(plane, "m", "Succeeded")
        running = get_condition(conditions, "Running")
        assert running is not None
        assert (running["reason"], running["message"]) == ("MigrationCompleted", "Migration completed")
        assert stored_version(plane, "a") == "stable.example.com/v1beta1"
        after = await plane.get(TABS, "a")
        assert after["spec"] == before["spec"]
        assert after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
        status = (await plane.get(DEFINITIONS, "crontabs.stable.example.com", ""))["status"]
        assert status["storedVersions"] == ["v1beta1"]
        migrating = get_condition(status["conditions"], "StorageMigrating")
        assert migrating is not None
        assert (migrating["status"], migrating["reason"]) == ("False", "MigrationSucceeded")


@virtual_time
async def test_a_write_that_changes_nothing_answers_in_the_version_it_was_asked_in() -> None:
    async with control_plane(nodes=0) as plane:
        await plane.create(DEFINITIONS, definition(), "")

        async def served() -> bool:
            return plane.cluster.api.context.registry.find(TABS) is not None

        await plane.until(served)
        made = await plane.create(TABS, {"metadata": {"name": "a"}, "spec": {"image": "x"}})
        assert (await plane.client.update(TABS, made))["metadata"] == made["metadata"]
        await change_storage_version(plane)
        again = await plane.client.update(TABS, made)
        assert again["apiVersion"] == "stable.example.com/v1"
        assert again["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
        assert stored_version(plane, "a") == "stable.example.com/v1beta1"


@virtual_time
async def test_an_unknown_resource_fails_and_each_resource_has_one_migration_at_a_time() -> None:
    async with control_plane(nodes=0) as plane:
        await plane.create(MIGRATIONS, migration("unknown", "foo"), "")
        failed = get_condition(await finish(plane, "unknown", "Failed"), "Failed")
        assert failed is not None
        assert failed["message"] == "resource does not exist in discovery"
        for name in ("one", "two"):
            await plane.create(MIGRATIONS, migration(name, "configmaps"), "")
        for name in ("one", "two"):
            await finish(plane, name, "Succeeded")
        assert (await plane.get(MIGRATIONS, "two", ""))["status"]["resourceVersion"]


@virtual_time
async def test_a_class_of_volume_attributes_stays_while_a_claim_asks_for_it() -> None:
    async with control_plane(nodes=0) as plane:
        for name in ("used", "free"):
            one = {"metadata": {"name": name}, "driverName": "d.example.com", "parameters": {"a": "b"}}
            await plane.create(CLASSES, one, "")
        spec = {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "none", "volumeAttributesClassName": "used",
            "resources": {"requests": {"storage": "1Gi"}},
        }  # fmt: skip
        await plane.create(CLAIMS, {"metadata": {"name": "c"}, "spec": spec})
        for name in ("used", "free"):
            await plane.client.delete(CLASSES, name)

        async def free_is_gone() -> bool:
            return not await plane.exists(CLASSES, "free", "")

        await plane.until(free_is_gone)
        assert await plane.exists(CLASSES, "used", "")
        await plane.client.delete(CLAIMS, "c", "default")

        async def used_is_gone() -> bool:
            return not await plane.exists(CLASSES, "used", "")

        await plane.until(used_is_gone)
