"""Writes what handlers found into replies, in the format that the client accepts."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import orjson

from minikube_py.apiserver import protobuf
from minikube_py.apiserver.call import Answer, ApiCall
from minikube_py.apiserver.codecs import PLAIN, PROTOBUF, Format, encode, encode_parts, not_acceptable
from minikube_py.apiserver.long_work import SLICE_SECONDS, sliced
from minikube_py.apiserver.messages import Reply
from minikube_py.apiserver.reads import Listing, list_chunks
from minikube_py.apiserver.transforms import check_include, partial, partial_list, shape, table, table_row
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import ResourceKind
from minikube_py.store.protocol import Record


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
        return Reply(answer.data or orjson.dumps(obj), answer.code)
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
    metadata = listing.metadata
    kind = call.kind
    head, key, make = _list_form(call, form, metadata)
    if form.media_type != PROTOBUF:
        shared = call.context.records.shared
        objects = (make(shared(kind, record)) for record in listing.records)
        return Reply(chunks=sliced(encode_parts(head, key, objects, form)), content_type=form.content_type)
    if form.transform:
        head[key] = await _each(call, listing, make)
        return Reply(encode(head, form), content_type=form.content_type)
    gvk = kind.gvk._replace(kind=f"{kind.kind}List")
    messages = await _messages(call, listing)
    return Reply(chunks=protobuf.encode_list(metadata, messages, gvk), content_type=PROTOBUF)


async def _messages(call: ApiCall, listing: Listing) -> list[bytes]:
    """Each object's protobuf message, in slices while there are some to make."""
    kind, kept, made, turns = call.kind, call.context.messages, list[bytes](), call.context.turns
    clock = asyncio.get_running_loop().time
    began = clock()
    for record in listing.records:
        message = kept.find(kind, record)
        if message is None:
            message = kept.message(kind, record)
            if clock() - began > SLICE_SECONDS:
                await turns.next()
                began = clock()
        made.append(message)
    return made


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


T = TypeVar("T")


async def _each(call: ApiCall, listing: Listing, make: Callable[[Object], T]) -> list[T]:
    """Something for each object of a list, in slices."""
    shared, made, turns = call.context.records.shared, list[T](), call.context.turns
    clock = asyncio.get_running_loop().time
    began = clock()
    for record in listing.records:
        made.append(make(shared(call.kind, record)))
        if clock() - began > SLICE_SECONDS:
            await turns.next()
            began = clock()
    return made
