"""What every kind of write shares: default > admission.mutate > prepare > validate > admission.validate > store.

creating.py, updating.py, patching.py and deleting.py are the writes themselves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from minikube_py import clock
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.apiserver.call import Answer, ApiCall
from minikube_py.apiserver.context import Allocation, Allocator
from minikube_py.apiserver.keys import draft_of
from minikube_py.apiserver.long_work import LONG_BYTES, run_large, run_step
from minikube_py.objects.apply import Operation, from_paths, update_managed_fields
from minikube_py.objects.errors import Invalid, Object
from minikube_py.objects.field_set import FieldSet
from minikube_py.objects.json_pieces import same
from minikube_py.objects.managed_fields import decode_entries
from minikube_py.objects.meta import deep_copy
from minikube_py.objects.schema_node import SchemaNode
from minikube_py.resources import schema
from minikube_py.resources.custom.rules import PATIENCE, TooLong
from minikube_py.resources.fields import FieldErrors
from minikube_py.resources.kind import ResourceKind
from minikube_py.resources.metadata import validate_metadata, validate_metadata_update
from minikube_py.store.protocol import Draft, Key, Record

# Kinds whose clients may set a status with the create call: a kubelet registers its node with one.
_STATUS_ON_CREATE = frozenset((("", "Node"),))
_ON_THE_LOOP = 2_000
"""What the rules of a custom object may cost on the event loop: less than a millisecond."""
_NOT_DESIRED = frozenset(("status", "metadata", "kind", "apiVersion"))


class AdmittedView(Protocol):
    """What admission sees in the object's place: a Scale where the object is scaled."""

    def of(self, obj: Object) -> Object: ...

    def put(self, obj: Object, view: Object) -> None:
        """Takes over what admission changed in the view."""
        ...


class UpdateForm(Protocol):
    """How an endpoint turns what a client sent into the object to store: the object itself, /status, /resize, ...

    view None: admission sees the object itself.
    """

    subresource: str
    raises_generation: bool

    @property
    def view(self) -> AdmittedView | None: ...

    def prepare(self, kind: ResourceKind, new: Object, old: Object) -> None:
        """Put back, in place, whatever this endpoint does not let a client change."""
        ...

    def validate(self, kind: ResourceKind, new: Object, old: Object, errors: FieldErrors) -> None: ...


class WholeObject:
    """Updates of the object itself: its status stays as it was."""

    subresource = ""
    raises_generation = True
    view: AdmittedView | None = None

    def prepare(self, kind: ResourceKind, new: Object, old: Object) -> None:
        if "status" in kind.subresources:
            restore(new, old, "status")
        kind.rules.prepare_update(new, old)

    def validate(self, kind: ResourceKind, new: Object, old: Object, errors: FieldErrors) -> None:
        if not kind.custom:  # a custom kind's check of a change lets pass what was wrong before and stays as it is
            kind.rules.validate(new, errors)
        kind.rules.validate_update(new, old, errors)


class StatusOnly:
    """Updates through /status: everything but the status and the metadata stays as it was."""

    subresource = "status"
    raises_generation = False
    view: AdmittedView | None = None

    def prepare(self, kind: ResourceKind, new: Object, old: Object) -> None:
        for key in {*new, *old} - _NOT_DESIRED:
            restore(new, old, key)
        if kind.custom or not kind.rules.status_changes_metadata:
            _restore_metadata(new["metadata"], old["metadata"])
        for key in kind.rules.status_keeps:
            restore(new["metadata"], old["metadata"], key)

    def validate(self, kind: ResourceKind, new: Object, old: Object, errors: FieldErrors) -> None:
        kind.rules.validate_status(new, old, errors)


def _restore_metadata(fresh: Object, stored: Object) -> None:
    """The status of such an object changes no metadata; who owns which field, and the lock, are the write's own."""
    own = {key: fresh[key] for key in ("managedFields", "resourceVersion") if key in fresh}
    for key in [key for key in fresh if key not in stored and key not in own]:
        del fresh[key]
    fresh.update({key: deep_copy(value) for key, value in stored.items() if key not in own})


WHOLE_OBJECT = WholeObject()
STATUS_ONLY = StatusOnly()


def restore(new: Object, old: Object, key: str) -> None:
    """Puts a part of the stored object back: a copy, because the stored object is shared."""
    if key not in old:
        new.pop(key, None)
    elif not same(new.get(key), old[key]):
        new[key] = deep_copy(old[key])


# --- admission -------------------------------------------------------------------------------------------------------


def admission_request(call: ApiCall, operation: str, obj: Object | None, old: Object | None) -> AdmissionRequest:
    return AdmissionRequest(
        call.info, call.kind, operation, call.user, obj, old,
        options=_options(call, operation), dry_run=call.dry_run, warnings=call.warnings,
        audit_annotations=call.audit_annotations,
    )  # fmt: skip


def _options(call: ApiCall, operation: str) -> Object:
    options: Object = {"kind": f"{operation.capitalize()}Options", "apiVersion": "meta.k8s.io/v1"}
    for key in ("fieldManager", "fieldValidation"):
        if key in call.query:
            options[key] = call.query[key]
    if call.query.get("dryRun"):
        options["dryRun"] = [call.query["dryRun"]]
    return options


async def mutate(call: ApiCall, request: AdmissionRequest) -> None:
    before = _managers(request)
    for plugin in call.context.admission:
        await plugin.mutate(request)
    if request.rounds.is_wanted:
        request.rounds.is_second = True
        for plugin in call.context.admission:
            await plugin.mutate(request)
        request.warnings[:] = dict.fromkeys(request.warnings)
    if before and _managers(request) is not before:
        _check_managers(request, before)


def _managers(request: AdmissionRequest) -> list[Object] | None:
    metadata = request.obj.get("metadata") if request.obj is not None else None
    return metadata.get("managedFields") if isinstance(metadata, dict) else None


def _check_managers(request: AdmissionRequest, before: list[Object]) -> None:
    """A webhook may change who owns what; where it leaves nonsense, all is as it was, and the client is told."""
    try:
        decode_entries(_managers(request) or [])
    except ValueError as error:
        if request.obj is not None:
            request.obj["metadata"]["managedFields"] = before
        request.warnings.append(
            ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated "
            f"mutating admission controller; please fix your requests: {error}"
        )


async def admit(call: ApiCall, request: AdmissionRequest) -> None:
    for plugin in call.context.admission:
        await plugin.validate(request)


# --- preparing and validating ----------------------------------------------------------------------------------------


def prepare_create(kind: ResourceKind, obj: Object) -> None:
    """Drops what only the server sets."""
    if "status" in kind.subresources and (kind.group, kind.kind) not in _STATUS_ON_CREATE:
        obj.pop("status", None)
    if kind.rules.has_generation or kind.custom:
        obj["metadata"]["generation"] = 1
    kind.rules.prepare_create(obj)
    if not kind.custom:
        # Go clients and servers write an empty status, and other typed clients rely on its being there.
        schema.fill(kind, obj)


def validate_create(kind: ResourceKind, obj: Object) -> None:
    errors = FieldErrors()
    validate_metadata(obj, kind, errors)
    kind.rules.validate(obj, errors)
    kind.rules.validate_create(obj, errors)
    raise_invalid(kind, obj, errors)


def prepare_update(kind: ResourceKind, new: Object, old: Object, form: UpdateForm) -> None:
    """Puts back what an update may not change and raises the generation when the desired state changed."""
    fresh, stored = new["metadata"], old["metadata"]
    fresh.pop("selfLink", None)
    for key in ("uid", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if not fresh.get(key) and key in stored:
            fresh[key] = stored[key]
    for key in ("creationTimestamp", "generation"):
        restore(fresh, stored, key)
    form.prepare(kind, new, old)
    has_generation = form.raises_generation and (kind.rules.has_generation or kind.custom)
    # A custom kind without the status subresource has no status: the field of that name is desired state.
    ignored = _NOT_DESIRED - {"status"} if kind.custom and "status" not in kind.subresources else _NOT_DESIRED
    if has_generation and (
        _is_desired_state_changed(new, old, ignored)
        or any((fresh.get(key) or {}) != (stored.get(key) or {}) for key in kind.rules.generation_metadata)
    ):
        fresh["generation"] = (stored.get("generation") or 0) + 1


def _is_desired_state_changed(new: Object, old: Object, ignored: frozenset[str]) -> bool:
    for key in {*new, *old} - ignored:
        before, after = old.get(key), new.get(key)
        if before is not after and not same(before, after):
            return True
    return False


def validate_update(kind: ResourceKind, new: Object, old: Object, form: UpdateForm) -> None:
    errors = FieldErrors()
    validate_metadata_update(new, old, errors)
    form.validate(kind, new, old, errors)
    raise_invalid(kind, new, errors)


async def validated(call: ApiCall, validate: Callable[[], None]) -> None:
    """Validates; rules of a custom kind that take long are begun anew in a thread, where they don't hold the loop."""
    if call.size > LONG_BYTES or not call.kind.custom:
        await run_step(call, validate)
        return
    before = PATIENCE.set(_ON_THE_LOOP)
    try:
        validate()
        return
    except TooLong:
        pass
    finally:
        PATIENCE.reset(before)
    await run_large(validate)


def raise_invalid(kind: ResourceKind, obj: Object, errors: FieldErrors) -> None:
    if errors:
        name = obj["metadata"].get("name") or obj["metadata"].get("generateName") or ""
        raise Invalid.of(kind.group, kind.kind, name, errors.causes)


# --- managed fields --------------------------------------------------------------------------------------------------

RECORDED_FIRST = frozenset(("", "status"))
"""Endpoints that record who owns what before admission: what admission sets is nobody's. The others let a client change
a few fields only, so there the result is recorded."""


@cache
def _reset_fields(has_status: bool, subresource: str, keeps_metadata: bool) -> FieldSet | None:
    """What an endpoint puts back anyway, so that its clients never come to own it."""
    if subresource == "":
        return from_paths("status") if has_status else None
    if subresource == "status":
        return from_paths("spec", "metadata") if keeps_metadata else from_paths("spec")
    return None


def operation_of(call: ApiCall, subresource: str) -> Operation:
    kind = call.kind
    keeps_metadata = kind.custom or not kind.rules.status_changes_metadata
    reset = _reset_fields("status" in kind.subresources, subresource, keeps_metadata)
    return Operation(call.field_manager or "unknown", call.kind.api_version, subresource, reset)


def schema_node(kind: ResourceKind) -> SchemaNode:
    return schema.node_for(kind)


def record_manager(call: ApiCall, live: Object | None, new: Object, subresource: str = "") -> None:
    kind = call.kind
    update_managed_fields(live, new, schema_node(kind), operation_of(call, subresource), schema.blank(kind))


# --- storing ---------------------------------------------------------------------------------------------------------


async def draft(call: ApiCall, obj: Object, on_commit: Callable[[Record], None] | None = None) -> Draft:
    """What the store is handed. Raises InternalError when a conversion webhook can't give it."""
    kind, stored = call.kind, None
    if kind.custom_schema is not None and kind.custom_schema.webhook is not None:
        stored = await call.context.conversions.to_storage(kind, obj)
    return await run_step(call, draft_of, kind, obj, call.context.storage_kind(kind), stored, on_commit)


async def store(call: ApiCall, obj: Object, key: Key, expected: int | None) -> Record:
    """Creates (expected None) or updates. Raises what the store raises.

    An object that nobody will change any more is handed to those in the process who watch, too.
    """
    kind, records, on_commit = call.kind, call.context.records, None
    if call.is_answer_shared and not kind.custom and kind.storage_gvk == kind.gvk:

        def on_commit(record: Record) -> None:
            records.offer(kind, record, obj)

    made = await draft(call, obj, on_commit)
    if expected is None:
        return await call.context.store.create(key, made)
    return await call.context.store.update(key, made, expected)


def answer(call: ApiCall, obj: Object, record: Record | None, code: int = 200) -> Answer:
    """The answer to a write. A dry run has no record and answers with the object as it would be."""
    if record is None:
        return Answer(obj, code=code, kind=call.kind)
    obj["metadata"]["resourceVersion"] = str(record.revision)
    data = record.data if call.kind.storage_gvk == call.kind.gvk else b""
    return Answer(obj, data, code, call.kind)


class NoAllocation:
    """For kinds that need nothing unique."""

    def commit(self) -> None:
        return None

    def revert(self) -> None:
        return None


NO_ALLOCATION = NoAllocation()


def allocator_of(call: ApiCall) -> Allocator | None:
    return call.context.allocators.get((call.kind.group, call.kind.kind))


@dataclass
class Allocating:
    """Keeps an allocation when the block ends well, gives it back otherwise."""

    allocation: Allocation
    keep: bool = True

    def __enter__(self) -> None:
        return None

    def __exit__(self, error: object, *_rest: object) -> None:
        if error is None and self.keep:
            self.allocation.commit()
        else:
            self.allocation.revert()


def now() -> str:
    return clock.rfc3339()
