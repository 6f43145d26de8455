"""Changes stored objects: update, and the compare-and-swap loop that patch, apply and subresources use too."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from minikube_py.apiserver.authorizing import authorize
from minikube_py.apiserver.call import Answer, ApiCall
from minikube_py.apiserver.creating import create_object
from minikube_py.apiserver.decoding import decode_object, place
from minikube_py.apiserver.keys import key_of
from minikube_py.apiserver.long_work import run_step
from minikube_py.apiserver.writes import (
    NO_ALLOCATION,
    RECORDED_FIRST,
    WHOLE_OBJECT,
    Allocating,
    UpdateForm,
    admission_request,
    admit,
    allocator_of,
    answer,
    mutate,
    prepare_update,
    record_manager,
    store,
    validate_update,
    validated,
)
from minikube_py.objects.errors import BadRequest, Cause, Conflict, Invalid, NotFound, Object
from minikube_py.objects.json_pieces import same
from minikube_py.objects.managed_fields import has_same_managers
from minikube_py.objects.meta import deep_copy
from minikube_py.store.protocol import KeyNotFound, Record, RevisionConflict

# A caller loses the race only against writes that succeeded, so each turn is somebody's progress.
_ATTEMPTS = 30
# Kinds that warn only people who make an object: pods are changed by programs, at a rate that forbids it.
_TOLD_ONCE = frozenset((("", "Pod"), ("networking.k8s.io", "Ingress")))


async def update(call: ApiCall) -> Answer:
    """PUT of the object itself, or of a subresource with a body of the same kind."""
    return await update_with(call, WHOLE_OBJECT)


async def update_with(call: ApiCall, form: UpdateForm) -> Answer:
    kind = call.kind
    sent = await run_step(call, decode_object, call)
    metadata = place(call, sent)
    check_name(call, metadata)
    rules = kind.rules
    if not form.subresource and rules.allows_create_on_update and find_record(call) is None:
        metadata.pop("resourceVersion", None)
        authorize_create(call)
        return await create_object(call, sent)
    if not metadata.get("resourceVersion") and not rules.allows_unconditional_update:
        if find_record(call) is None:
            raise NotFound.of(kind.group, kind.plural, call.info.name)
        why = "Invalid value: 0: must be specified for an update"
        raise Invalid.of(
            kind.group, kind.kind, call.info.name, [Cause("FieldValueInvalid", why, "metadata.resourceVersion")]
        )
    return await change(call, lambda _old: deep_copy(sent), form)


def authorize_create(call: ApiCall) -> None:
    """An update or apply of what doesn't exist yet makes it, so its user must be allowed to. Raises Forbidden."""
    authorize(call.context, call.user, replace(call.info, verb="create"))


def check_name(call: ApiCall, metadata: Object) -> None:
    name = metadata.setdefault("name", call.info.name)
    if name != call.info.name:
        raise BadRequest(f"the name of the object ({name}) does not match the name on the URL ({call.info.name})")


async def change(
    call: ApiCall,
    produce: Callable[[Object], Object],
    form: UpdateForm,
    *,
    is_applied: bool = False,
    is_admitted: bool = False,
) -> Answer:
    """Stores what `produce` makes of the current object, again and again until nobody else was faster.

    produce gets the stored object, shared, and returns a tree of its own; a resourceVersion in it that isn't the
    stored one is the client's lock. Applied trees bring their managedFields along. is_admitted: admission has seen
    the request's own body (a binding) already.
    """
    for _ in range(_ATTEMPTS):
        record = find_record(call)
        if record is None:
            raise NotFound.of(call.kind.group, call.kind.plural, call.info.name)
        if call.kind.custom:
            await call.context.conversions.ready(call.kind, (record,))
        call.size = max(call.size, len(record.data))
        old = await run_step(call, call.context.records.shared, call.kind, record)
        new = await run_step(call, produce, old)
        check_preconditions(call, new["metadata"], record, old)
        attempt = await run_step(call, _Attempt, call, new, old, record, form, is_applied)
        try:
            if not is_admitted:
                await attempt.mutate()
            return await attempt.store(is_admitted=is_admitted)
        except RevisionConflict:
            continue
        except KeyNotFound:
            raise NotFound.of(call.kind.group, call.kind.plural, call.info.name) from None
    raise Conflict.of(call.kind.group, call.kind.plural, call.info.name)


def find_record(call: ApiCall) -> Record | None:
    return call.context.store.get(key_of(call.kind, call.info.namespace, call.info.name))


def check_preconditions(call: ApiCall, metadata: Object, record: Record, old: Object) -> None:
    """The uid and resourceVersion that the client sent, if any, must be those of the stored object."""
    kind = call.kind
    uid, stored = metadata.get("uid"), old["metadata"].get("uid")
    if uid and stored and uid != stored:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {stored}"
        raise Conflict.of(kind.group, kind.plural, call.info.name, why)
    version = metadata.get("resourceVersion")
    if not version or version == "0":
        return
    if not version.isdigit():
        why = f'strconv.ParseUint: parsing "{version}": invalid syntax'
        cause = Cause("FieldValueInvalid", f'Invalid value: "{version}": {why}', "metadata.resourceVersion")
        raise Invalid.of(kind.group, kind.kind, call.info.name, [cause])
    if int(version) != record.revision:
        raise Conflict.of(kind.group, kind.plural, call.info.name)


@dataclass
class _Attempt:
    """One turn of the compare-and-swap loop: the new tree against the state it was made from."""

    call: ApiCall
    new: Object
    old: Object
    record: Record
    form: UpdateForm
    is_applied: bool

    def __post_init__(self) -> None:
        kind, metadata = self.call.kind, self.new["metadata"]
        metadata["resourceVersion"] = str(self.record.revision)
        if kind.namespaced:
            metadata["namespace"] = self.record.key.namespace
        kind.rules.default(self.new)
        if not self.is_applied and self.form.subresource in RECORDED_FIRST:
            record_manager(self.call, self.old, self.new, self.form.subresource)
        view = self.form.view
        new, old = (self.new, self.old) if view is None else (view.of(self.new), view.of(self.old))
        self.request = admission_request(self.call, "UPDATE", new, old)

    async def mutate(self) -> None:
        if self.call.context.admission:
            await mutate(self.call, self.request)
            if self.form.view is not None and self.request.obj is not None:
                self.form.view.put(self.new, self.request.obj)
            await run_step(self.call, self.call.kind.rules.default, self.new)

    async def store(self, *, is_admitted: bool) -> Answer:
        """prepare > validate > admission.validate > store. Raises RevisionConflict, KeyNotFound."""
        call, new, old, kind = self.call, self.new, self.old, self.call.kind
        await run_step(call, prepare_update, kind, new, old, self.form)
        allocator = allocator_of(call)
        allocation = allocator.before_update(new, old) if allocator is not None else NO_ALLOCATION
        with Allocating(allocation, keep=not call.dry_run):
            await validated(call, lambda: validate_update(kind, new, old, self.form))
            if not is_admitted:
                await admit(call, self.request)
            if (
                await run_step(call, is_same, new, old)
                and not is_finished(new, old)
                and call.context.records.is_as_stored(kind, self.record)
            ):
                if "managedFields" in old["metadata"]:
                    new["metadata"]["managedFields"] = old["metadata"]["managedFields"]
                return Answer(new, self.record.data if kind.storage_gvk == kind.gvk else b"", 200, kind)
            await self._warn()
            if not self.is_applied and self.form.subresource not in RECORDED_FIRST:
                await run_step(call, record_manager, call, old, new, self.form.subresource)
            return answer(call, new, await self._replace())

    async def _changes_nothing(self) -> bool:
        call, new, old = self.call, self.new, self.old
        if not await run_step(call, is_same, new, old) or is_finished(new, old):
            return False
        return call.context.records.is_as_stored(call.kind, self.record)

    async def _warn(self) -> None:
        """What people should know of the desired state, when it has changed."""
        kind = self.call.kind
        if kind.rules.warnings is None or self.form.subresource or (kind.group, kind.kind) in _TOLD_ONCE:
            return
        new, old = self.new["metadata"].get("generation"), self.old["metadata"].get("generation")
        if new != old or not kind.rules.has_generation:
            self.call.warnings.extend(await run_step(self.call, kind.rules.warnings, self.new))

    async def _replace(self) -> Record | None:
        """Stores the new state, or removes the object when this write let go of its last finalizer."""
        call, record = self.call, self.record
        if call.dry_run:
            return None
        if is_finished(self.new, self.old):
            await call.context.store.delete(record.key, record.revision)
            allocator = allocator_of(call)
            if allocator is not None:
                allocator.after_delete(self.old)
            return None
        return await store(call, self.new, record.key, record.revision)


def is_same(new: Object, old: Object) -> bool:
    """Whether the write changes nothing but the times of managers, so that it makes no new revision."""
    if same(new, old):
        return True
    fresh, stored = new["metadata"], old["metadata"]
    mine, theirs = fresh.get("managedFields"), stored.get("managedFields")
    if not mine or not theirs or mine == theirs or not has_same_managers(mine, theirs):
        return False
    return same({**new, "metadata": {**fresh, "managedFields": theirs}}, old)


def is_finished(new: Object, old: Object) -> bool:
    """A deleted object without finalizers, whose grace period is over, goes with the write that finished it."""
    metadata = new["metadata"]
    if metadata.get("finalizers") or not old["metadata"].get("deletionTimestamp"):
        return False
    if new.get("kind") == "Namespace" and (new.get("spec") or {}).get("finalizers"):
        return False
    return not old["metadata"].get("deletionGracePeriodSeconds")
