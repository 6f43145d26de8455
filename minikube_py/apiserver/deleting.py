"""Deletes objects: preconditions, grace, finalizers and propagation, at once or in two phases."""

from dataclasses import dataclass, replace
from datetime import timedelta

from minikube_py import clock
from minikube_py.apiserver.call import Answer, ApiCall
from minikube_py.apiserver.keys import key_of
from minikube_py.apiserver.query_options import check_dry_run, number
from minikube_py.apiserver.reads import read_many
from minikube_py.apiserver.writes import admission_request, admit, allocator_of, draft, mutate
from minikube_py.objects.errors import BadRequest, Cause, Conflict, Invalid, NotFound, Object
from minikube_py.objects.meta import deep_copy
from minikube_py.resources.custom.definition import CLEANUP_FINALIZER
from minikube_py.resources.fields import FieldErrors, show
from minikube_py.resources.kind import ResourceKind
from minikube_py.resources.schema import check_definition, definition_of
from minikube_py.store.protocol import KeyNotFound, Record, RevisionConflict

_ATTEMPTS = 30
_ORPHAN, _FOREGROUND = "orphan", "foregroundDeletion"
# Kinds that orphan their dependents when a client doesn't say what to do with them.
_DEFINITION = ("apiextensions.k8s.io", "CustomResourceDefinition")
_ORPHANING = frozenset((("", "ReplicationController"), ("batch", "Job")))
# Kinds whose delete answers with the object instead of a Status.
_ANSWERED_WITH_OBJECT = frozenset((
    ("", "Pod"), ("", "PersistentVolume"), ("", "PersistentVolumeClaim"), ("", "PodTemplate"), ("", "ResourceQuota"),
    ("", "Service"), ("", "ServiceAccount"), ("storage.k8s.io", "StorageClass"), ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "CSINode"), ("storage.k8s.io", "VolumeAttachment"), ("storage.k8s.io", "CSIStorageCapacity"),
))  # fmt: skip


@dataclass(frozen=True)
class DeletionOptions:
    """metav1.DeleteOptions after parsing. propagation is '' when the client left it to the kind."""

    grace_seconds: int | None = None
    propagation: str = ""
    uid: str = ""
    resource_version: str = ""
    ignore_store_errors: bool = False

    def to_dict(self) -> Object:
        options: Object = {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"}
        if self.grace_seconds is not None:
            options["gracePeriodSeconds"] = self.grace_seconds
        if self.propagation:
            options["propagationPolicy"] = self.propagation
        preconditions = {k: v for k, v in (("uid", self.uid), ("resourceVersion", self.resource_version)) if v}
        if preconditions:
            options["preconditions"] = preconditions
        return options


async def delete(call: ApiCall) -> Answer:
    """DELETE of one object."""
    options = read_options(call)
    return await delete_object(call, options)


async def delete_collection(call: ApiCall) -> Answer:
    """DELETE of a collection: one object after the other, each as a delete of its own; the answer lists them."""
    options = read_options(call)
    context, kind = call.context, call.kind
    listing = await read_many(call)
    items: list[Object] = []
    for record in listing.records:
        one = replace(call, info=replace(call.info, name=record.key.name, namespace=record.key.namespace))
        item = context.records.shared(kind, record)
        try:
            await delete_object(one, options)
        except NotFound:
            continue
        items.append(item)
    return Answer({
        "kind": f"{kind.kind}List", "apiVersion": kind.api_version,
        "metadata": listing.metadata, "items": items,
    })  # fmt: skip


async def delete_object(call: ApiCall, options: DeletionOptions) -> Answer:
    """Deletes the object that the call names, or marks it when somebody has still to clean up."""
    kind, store = call.kind, call.context.store
    for _ in range(_ATTEMPTS):
        record = store.get(key_of(kind, call.info.namespace, call.info.name))
        if record is None:
            break
        if kind.custom:
            await call.context.conversions.ready(kind, (record,))
        old = call.context.records.shared(kind, record)
        _check_preconditions(call, options, record, old)
        request = admission_request(call, "DELETE", None, old)
        request.options = options.to_dict()
        await mutate(call, request)
        await admit(call, request)
        try:
            return await _delete(call, options, record, old)
        except RevisionConflict:
            continue
        except KeyNotFound:
            break
    else:
        raise Conflict.of(kind.group, kind.plural, call.info.name)
    raise NotFound.of(kind.group, kind.plural, call.info.name)


async def _delete(call: ApiCall, options: DeletionOptions, record: Record, old: Object) -> Answer:
    kind, store = call.kind, call.context.store
    marked = _marked(kind, options, old)
    if marked is None:
        if not call.dry_run:
            change = await store.delete(record.key, record.revision)
            allocator = allocator_of(call)
            if allocator is not None:
                allocator.after_delete(old)
            if (kind.group, kind.kind) in _ANSWERED_WITH_OBJECT:
                return Answer(call.context.records.fresh(kind, change.record), kind=kind)
        return _success(call, old)
    if marked == old or call.dry_run:
        return Answer(deep_copy(marked), kind=kind)
    stored = await store.update(record.key, await draft(call, marked), record.revision)
    marked["metadata"]["resourceVersion"] = str(stored.revision)
    # 202: the client asked to wait for dependents, so the object lives on for now.
    code = 202 if options.propagation in ("Foreground", "Background") and not _is_graceful(kind) else 200
    return Answer(marked, code=code, kind=kind)


def _success(call: ApiCall, old: Object) -> Answer:
    details: Object = {"name": call.info.name}
    if call.kind.group:
        details["group"] = call.kind.group
    details["kind"] = call.kind.plural
    details["uid"] = old["metadata"].get("uid", "")
    return Answer({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})


# --- what a delete does to the object --------------------------------------------------------------------------------


def _marked(kind: ResourceKind, options: DeletionOptions, old: Object) -> Object | None:
    """The object as it lives on while others clean up; None when it can go now."""
    metadata = old["metadata"]
    finalizers = _finalizers(kind, options, metadata.get("finalizers") or [])
    grace = _grace_seconds(kind, options, old)
    if (kind.group, kind.kind) == _DEFINITION and not metadata.get("deletionTimestamp"):
        finalizers = [*finalizers, CLEANUP_FINALIZER]
    is_kept = bool(finalizers) or grace > 0 or _has_namespace_finalizers(old)
    if not is_kept:
        return None
    marked = deep_copy(old)
    fresh = marked["metadata"]
    if finalizers:
        fresh["finalizers"] = finalizers
    else:
        fresh.pop("finalizers", None)
    if not metadata.get("deletionTimestamp"):
        _mark(fresh, grace)
    elif grace < (metadata.get("deletionGracePeriodSeconds") or 0):
        begun = clock.parse(metadata["deletionTimestamp"]) - timedelta(seconds=metadata["deletionGracePeriodSeconds"])
        fresh["deletionTimestamp"] = clock.rfc3339(begun + timedelta(seconds=grace))
        fresh["deletionGracePeriodSeconds"] = grace
    if kind.kind == "Namespace" and not kind.group:
        marked.setdefault("status", {})["phase"] = "Terminating"
    return marked


def _mark(metadata: Object, grace: int) -> None:
    metadata["deletionTimestamp"] = clock.rfc3339(clock.now() + timedelta(seconds=grace))
    metadata["deletionGracePeriodSeconds"] = grace
    if metadata.get("generation"):
        metadata["generation"] += 1


def _has_namespace_finalizers(obj: Object) -> bool:
    return obj.get("kind") == "Namespace" and bool((obj.get("spec") or {}).get("finalizers"))


def _is_graceful(kind: ResourceKind) -> bool:
    return kind.rules.default_grace_seconds is not None or (kind.group, kind.kind) == ("", "Pod")


def _grace_seconds(kind: ResourceKind, options: DeletionOptions, old: Object) -> int:
    """How long the object lives on for its node's sake; 0 for everything but pods that run."""
    if not _is_graceful(kind):
        return 0
    spec, status = old.get("spec") or {}, old.get("status") or {}
    if not spec.get("nodeName") or status.get("phase") in ("Failed", "Succeeded"):
        return 0
    grace = options.grace_seconds
    stored = old["metadata"].get("deletionGracePeriodSeconds")
    if grace is None:
        grace = stored if stored is not None else spec.get("terminationGracePeriodSeconds", 30)
    if grace < 0:
        grace = 1
    return min(grace, stored) if stored is not None and old["metadata"].get("deletionTimestamp") else int(grace)


def _finalizers(kind: ResourceKind, options: DeletionOptions, stored: list[str]) -> list[str]:
    """The stored finalizers with those of the propagation policy put in or taken out."""
    policy = options.propagation
    if not policy and _ORPHAN not in stored and _FOREGROUND not in stored and (kind.group, kind.kind) in _ORPHANING:
        policy = "Orphan"
    if not policy:
        return list(stored)
    kept = [name for name in stored if name not in (_ORPHAN, _FOREGROUND)]
    if policy == "Orphan":
        kept.append(_ORPHAN)
    elif policy == "Foreground":
        kept.append(_FOREGROUND)
    return kept


# --- options ---------------------------------------------------------------------------------------------------------


def _check_preconditions(call: ApiCall, options: DeletionOptions, record: Record, old: Object) -> None:
    kind, uid = call.kind, old["metadata"].get("uid", "")
    if options.uid and options.uid != uid:
        why = f"Precondition failed: UID in precondition: {options.uid}, UID in object meta: {uid}"
        raise Conflict.of(kind.group, kind.plural, call.info.name, why)
    if options.resource_version and options.resource_version != str(record.revision):
        why = (
            f"Precondition failed: ResourceVersion in precondition: {options.resource_version}, "
            f"ResourceVersion in object meta: {record.revision}"
        )
        raise Conflict.of(kind.group, kind.plural, call.info.name, why)


def read_options(call: ApiCall) -> DeletionOptions:
    """DeleteOptions from the body, or from the query where the body says nothing."""
    body, query = _options_body(call), call.query
    if body.get("dryRun") and not call.query.get("dryRun"):
        errors = FieldErrors()
        for value in body["dryRun"]:
            check_dry_run(value, errors)
        if errors:
            raise Invalid.of("meta.k8s.io", "DeleteOptions", "", errors.causes)
        call.query = {**call.query, "dryRun": body["dryRun"][0]}
    grace = body.get("gracePeriodSeconds")
    if grace is None and query.get("gracePeriodSeconds"):
        grace = number(query, "gracePeriodSeconds")
    orphan = body.get("orphanDependents")
    if orphan is None and query.get("orphanDependents"):
        orphan = query["orphanDependents"] == "true"
    policy = body.get("propagationPolicy") or query.get("propagationPolicy") or ""
    if policy and orphan is not None:
        raise _invalid(
            "orphanDependents and propagationPolicy can't be set at the same time", "propagationPolicy", policy
        )
    if policy not in ("", "Background", "Foreground", "Orphan"):
        raise _invalid('valid values are "Foreground", "Background", "Orphan", nil', "propagationPolicy", policy)
    if orphan is not None:
        policy = "Orphan" if orphan else "Background"
    preconditions = body.get("preconditions") or {}
    return DeletionOptions(grace, policy, preconditions.get("uid") or "", preconditions.get("resourceVersion") or "")


def _options_body(call: ApiCall) -> Object:
    """The DeleteOptions of the body, of whatever group they say they are. Raises BadRequest."""
    body = call.body.tree()
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise BadRequest("couldn't get version/kind; json parse error: the options are not an object")
    if body.get("kind") not in (None, "", "DeleteOptions"):
        raise BadRequest(f"no kind {show(body['kind'])} is registered for delete options")
    report = check_definition(definition_of("", "v1", "DeleteOptions") or "", body)
    if report.type_error:
        raise BadRequest(report.decode_error("DeleteOptions", "v1"))
    return body


def _invalid(why: str, field: str, value: str) -> Invalid:
    return Invalid.of(
        "meta.k8s.io", "DeleteOptions", "", [Cause("FieldValueInvalid", f'Invalid value: "{value}": {why}', field)]
    )
