"""Writes watch events as frames in the form the client asked for: lines of JSON, or counted protobuf messages."""

from collections.abc import AsyncIterator, Callable

import orjson

from minikube_py.apiserver import protobuf
from minikube_py.apiserver.call import ApiCall
from minikube_py.apiserver.codecs import JSON, PROTOBUF, Format, not_acceptable
from minikube_py.apiserver.long_work import Turns
from minikube_py.apiserver.messages import Reply
from minikube_py.apiserver.request_counts import WatchCount
from minikube_py.apiserver.transforms import check_include, partial, shape, table
from minikube_py.apiserver.watches import Event, Watch, bookmark, open_watch
from minikube_py.objects.errors import ApiError, Object
from minikube_py.resources.kind import ResourceKind

_PIECE_EVENTS = 32
FrameWriter = Callable[[Event], bytes]


async def reply_with_watch(call: ApiCall, form: Format) -> Reply:
    """The answer to a watch, which listens until the reply's `close`. It begins in its turn: many start with a list."""
    if form.media_type not in (JSON, PROTOBUF) or form.transform == "PartialObjectMetadataList":
        raise not_acceptable()
    content_type = JSON if form.media_type == JSON else f"{PROTOBUF};stream=watch"
    await call.context.turns.next()
    counts, writer = call.context.counts.watch(call.kind.gvr), _writer(call, form)
    watch = open_watch(call)
    frames = _frames(watch, writer, form, counts, call.context.turns)
    return Reply(stream=frames, content_type=content_type, close=watch.aclose)


async def _frames(
    watch: Watch, write: FrameWriter, form: Format, counts: WatchCount, turns: Turns
) -> AsyncIterator[bytes]:
    """The last frame is an ERROR when the watch can't go on. Many events at once go out in pieces, one in a turn."""
    counts.is_open += 1
    try:
        async for events in watch.batches():
            for start in range(0, len(events), _PIECE_EVENTS):
                piece = events[start : start + _PIECE_EVENTS]
                if len(piece) == _PIECE_EVENTS:
                    await turns.next()
                frames = b"".join([write(event) for event in piece])
                counts.events += len(piece)
                counts.size += len(frames)
                yield frames
    except ApiError as error:
        yield _encoded("ERROR", error.to_status(), form)
    finally:
        counts.is_open -= 1
        await watch.aclose()


def _frame(type_: str, data: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (type_.encode(), data)


def _encoded(type_: str, obj: Object, form: Format) -> bytes:
    if form.media_type == PROTOBUF:
        return protobuf.watch_frame(type_, protobuf.encode(obj))
    return _frame(type_, orjson.dumps(obj))


def _writer(call: ApiCall, form: Format) -> FrameWriter:
    """Frames that are more than stored bytes are made once for all who watch the kind in that form."""
    kind, records, kept = call.kind, call.context.records, call.context.frames
    if form.media_type == JSON and not form.transform:

        def plain(event: Event) -> bytes:
            if event.record is None:
                return _frame(event.type, orjson.dumps(bookmark(kind, event)))
            return _frame(event.type, records.data(kind, event.record))

        return plain
    transform = (form.transform, form.version)
    include = check_include(call.query.get("includeObject"))

    def made(event: Event) -> bytes:
        if event.record is None:
            return _encoded(event.type, _shaped_bookmark(kind, event, transform), form)
        place = (kind.gvk, event.record.key, event.revision, event.type, form.media_type, transform, include)
        frame = kept.get(place)
        if frame is None:
            frame = _encoded(event.type, shape(kind, records.shared(kind, event.record), transform, include), form)
            kept.put(place, frame)
        return frame

    return made


def _shaped_bookmark(kind: ResourceKind, event: Event, transform: tuple[str, str]) -> Object:
    obj, (form, version) = bookmark(kind, event), transform
    if form == "Table":
        shaped = table(kind, [], {"resourceVersion": str(event.revision)}, version)
        shaped["rows"] = [{"cells": [""] * len(shaped["columnDefinitions"]), "object": partial(obj, version)}]
        return shaped
    return partial(obj, version) if form else obj
