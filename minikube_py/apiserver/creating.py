"""Creates objects: names, UIDs and times are given here, then the write goes through the shared block."""

from minikube_py import ids
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.apiserver.call import Answer, ApiCall
from minikube_py.apiserver.decoding import decode_object, place
from minikube_py.apiserver.keys import key_of
from minikube_py.apiserver.long_work import run_step
from minikube_py.apiserver.writes import (
    NO_ALLOCATION,
    Allocating,
    admission_request,
    admit,
    allocator_of,
    answer,
    mutate,
    now,
    prepare_create,
    record_manager,
    store,
    validate_create,
    validated,
)
from minikube_py.objects.errors import AlreadyExists, BadRequest, Object
from minikube_py.objects.json_pieces import dumps, loads
from minikube_py.store.protocol import KeyExists, Record

_NAME_ATTEMPTS = 8
_MAX_PREFIX = 58
_SERVER_SET = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink")


async def create(call: ApiCall) -> Answer:
    """POST to a collection."""
    return await create_object(call, await run_step(call, decode_object, call))


async def create_object(call: ApiCall, obj: Object, *, is_applied: bool = False) -> Answer:
    """The flow of a create for a decoded object. An applied one brings its managedFields along."""
    metadata = place(call, obj)
    if metadata.get("resourceVersion") and not is_applied:
        raise BadRequest("resourceVersion should not be set on objects to be created")
    for key in _SERVER_SET:
        metadata.pop(key, None)
    await run_step(call, call.kind.rules.default, obj)
    if not is_applied:
        await run_step(call, record_manager, call, None, obj)
    request = admission_request(call, "CREATE", obj, None)
    await mutate(call, request)
    if call.context.admission:
        await run_step(call, call.kind.rules.default, obj)
    if metadata.get("name") or not metadata.get("generateName"):
        return await _store(call, obj, request)
    return await _create_named(call, obj, request)


async def _create_named(call: ApiCall, obj: Object, request: AdmissionRequest) -> Answer:
    prefix = obj["metadata"]["generateName"][:_MAX_PREFIX]
    pristine = await run_step(
        call, dumps, obj
    )  # a name that is taken is rare: the object is copied for the second attempt only
    for number in range(_NAME_ATTEMPTS):
        attempt = loads(pristine) if number else obj
        attempt["metadata"]["name"] = prefix + ids.name_suffix()
        request.obj = attempt
        try:
            return await _store(call, attempt, request)
        except AlreadyExists:
            continue
    raise AlreadyExists.of(call.kind.group, call.kind.plural, prefix + ids.name_suffix())


async def _store(call: ApiCall, obj: Object, request: AdmissionRequest) -> Answer:
    kind, metadata = call.kind, obj["metadata"]
    metadata["uid"] = ids.uid()
    metadata["creationTimestamp"] = now()
    prepare_create(kind, obj)
    allocator = allocator_of(call)
    allocation = allocator.before_create(obj) if allocator is not None else NO_ALLOCATION
    with Allocating(allocation, keep=not call.dry_run):
        await validated(call, lambda: validate_create(kind, obj))
        await admit(call, request)
        if kind.rules.warnings is not None:
            call.warnings.extend(await run_step(call, kind.rules.warnings, obj))
        record = await _insert(call, obj)
    return answer(call, obj, record, 201)


async def _insert(call: ApiCall, obj: Object) -> Record | None:
    kind, metadata = call.kind, obj["metadata"]
    key = key_of(kind, metadata.get("namespace", ""), metadata["name"])
    try:
        if not call.dry_run:
            return await store(call, obj, key, None)
        if call.context.store.get(key) is not None:
            raise KeyExists
    except KeyExists:
        current = call.context.store.get(key)
        if current is not None and b'"deletionTimestamp"' in current.data and metadata.get("generateName") is None:
            await call.context.conversions.ready(kind, (current,))
            stored = call.context.records.shared(kind, current)
            if stored["metadata"].get("deletionTimestamp"):
                raise AlreadyExists(
                    f"object is being deleted: {AlreadyExists.of(kind.group, kind.plural, metadata['name']).message}",
                    details=AlreadyExists.of(kind.group, kind.plural, metadata["name"]).details,
                ) from None
        raise AlreadyExists.of(kind.group, kind.plural, metadata["name"]) from None
    return None
