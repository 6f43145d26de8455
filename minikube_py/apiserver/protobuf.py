"""Turns objects into Kubernetes' protobuf form and back: `application/vnd.kubernetes.protobuf`.

A body is `k8s\\0` and a runtime.Unknown: the type, then the object's own message. A watch is a row of frames, each a
4-byte big-endian length and a WatchEvent whose object is such a body. Source: apimachinery runtime/serializer/protobuf
and the API concepts page on protobuf.
"""

import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from minikube_py.apiserver.protobuf_messages import Message, Table
from minikube_py.apiserver.protobuf_values import PAYLOADS, ProtobufError, delimited, only_field, spans, varint
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import GVK

__all__ = [
    "ListBody",
    "NotEncodable",
    "ProtobufError",
    "decode",
    "encode",
    "encode_kept",
    "encode_message",
    "watch_frame",
]

MAGIC = b"k8s\x00"
_NO_CONTENT_TYPE = b"\x1a\x00\x22\x00"
_ITEMS_TAG = b"\x12"
_ITEMS_A_PIECE = 16
_TABLE = Path(__file__).resolve().parent.parent / "resources" / "schema" / "protobuf.json"


class NotEncodable(ProtobufError):
    """The kind has no protobuf form (custom resources, Tables): answer in JSON, or 406."""


def has_protobuf(gvk: GVK) -> bool:
    return table().find(gvk.api_version, gvk.kind) is not None


def encode(obj: Object, gvk: GVK | None = None) -> bytes:
    """A response body. gvk None means what the object says of itself. Raises NotEncodable, ProtobufError."""
    api_version, kind = (gvk.api_version, gvk.kind) if gvk else (obj.get("apiVersion", ""), obj.get("kind", ""))
    return _envelope(api_version, kind, _encode(_message(api_version, kind), obj))


def encode_message(obj: Object, gvk: GVK) -> bytes:
    """The object's own message without the envelope, for ListBody. Raises NotEncodable, ProtobufError."""
    return _encode(_message(gvk.api_version, gvk.kind), obj)


def encode_kept(message: bytes, gvk: GVK) -> bytes:
    """A response body from what `encode_message` gave."""
    return _envelope(gvk.api_version, gvk.kind, message)


class ListBody:
    """The body of a list of kind gvk, made of its items' messages, which may be kept from list to list."""

    def __init__(self, metadata: Object, gvk: GVK) -> None:
        # Every list kind has its ListMeta as field 1 and its items as field 2.
        self._header = _encode(_message("meta.k8s.io/v1", "PartialObjectMetadataList"), {"metadata": metadata})
        self._gvk = gvk
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, item: bytes) -> None:
        """item is what `encode_message` gives."""
        start = _ITEMS_TAG + varint(len(item))
        self._parts += (start, item)
        self._size += len(start) + len(item)

    def pieces(self) -> Iterator[bytes]:
        yield _opening(self._gvk.api_version, self._gvk.kind, len(self._header) + self._size) + self._header
        for start in range(0, len(self._parts), 2 * _ITEMS_A_PIECE):
            yield b"".join(self._parts[start : start + 2 * _ITEMS_A_PIECE])
        yield _NO_CONTENT_TYPE


def watch_frame(event_type: str, body: bytes) -> bytes:
    """One frame of a watch. body is what `encode` gives."""
    raw = b"\x0a" + delimited(body)
    event = b"\x0a" + delimited(event_type.encode()) + b"\x12" + delimited(raw)
    return struct.pack(">I", len(event)) + event


def decode(data: bytes) -> Object:
    """The object in a request body, with apiVersion and kind. Raises ProtobufError."""
    if not data.startswith(MAGIC):
        raise ProtobufError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        return _decode(data)
    except (IndexError, UnicodeDecodeError, RecursionError, ValueError, struct.error) as error:
        if isinstance(error, ProtobufError):
            raise
        raise ProtobufError(f"the protobuf message can't be read: {error}") from error


def _decode(data: bytes) -> Object:
    start, end = len(MAGIC), len(data)
    type_meta = only_field(data, start, end, 0x0A)
    api_version, kind = (only_field(type_meta, 0, len(type_meta), tag).decode() for tag in (0x0A, 0x12))
    raw = spans(data, start, end, 0x12)
    first, last = raw[-1] if raw else (end, end)
    if only_field(data, start, end, 0x22) == b"application/json":
        found = orjson.loads(data[first:last])
        if not isinstance(found, dict):
            raise ProtobufError("the JSON in the protobuf envelope is not an object")
        return found
    return {"kind": kind, "apiVersion": api_version, **_message(api_version, kind).decode(data, first, last)}


@lru_cache(1)
def table() -> Table:
    """The messages of resources/schema/protobuf.json, read when protobuf is first asked for."""
    return Table(orjson.loads(_TABLE.read_bytes()), (PAYLOADS["json"][0], _read_raw))


def _message(api_version: str, kind: str) -> Message:
    found = table().find(api_version, kind)
    if found is None:
        raise NotEncodable(f"{kind or 'an object without kind'} in version {api_version!r} has no protobuf form")
    return found


def _encode(message: Message, obj: Object) -> bytes:
    try:
        return message.encode(obj)
    except (AttributeError, TypeError, ValueError, OverflowError, struct.error) as error:
        if isinstance(error, ProtobufError):
            raise
        raise ProtobufError(f"the object does not fit its protobuf message: {error}") from error


def _envelope(api_version: str, kind: str, message: bytes) -> bytes:
    return b"".join((_opening(api_version, kind, len(message)), message, _NO_CONTENT_TYPE))


def _opening(api_version: str, kind: str, size: int) -> bytes:
    """Everything before the object's own message, which has `size` bytes."""
    type_meta = b"\x0a" + delimited(api_version.encode()) + b"\x12" + delimited(kind.encode())
    return b"".join((MAGIC, b"\x0a", delimited(type_meta), b"\x12", varint(size)))


def _read_raw(data: bytes, start: int, end: int) -> Any:
    """An embedded object: JSON text, or a whole body of its own."""
    raw = only_field(data, start, end, 0x0A)
    if raw.startswith(MAGIC):
        return _decode(raw)
    return orjson.loads(raw) if raw else None
