"""Patches objects: JSON, merge and strategic-merge patches, and server-side apply."""

from collections.abc import Callable
from typing import Any

import orjson

from minikube_py.apiserver.call import Answer, ApiCall
from minikube_py.apiserver.creating import create_object
from minikube_py.apiserver.decoding import check_body, check_patched, field_validation
from minikube_py.apiserver.long_work import LARGE_BYTES, run_step
from minikube_py.apiserver.request_info import is_true
from minikube_py.apiserver.updating import authorize_create, change
from minikube_py.apiserver.writes import WHOLE_OBJECT, UpdateForm, operation_of, schema_node
from minikube_py.client.protocol import PatchType
from minikube_py.objects.apply import apply_patch
from minikube_py.objects.errors import AlreadyExists, BadRequest, Invalid, NotFound, Object, UnsupportedMediaType
from minikube_py.objects.json_pieces import IN_PIECES
from minikube_py.objects.patch import json_patch, merge_patch, strategic_merge
from minikube_py.objects.schema_node import SchemaNode
from minikube_py.resources import schema
from minikube_py.resources.fields import FieldErrors, Path

_APPLY_TYPES = ("application/apply-patch+yaml", "application/apply-patch+cbor")


async def patch(call: ApiCall) -> Answer:
    """PATCH of the object itself."""
    return await patch_with(call, WHOLE_OBJECT)


async def patch_with(call: ApiCall, form: UpdateForm) -> Answer:
    media_type = call.body.media_type
    if media_type in _APPLY_TYPES:
        return await _apply(call, form)
    if "force" in call.query:
        raise _invalid_option(call, "force", "Forbidden: may not be specified for non-apply patch")
    return await change(call, await run_step(call, patcher, call, media_type), form)


def patcher(call: ApiCall, media_type: str) -> Callable[[Object], Object]:
    """A function from the stored object to the patched one, checked against the schema."""
    document = call.body.tree()
    if IN_PIECES.get():
        call.leftovers.append(document)
    already_told = len(call.warnings)
    kind = call.kind
    is_merged = isinstance(document, dict) and media_type in (PatchType.MERGE, PatchType.STRATEGIC)
    touched = frozenset(document) if is_merged and not kind.custom else None

    def produce(old: Object) -> Object:
        new = patch_tree(old, document, media_type, None if kind.custom else schema_node(kind))
        del call.warnings[already_told:]
        check_body(call, new, kind.gvk)
        try:
            check_patched(call, new, touched)
        except BadRequest as error:
            raise _unfit(error, new, document, media_type) from None
        new.setdefault("metadata", {})
        _keep_name(call, new["metadata"], old["metadata"])
        return new

    return produce


def _unfit(error: BadRequest, new: Object, document: Any, media_type: str) -> Invalid:
    """A patch that makes something else than an object of the kind: 422, with what it was judged by."""
    why = error.message.partition(" cannot be handled as a ")[2].partition(": ")[2] or error.message
    value = go_map(document) if media_type == PatchType.STRATEGIC else orjson.dumps(new).decode()
    errors = FieldErrors()
    errors.invalid(Path("patch"), value, why)
    return Invalid.of("", "", "", errors.causes)


def go_map(value: Any) -> str:
    """A JSON tree as Go prints a map."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_map(child)}" for key, child in sorted(value.items())) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(go_map, value)) + "]"
    if value is None:
        return "<nil>"
    return str(value).lower() if isinstance(value, bool) else str(value)


def patch_tree(old: Object, document: Any, media_type: str, node: SchemaNode | None) -> Object:
    """The patched object; `node` None where strategic merge is not known, as for custom kinds."""
    new: Any
    if media_type == PatchType.JSON:
        new = json_patch(old, document)
    elif media_type == PatchType.MERGE:
        new = merge_patch(old, document)
    elif media_type == PatchType.STRATEGIC and node is not None:
        new = strategic_merge(old, document, node)
    else:
        raise unsupported(is_custom=node is None)
    if not isinstance(new, dict):
        raise BadRequest("the patch does not make an object")
    return new


def unsupported(*, is_custom: bool) -> UnsupportedMediaType:
    types = [PatchType.JSON, PatchType.MERGE, PatchType.APPLY, "application/apply-patch+cbor"]
    if not is_custom:
        types.insert(2, PatchType.STRATEGIC)
    return UnsupportedMediaType(
        "the body of the request was in an unknown format - accepted media types include: " + ", ".join(types)
    )


def _keep_name(call: ApiCall, metadata: Object, stored: Object) -> None:
    name = metadata.setdefault("name", stored.get("name"))
    if name != call.info.name:
        raise BadRequest(f"the name of the object ({name}) does not match the name on the URL ({call.info.name})")
    namespace = metadata.get("namespace")
    if namespace and namespace != stored.get("namespace"):
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")


async def _apply(call: ApiCall, form: UpdateForm) -> Answer:
    """Server-side apply: creates the object when it doesn't exist yet."""
    if not call.field_manager:
        raise _invalid_option(call, "fieldManager", "Required value: is required for apply patch")
    applied = await run_step(call, call.body.tree)
    if call.size > LARGE_BYTES:
        call.leftovers.append(applied)
    if not isinstance(applied, dict):
        raise BadRequest("error decoding YAML: the applied configuration is not an object")
    if not isinstance(applied.setdefault("metadata", {}), dict):
        raise BadRequest("error decoding YAML: metadata is not an object")
    node, force = schema_node(call.kind), is_true(call.query.get("force"))
    await run_step(call, _check_applied, call, applied)
    operation = operation_of(call, form.subresource)

    def produce(old: Object | None) -> Object:
        new = apply_patch(old, applied, node, operation, force=force)
        report = schema.check(call.kind, new)
        if report.type_error:
            raise BadRequest(report.decode_error(call.kind.kind, call.kind.version))
        return new

    try:
        return await change(call, produce, form, is_applied=True)
    except NotFound:
        if form.subresource:
            raise
    if applied.get("metadata", {}).get("uid"):
        uid = applied["metadata"]["uid"]
        why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        raise AlreadyExists(why)
    authorize_create(call)
    try:
        return await create_object(call, await run_step(call, produce, None), is_applied=True)
    except AlreadyExists:
        return await change(call, produce, form, is_applied=True)


def _check_applied(call: ApiCall, applied: Object) -> None:
    metadata = applied["metadata"]
    name = metadata.setdefault("name", call.info.name)
    if name != call.info.name:
        raise BadRequest(f"the name of the object ({name}) does not match the name on the URL ({call.info.name})")
    if call.kind.namespaced and metadata.get("namespace", call.info.namespace) != call.info.namespace:
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
    duplicates = call.body.duplicates()
    mode = field_validation(call)
    if duplicates and mode == "Strict":
        why = "".join(f"\n  {one}" for one in duplicates)
        raise BadRequest(f"error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:{why}")
    if mode == "Warn":
        call.warnings.extend(duplicates)


def _invalid_option(call: ApiCall, field: str, text: str) -> BadRequest:
    return BadRequest(f'PatchOptions.meta.k8s.io "" is invalid: {field}: {text}', reason="Invalid", code=422)
