"""Writes and reads single protobuf values: varints, strings, and Kubernetes' types that are not objects in JSON.

A payload is what follows a tag and a length. It is written as bytes and read in place, as data[start:end]: nested
messages are never copied, so that deep nesting costs no memory. Sources: the protobuf
encoding guide; apimachinery's Time, MicroTime, Quantity, IntOrString, RawExtension and FieldsV1.
"""

import binascii
import calendar
import struct
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MASK = (1 << 64) - 1
_SHORT = [bytes((number,)) for number in range(128)]
_DOUBLE = struct.Struct("<d")


class ProtobufError(ValueError):
    """Bytes that are not a message of the kind they say, or an object that does not fit its message."""


def varint(number: int) -> bytes:
    """A signed 64-bit number as proto2 writes int32, int64, bool and lengths."""
    if 0 <= number < 128:
        return _SHORT[number]
    number &= _MASK
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """(number without sign, next position). Raises IndexError at the end of the data."""
    byte = data[position]
    position += 1
    if byte < 128:
        return byte, position
    number, shift = byte & 127, 7
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number & _MASK, position
        shift += 7
        if shift > 63:
            raise ProtobufError("a number has more than 10 bytes")


def signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def skip(data: bytes, position: int, wire_type: int) -> int:
    """The position after a value of a field that is not known."""
    if wire_type == VARINT:
        return read_varint(data, position)[1]
    if wire_type == BYTES:
        length, position = read_varint(data, position)
        return position + length
    if wire_type == FIXED64:
        return position + 8
    if wire_type == FIXED32:
        return position + 4
    raise ProtobufError(f"wire type {wire_type} is not used by Kubernetes")


def delimited(payload: bytes) -> bytes:
    """A payload behind its length."""
    return varint(len(payload)) + payload


# --- payloads of length-delimited types: (write, read) ---------------------------------------------------------------


def _write_string(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else str(value).encode()


def _read_string(data: bytes, start: int, end: int) -> str:
    return data[start:end].decode()


def _write_bytes(value: Any) -> bytes:
    try:
        return b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise ProtobufError(f"not base64: {error}") from error


def _read_bytes(data: bytes, start: int, end: int) -> str:
    return b64encode(data[start:end]).decode()


@lru_cache(4096)
def _write_time(value: str) -> bytes:
    """Whole seconds only: Kubernetes drops the rest of a Time. The zero time is the empty message."""
    seconds = calendar.timegm(datetime.fromisoformat(value).utctimetuple())
    return b"\x08" + varint(seconds) + b"\x10\x00"


@lru_cache(4096)
def _write_micro_time(value: str) -> bytes:
    moment = datetime.fromisoformat(value)
    seconds = calendar.timegm(moment.utctimetuple())
    return b"\x08" + varint(seconds) + b"\x10" + varint(moment.microsecond * 1000)


def _read_timestamp(payload: bytes) -> datetime:
    seconds = nanoseconds = position = 0
    while position < len(payload):
        tag, position = read_varint(payload, position)
        if tag & 7 != VARINT:
            position = skip(payload, position, tag & 7)
            continue
        number, position = read_varint(payload, position)
        if tag == 0x08:
            seconds = signed(number)
        elif tag == 0x10:
            nanoseconds = signed(number)
    try:
        return _EPOCH + timedelta(seconds=seconds, microseconds=nanoseconds // 1000)
    except OverflowError as error:
        raise ProtobufError(f"{seconds} seconds is not a time that can be written") from error


@lru_cache(4096)
def _print_time(payload: bytes) -> str:
    return _read_timestamp(payload).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")  # the C library pads no years


def _read_time(data: bytes, start: int, end: int) -> str | None:
    return _print_time(data[start:end]) if end > start else None


def _read_micro_time(data: bytes, start: int, end: int) -> str | None:
    if end <= start:
        return None
    return _read_timestamp(data[start:end]).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def _write_quantity(value: Any) -> bytes:
    return b"\x0a" + delimited(str(value).encode())


def _read_quantity(data: bytes, start: int, end: int) -> str:
    return only_field(data, start, end, 0x0A).decode() or "0"


def _write_int_or_string(value: Any) -> bytes:
    if isinstance(value, str):
        return b"\x08\x01\x10\x00\x1a" + delimited(value.encode())
    return b"\x08\x00\x10" + varint(int(value)) + b"\x1a\x00"


def _read_int_or_string(data: bytes, start: int, end: int) -> int | str:
    kind, number, text, position = 0, 0, "", start
    while position < end:
        tag, position = read_varint(data, position)
        if tag == 0x08:
            kind, position = read_varint(data, position)
        elif tag == 0x10:
            number, position = read_varint(data, position)
        elif tag == 0x1A:
            first, position = span(data, position, end)
            text = data[first:position].decode()
        else:
            position = skip(data, position, tag & 7)
    return text if kind == 1 else signed(number)


def _write_json(value: Any) -> bytes:
    return b"\x0a" + delimited(_go_escaped(orjson.dumps(value)))


def _go_escaped(text: bytes) -> bytes:
    """JSON text as Go writes it: clients compare what a ControllerRevision holds, byte by byte, with their own text."""
    for character in b"<>&":
        if character in text:
            text = text.replace(bytes((character,)), b"\\u%04x" % character)
    return text.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")


def _read_json(data: bytes, start: int, end: int) -> Any:
    raw = only_field(data, start, end, 0x0A)
    return orjson.loads(raw) if raw else None


def write_double(value: Any) -> bytes:
    return _DOUBLE.pack(value)


def read_double(data: bytes, position: int) -> float | int:
    """JSON has one kind of number: a whole double reads as an integer, as Go prints it."""
    number: float = _DOUBLE.unpack_from(data, position)[0]
    return int(number) if number.is_integer() and abs(number) < 1e21 else number


def span(data: bytes, position: int, limit: int) -> tuple[int, int]:
    """(start, end) of the payload whose length is at `position`; it must end at `limit` or before."""
    length, position = read_varint(data, position)
    if position + length > limit:
        raise ProtobufError("a field is longer than its message")
    return position, position + length


def spans(data: bytes, start: int, end: int, wanted: int) -> list[tuple[int, int]]:
    """Where the payloads of one field of a message are; wanted is its tag."""
    found, position = [], start
    while position < end:
        tag, position = read_varint(data, position)
        if tag == wanted:
            first, position = span(data, position, end)
            found.append((first, position))
        else:
            position = skip(data, position, tag & 7)
    return found


def only_field(data: bytes, start: int, end: int, wanted: int) -> bytes:
    """The bytes of one field of a message; b'' when it is not there."""
    found = spans(data, start, end, wanted)
    return data[found[-1][0] : found[-1][1]] if found else b""


Write = Callable[[Any], bytes]
Read = Callable[[bytes, int, int], Any]

PAYLOADS: dict[str, tuple[Write, Read]] = {
    "s": (_write_string, _read_string),
    "b": (_write_bytes, _read_bytes),
    "time": (_write_time, _read_time),
    "microtime": (_write_micro_time, _read_micro_time),
    "quantity": (_write_quantity, _read_quantity),
    "intorstring": (_write_int_or_string, _read_int_or_string),
    "json": (_write_json, _read_json),
}

EMPTY: dict[str, bytes] = {
    "s": b"",
    "time": b"",
    "microtime": b"",
    "quantity": _write_quantity("0"),
    "intorstring": _write_int_or_string(0),
    "json": b"",
    "raw": b"",
}
"""What Go writes for a field of the type that is not set (bytes that are not set are not written)."""
