"""Writes what handlers found into replies, in the format that the client accepts."""

from collections.abc import Callable, Sequence
from typing import Any

from minikube_py.apiserver import protobuf
from minikube_py.apiserver.call import Answer, ApiCall
from minikube_py.apiserver.codecs import PLAIN, PROTOBUF, Format, encode, encode_parts, not_acceptable
from minikube_py.apiserver.long_work import Slice
from minikube_py.apiserver.messages import Reply
from minikube_py.apiserver.reads import Listing, list_chunks
from minikube_py.apiserver.transforms import check_include, partial, partial_list, shape, table, table_row
from minikube_py.objects.errors import Object
from minikube_py.objects.json_pieces import dumps
from minikube_py.resources.kind import GVK, ResourceKind
from minikube_py.store.protocol import Record

_PARTIAL = GVK("meta.k8s.io", "v1", "PartialObjectMetadata")


def reply_with_record(call: ApiCall, record: Record, form: Format) -> Reply:
    """The answer to a get: the stored bytes as they are, where the client takes them."""
    records = call.context.records
    if form is PLAIN or (form.is_plain_json and not form.transform):
        return Reply(records.data(call.kind, record))
    if form.media_type == PROTOBUF and not form.transform and protobuf.has_protobuf(call.kind.gvk):
        message = call.context.messages.message(call.kind, record)
        return Reply(protobuf.encode_kept(message, call.kind.gvk), content_type=PROTOBUF)
    return reply_with_object(call, records.shared(call.kind, record), form)


def reply_with_answer(call: ApiCall, answer: Answer, form: Format) -> Reply:
    if answer.items is not None:
        return _reply_with_items(call, answer.items, form)
    obj = answer.obj or {}
    if form.is_plain_json and not form.transform:
        return Reply(answer.data or dumps(obj), answer.code)
    if answer.kind is None and form.transform:
        # Statuses and bodies of other kinds have no table; the client gets them as they are.
        form = Format(form.media_type, is_pretty=form.is_pretty)
    reply = reply_with_object(call, obj, form, answer.kind)
    reply.code = answer.code
    return reply


def reply_with_object(call: ApiCall, obj: Object, form: Format, kind: ResourceKind | None = None) -> Reply:
    shaped = shape(kind or call.kind, obj, (form.transform, form.version), call.query.get("includeObject"))
    return Reply(encode(shaped, form), content_type=form.content_type)


def _reply_with_items(call: ApiCall, items: Sequence[Object], form: Format) -> Reply:
    """A list of objects that were never stored."""
    shaped = _list_in_form(call.kind, items, form, call.query.get("includeObject"))
    return Reply(encode(shaped, form), content_type=form.content_type)


def _list_in_form(kind: ResourceKind, items: Sequence[Object], form: Format, include: str | None) -> Object:
    if form.transform == "Table":
        return table(kind, items, {}, form.version, check_include(include))
    if form.transform == "PartialObjectMetadataList":
        return partial_list(items, {}, form.version)
    if form.transform:
        raise not_acceptable()
    return {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": {}, "items": list(items)}


async def reply_with_list(call: ApiCall, listing: Listing, form: Format) -> Reply:
    """The answer to a list: in pieces that are made while others are answered."""
    if form.is_plain_json and not form.transform:
        return Reply(chunks=list_chunks(call, listing))
    metadata, kind, read = listing.metadata, call.kind, call.context.records.once
    head, key, make = _list_form(call, form, metadata)
    if form.media_type != PROTOBUF:
        objects = (make(read(kind, record)) for record in listing.records)
        return Reply(chunks=encode_parts(head, key, objects, form), content_type=form.content_type)
    if form.transform:
        body = protobuf.ListBody(metadata, _PARTIAL._replace(kind=head["kind"], version=form.version))
        messages = (protobuf.encode_message(make(read(kind, record)), _PARTIAL) for record in listing.records)
    else:
        body = protobuf.ListBody(metadata, kind.gvk._replace(kind=f"{kind.kind}List"))
        messages = (call.context.messages.message(kind, record) for record in listing.records)
    slice_ = Slice(call.context.turns)
    for message in messages:
        body.add(message)
        if slice_.is_over:
            await slice_.next()
    return Reply(chunks=body.pieces(), content_type=PROTOBUF)


def _list_form(call: ApiCall, form: Format, metadata: Object) -> tuple[Object, str, Callable[[Object], Any]]:
    """The list without its items, the field that they stand in, and what becomes of each. Raises NotAcceptable."""
    kind, version = call.kind, form.version
    if form.transform == "Table":
        include = check_include(call.query.get("includeObject"))
        return table(kind, [], metadata, version, include), "rows", lambda obj: table_row(kind, obj, version, include)
    if form.transform == "PartialObjectMetadataList":
        return partial_list([], metadata, version), "items", lambda obj: partial(obj, version)
    if form.transform:
        raise not_acceptable()
    head = {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": metadata}
    return head, "items", lambda obj: obj
