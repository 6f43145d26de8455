"""Rewrites all objects of a resource, so that each is stored in the version that objects are stored in now.

Source: KEP-4192, pkg/controller/storageversionmigrator. A resource has one running migration at a time, the oldest
first; an apply that changes nothing makes the API server store the object anew where it would store it otherwise today.
"""

from collections.abc import Sequence

from minikube_py import clock
from minikube_py.client.protocol import PatchType, Selection, WriteOptions
from minikube_py.controllers.context import STORAGE_VERSION_MIGRATIONS, ControllerContext
from minikube_py.controllers.workloads.writing import write_status
from minikube_py.objects.conditions import get_condition, is_true, set_condition
from minikube_py.objects.errors import AlreadyExists, ApiError, Conflict, NotFound, Object
from minikube_py.objects.meta import deep_copy, name, namespace
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source, own_key
from minikube_py.reconciling.informer import InformerEvent
from minikube_py.resources.custom.definition import DEFINITIONS, storage_version
from minikube_py.resources.kind import ResourceKind

RUNNING, SUCCEEDED, FAILED = "Running", "Succeeded", "Failed"
_RUNNER = WriteOptions(subresource="status", field_manager="migration-runner-controller", force=True)
_MIGRATOR = WriteOptions(field_manager="storage-version-migrator-controller")


class StorageVersionMigrationController:
    name = "storageversionmigration"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("storage-version-migrator-controller")
        self._migrations = context.informers.informer(STORAGE_VERSION_MIGRATIONS)
        self._kinds = context.kinds

    def sources(self) -> Sequence[Source]:
        return (Source(self._migrations, self._concerned),)

    def _concerned(self, event: InformerEvent) -> list[Key]:
        """The migration itself, and those that wait for it."""
        resource = event.object["spec"]["resource"]
        waiting = [Key("", name(one)) for one in self._of_resource(resource)]
        return [*own_key(event), *waiting]

    def _of_resource(self, resource: Object) -> list[Object]:
        return [one for one in self._migrations.cache if one["spec"]["resource"] == resource]

    async def reconcile(self, key: Key) -> float | None:
        migration = self._migrations.cache.get(*key)
        if migration is None:
            return None
        if is_finished(migration):
            if is_running(migration):
                await self._end(migration)
        elif is_running(migration):
            await self._migrate(migration)
        elif self._is_next(migration):
            await self._begin(migration)
        return None

    def _is_next(self, migration: Object) -> bool:
        rivals = self._of_resource(migration["spec"]["resource"])
        if any(is_running(one) for one in rivals):
            return False
        waiting = [one for one in rivals if not is_finished(one)]
        return min(waiting, key=lambda one: (one["metadata"]["creationTimestamp"], name(one))) is migration

    # --- the three steps ----------------------------------------------------------------------------------------------

    async def _begin(self, migration: Object) -> None:
        definition = await self._definition(migration)
        if definition is not None:
            condition = _storage_migrating("True", "MigrationRunning", f"Migration {name(migration)} is running")
            await self._write_definition(definition, condition)
        await self._say(migration, RUNNING, "MigrationRunning", "The migration is running")

    async def _migrate(self, migration: Object) -> None:
        kind = self._kind(migration["spec"]["resource"])
        if kind is None:
            why = "resource does not exist in discovery"
            await self._say(migration, FAILED, "StorageVersionMigrationFailed", why)
            return
        listed = await self._client.list(kind.gvr, Selection())
        if not (migration.get("status") or {}).get("resourceVersion"):
            status = {**(migration.get("status") or {}), "resourceVersion": listed.resource_version}
            migration = await write_status(self._client, self._migrations, migration, status)
        try:
            for obj in listed.items:
                await self._rewrite(kind, obj)
        except ApiError:
            why = "migration encountered unhandled error"
            await self._say(migration, FAILED, "StorageVersionMigrationFailed", why)
            return
        await self._say(migration, SUCCEEDED, "StorageVersionMigrationSucceeded", "")

    async def _rewrite(self, kind: ResourceKind, obj: Object) -> None:
        metadata = {"uid": obj["metadata"]["uid"], "resourceVersion": obj["metadata"]["resourceVersion"]}
        nothing = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
        try:
            await self._client.patch(
                kind.gvr, name(obj), nothing, namespace(obj), patch_type=PatchType.APPLY, options=_MIGRATOR
            )
        except (Conflict, NotFound, AlreadyExists):
            return  # somebody wrote or deleted it meanwhile, so it is not stored as it was

    async def _end(self, migration: Object) -> None:
        definition = await self._definition(migration)
        if definition is not None:
            await self._end_for_definition(definition, is_success=_is(migration, SUCCEEDED))
        status = deep_copy(migration.get("status") or {})
        completed = {
            "type": RUNNING, "status": "False", "reason": "MigrationCompleted", "message": "Migration completed",
            **_observed(migration),
        }  # fmt: skip
        set_condition(status["conditions"], completed)
        await write_status(self._client, self._migrations, migration, status)

    async def _end_for_definition(self, definition: Object, *, is_success: bool) -> None:
        """Older versions are no longer stored, if the definition is as it was when the migration began."""
        begun = get_condition((definition.get("status") or {}).get("conditions"), "StorageMigrating") or {}
        is_unchanged = begun.get("observedGeneration") == definition["metadata"].get("generation")
        reason, why = "MigrationFailed", "The migration has failed"
        if is_success:
            reason, why = "MigrationSucceeded", "The migration has succeeded"
            why += " and the stored versions have been updated" if is_unchanged else (
                " but the stored versions have not been updated due to a generation mismatch"
            )  # fmt: skip
        stored = [storage_version(definition)] if is_unchanged and is_success else None
        await self._write_definition(definition, _storage_migrating("False", reason, why), stored)

    # --- reading and writing ------------------------------------------------------------------------------------------

    def _kind(self, resource: Object) -> ResourceKind | None:
        for kind in self._kinds.all():
            if kind.plural == resource["resource"] and kind.group == (resource.get("group") or ""):
                return kind if {"list", "watch", "patch"} <= set(kind.verbs) else None
        return None

    async def _definition(self, migration: Object) -> Object | None:
        resource = migration["spec"]["resource"]
        if not resource.get("group"):
            return None
        selected = f"metadata.name={resource['resource']}.{resource['group']}"
        found = (await self._client.list(DEFINITIONS, Selection(field_selector=selected))).items
        return found[0] if found else None

    async def _write_definition(self, definition: Object, condition: Object, stored: list[str] | None = None) -> None:
        """Its resourceVersion goes along: the generation in the condition must be the one that was read."""
        metadata = definition["metadata"]
        condition = {**condition, **_observed(definition)}
        status: Object = {"conditions": [condition]}
        if stored:
            status["storedVersions"] = stored
        applied = {
            "apiVersion": DEFINITIONS.api_version,
            "kind": "CustomResourceDefinition",
            "metadata": {"name": metadata["name"], "resourceVersion": metadata["resourceVersion"]},
            "status": status,
        }
        await self._client.patch(
            DEFINITIONS, metadata["name"], applied, patch_type=PatchType.APPLY, options=_RUNNER
        )  # fmt: skip

    async def _say(self, migration: Object, type_: str, reason: str, message: str) -> None:
        status = deep_copy(migration.get("status") or {})
        condition = {"type": type_, "status": "True", "reason": reason, "message": message, **_observed(migration)}
        set_condition(status.setdefault("conditions", []), condition)
        await write_status(self._client, self._migrations, migration, status)


def is_running(migration: Object) -> bool:
    return _is(migration, RUNNING)


def is_finished(migration: Object) -> bool:
    return _is(migration, SUCCEEDED) or _is(migration, FAILED)


def _is(migration: Object, type_: str) -> bool:
    return is_true((migration.get("status") or {}).get("conditions"), type_)


def _observed(obj: Object) -> Object:
    generation = obj["metadata"].get("generation")
    return {"observedGeneration": generation} if generation else {}


def _storage_migrating(status: str, reason: str, message: str) -> Object:
    return {
        "type": "StorageMigrating", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": clock.rfc3339(),
    }  # fmt: skip
