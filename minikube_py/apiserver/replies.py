"""Writes what handlers found into replies, in the format that the client accepts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import orjson

from minikube_py.apiserver.call import Answer, ApiCall
from minikube_py.apiserver.codecs import JSON, PLAIN, Format, encode, not_acceptable
from minikube_py.apiserver.messages import Reply
from minikube_py.apiserver.reads import Listing, list_chunks
from minikube_py.apiserver.transforms import check_include, partial, partial_list, table
from minikube_py.apiserver.watches import Event, Watch, bookmark
from minikube_py.objects.errors import ApiError, Object
from minikube_py.resources.kind import ResourceKind
from minikube_py.store.protocol import Record


def reply_with_record(call: ApiCall, record: Record, form: Format) -> Reply:
    """The answer to a get: the stored bytes as they are, where the client takes them."""
    records = call.context.records
    if form is PLAIN or (form.is_plain_json and not form.transform):
        return Reply(records.data(call.kind, record))
    return reply_with_object(call, records.shared(call.kind, record), form)


def reply_with_answer(call: ApiCall, answer: Answer, form: Format) -> Reply:
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
    shaped = shape(kind or call.kind, obj, form, call.query.get("includeObject"))
    return Reply(encode(shaped, form), content_type=form.content_type)


def shape(kind: ResourceKind, obj: Object, form: Format, include: str | None) -> Object:
    """The object, or the Table or PartialObjectMetadata of it."""
    if form.transform == "Table":
        metadata = {"resourceVersion": (obj.get("metadata") or {}).get("resourceVersion", "")}
        return table(kind, [obj], metadata, form.version, check_include(include))
    if form.transform == "PartialObjectMetadata":
        return partial(obj, form.version)
    if form.transform:
        raise not_acceptable()
    return obj


def reply_with_list(call: ApiCall, listing: Listing, form: Format) -> Reply:
    """The answer to a list: in chunks of stored bytes, where the client takes them."""
    if form.is_plain_json and not form.transform:
        return Reply(chunks=list_chunks(call, listing))
    kind, records = call.kind, call.context.records
    objects = [records.shared(kind, record) for record in listing.records]
    metadata: Object = {"resourceVersion": str(listing.revision)}
    if listing.continue_token:
        metadata["continue"] = listing.continue_token
    if listing.remaining is not None:
        metadata["remainingItemCount"] = listing.remaining
    if form.transform == "Table":
        shaped = table(kind, objects, metadata, form.version, check_include(call.query.get("includeObject")))
    elif form.transform == "PartialObjectMetadataList":
        shaped = partial_list(objects, metadata, form.version)
    elif form.transform:
        raise not_acceptable()
    else:
        shaped = {
            "kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": metadata, "items": objects,
        }  # fmt: skip
    return Reply(encode(shaped, form), content_type=form.content_type)


# --- watches ---------------------------------------------------------------------------------------------------------


def reply_with_watch(call: ApiCall, watch: Watch, form: Format) -> Reply:
    if form.media_type != JSON:
        raise not_acceptable()
    return Reply(stream=_frames(call, watch, _frame_writer(call, form)), content_type=JSON)


FrameWriter = Callable[[Event], bytes]


async def _frames(call: ApiCall, watch: Watch, write: FrameWriter) -> AsyncIterator[bytes]:
    """One line of JSON an event; the last one is an ERROR when the watch can't go on."""
    try:
        async for events in watch.batches():
            yield b"".join([write(event) for event in events])
    except ApiError as error:
        yield _frame("ERROR", orjson.dumps(error.to_status()))
    finally:
        await watch.aclose()


def _frame(kind: str, data: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), data)


def _frame_writer(call: ApiCall, form: Format) -> FrameWriter:
    """Turns events into frames. Frames of transformed objects are made once for all watchers of the kind."""
    kind, records = call.kind, call.context.records
    if not form.transform:

        def plain(event: Event) -> bytes:
            if event.record is None:
                return _frame(event.type, orjson.dumps(bookmark(kind, event)))
            return _frame(event.type, records.data(kind, event.record))

        return plain
    include = check_include(call.query.get("includeObject"))
    if form.transform == "PartialObjectMetadataList":
        raise not_acceptable()

    def transformed(event: Event) -> bytes:
        place = (kind.gvk, event.revision, event.type, form.transform, form.version, include)
        if event.record is None:
            return _frame(event.type, orjson.dumps(_shaped_bookmark(kind, event, form)))
        frame = call.context.frames.get(place)
        if frame is None:
            shaped = shape(kind, records.shared(kind, event.record), form, include)
            frame = _frame(event.type, orjson.dumps(shaped))
            call.context.frames.put(place, frame)
        return frame

    return transformed


def _shaped_bookmark(kind: ResourceKind, event: Event, form: Format) -> Object:
    obj = bookmark(kind, event)
    if form.transform == "Table":
        shaped = table(kind, [], {"resourceVersion": str(event.revision)}, form.version)
        shaped["rows"] = [{"cells": [""] * len(shaped["columnDefinitions"]), "object": partial(obj, form.version)}]
        return shaped
    return partial(obj, form.version)


def iterate_with_pauses(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Chunks with a chance for others between them."""

    async def walk() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk
            await asyncio.sleep(0)

    return walk()
