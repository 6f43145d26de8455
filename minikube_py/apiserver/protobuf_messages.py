"""Compiles the table of Kubernetes' protobuf messages into encoders and decoders, each message once, when first used.

Written is what the Go server writes: every field that is not a pointer, a list, a map or bytes is there even when it
is empty, in the order of field numbers, maps sorted by key. Read is what Go would print as JSON: what its struct tags
leave out when empty is left out, and nulls are left out always.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from minikube_py.apiserver.protobuf_values import (
    BYTES,
    EMPTY,
    FIXED64,
    PAYLOADS,
    VARINT,
    ProtobufError,
    Read,
    Write,
    delimited,
    only_field,
    read_double,
    read_varint,
    signed,
    skip,
    span,
    spans,
    varint,
    write_double,
)
from minikube_py.objects.errors import Object

_NUMBERS = ("i", "t")

Append = Callable[[bytes], None]
WriteField = Callable[[Any, Append], None]
ReadField = Callable[[bytes, int, Object], int]


class Field(NamedTuple):
    """A row of the table. flags: r repeated, m map, p pointer, n inlined, o omitempty, z omitzero."""

    number: int
    name: str
    type: str
    flags: str

    @property
    def is_plain(self) -> bool:
        """Written even when empty?"""
        return not set("rmp") & set(self.flags) and self.type != "b"

    def tag(self, wire_type: int) -> bytes:
        return varint(self.number << 3 | wire_type)


class Message:
    """One message: encode(obj) gives its bytes, decode(data, start, end) an object."""

    def __init__(self, table: "Table", fields: list[Field]) -> None:
        self._table = table
        self._fields = fields
        self._steps: list[tuple[str, WriteField, bytes]] | None = None
        self._readers: dict[int, ReadField] | None = None
        self._defaults: list[tuple[str, Callable[[], Any]]] = []
        self._inlined: list[Message] = []

    def encode(self, obj: Mapping[str, Any]) -> bytes:
        steps = self._steps
        if steps is None:
            steps = self._steps = [self._step(field) for field in self._fields]
        parts: list[bytes] = []
        append = parts.append
        get = obj.get
        for name, write, empty in steps:
            value = get(name) if name else obj
            if value is not None:
                write(value, append)
            elif empty:
                append(empty)
        return b"".join(parts)

    def _step(self, field: Field) -> tuple[str, WriteField, bytes]:
        return field.name, self._table.field_writer(field), self._table.empty(field)

    def decode(self, data: bytes, start: int, end: int) -> Object:
        """The object in data[start:end]."""
        obj: Object = {}
        self._decode_into(obj, data, start, end)
        self._fill(obj)
        return obj

    def _decode_into(self, obj: Object, data: bytes, position: int, end: int) -> None:
        readers = self._readers
        if readers is None:
            readers = self._prepare_reading()
        while position < end:
            tag = data[position]
            position += 1
            if tag >= 128:
                tag, position = read_varint(data, position - 1)
            read = readers.get(tag)
            position = skip(data, position, tag & 7) if read is None else read(data, position, obj)
        if position > end:
            raise ProtobufError("a message ends in the middle of a field")

    def _prepare_reading(self) -> dict[int, ReadField]:
        readers: dict[int, ReadField] = {}
        for field in self._fields:
            readers.update(self._table.field_readers(field))
            default = self._table.default(field)
            if default is not None:
                self._defaults.append((field.name, default))
            if "n" in field.flags:
                self._inlined.append(self._table.message(field.type))
        self._readers = readers
        return readers

    def _fill(self, obj: Object) -> None:
        """Add what Go prints although nobody set it."""
        if self._readers is None:
            self._prepare_reading()
        for message in self._inlined:
            message._fill(obj)
        for name, default in self._defaults:
            if name not in obj:
                obj[name] = default()


class Table:
    """All messages by name, and which message each kind is."""

    def __init__(self, content: Mapping[str, Any], raw: tuple[Write, Read]) -> None:
        """content is that of protobuf.json; raw writes and reads the payload of a RawExtension."""
        self._kinds: Mapping[str, Mapping[str, str]] = content["kinds"]
        self._rows: Mapping[str, Any] = content["messages"]
        self._messages: dict[str, Message] = {}
        self._payloads = {**PAYLOADS, "raw": raw}

    def find(self, api_version: str, kind: str) -> Message | None:
        name = self._kinds.get(api_version, {}).get(kind) or self._kinds["meta.k8s.io/v1"].get(kind)
        return self.message(name) if name else None

    def message(self, name: str) -> Message:
        found = self._messages.get(name)
        if found is None:
            found = self._messages[name] = Message(self, [Field(*row) for row in self._rows[name]])
        return found

    # -- writing

    def empty(self, field: Field) -> bytes:
        """The whole of a field that is not set, tag included."""
        if not field.is_plain or self._rows.get(field.type) == "strings":
            return b""
        if field.type in _NUMBERS:
            return field.tag(VARINT) + b"\0"
        if field.type == "d":
            return field.tag(FIXED64) + write_double(0.0)
        payload = EMPTY.get(field.type)
        if payload is None:
            payload = self._payload(field.type)[0]({})
        return field.tag(BYTES) + delimited(payload)

    def field_writer(self, field: Field) -> WriteField:
        if "m" in field.flags:
            return self._map_writer(field)
        if field.type in (*_NUMBERS, "d"):
            write, tag = _number_writer(field.type), field.tag(FIXED64 if field.type == "d" else VARINT)
            if "r" in field.flags:
                return lambda values, append: append(b"".join([tag + write(value) for value in values]))
            return lambda value, append: append(tag + write(value))
        payload, tag = self._payload(field.type)[0], field.tag(BYTES)
        if "r" in field.flags:

            def write_all(values: Any, append: Append) -> None:
                for value in values:
                    written = payload(value)
                    append(tag + varint(len(written)) + written)

            return write_all

        def write_one(value: Any, append: Append) -> None:
            written = payload(value)
            append(tag + varint(len(written)) + written)

        return write_one

    def _map_writer(self, field: Field) -> WriteField:
        payload, tag = self._payload(field.type)[0], field.tag(BYTES)
        null = b"" if field.type == "b" else b"\x12\x00"

        def write_map(values: Any, append: Append) -> None:
            # UTF-8 sorts as code points do, which is how Go sorts its strings.
            for key in sorted(values):
                value = values[key]
                entry = b"\x0a" + delimited(key.encode())
                entry += b"\x12" + delimited(payload(value)) if value is not None else null
                append(tag + varint(len(entry)) + entry)

        return write_map

    def _payload(self, type_: str) -> tuple[Write, Read]:
        """(write, read) of a length-delimited type's payload."""
        if type_ in self._payloads:
            return self._payloads[type_]
        shape, _, name = type_.rpartition(":")
        if self._rows[name] == "strings":
            return _write_strings, _read_strings
        message = self.message(name)
        if shape == "schema-or-array":
            return _schema_or_array(message)
        if shape == "schema-or-bool":
            return _schema_or_bool(message)
        if shape == "schema-or-strings":
            return _schema_or_strings(message)
        return message.encode, message.decode

    # -- reading

    def default(self, field: Field) -> Callable[[], Any] | None:
        """What Go prints for a field that is not set, but [] instead of null; None when it prints nothing."""
        if not set("omp") & set(field.flags) and "r" in field.flags:
            return list
        if not field.is_plain or "z" in field.flags or "n" in field.flags or self._rows.get(field.type) == "strings":
            return None
        if field.type in ("s", *_NUMBERS, "d"):
            zero: Any = {"s": "", "i": 0, "t": False, "d": 0}[field.type]
            return None if "o" in field.flags else lambda: zero
        if field.type in ("time", "microtime", "json", "raw"):
            return None
        read = self._payload(field.type)[1]
        return lambda: read(b"", 0, 0)

    def field_readers(self, field: Field) -> dict[int, ReadField]:
        """By tag. Lists of numbers may be packed, so they have two."""
        if field.type in (*_NUMBERS, "d"):
            return self._number_readers(field)
        tag = field.number << 3 | BYTES
        read = self._payload(field.type)[1]
        if "m" in field.flags:
            return {tag: _map_reader(field, read)}
        if "n" in field.flags:
            inlined = self.message(field.type)

            def read_inlined(data: bytes, position: int, obj: Object) -> int:
                start, end = span(data, position, len(data))
                inlined._decode_into(obj, data, start, end)
                return end

            return {tag: read_inlined}
        return {tag: _payload_reader(field, read)}

    def _number_readers(self, field: Field) -> dict[int, ReadField]:
        name, is_double = field.name, field.type == "d"
        wire_type = FIXED64 if is_double else VARINT
        drops_zero = "o" in field.flags and "p" not in field.flags

        def read_number(data: bytes, position: int) -> tuple[Any, int]:
            if is_double:
                return read_double(data, position), position + 8
            number, position = read_varint(data, position)
            return (number != 0 if field.type == "t" else signed(number)), position

        def read_one(data: bytes, position: int, obj: Object) -> int:
            number, position = read_number(data, position)
            if number or not drops_zero:
                obj[name] = number
            return position

        def read_more(data: bytes, position: int, obj: Object) -> int:
            number, position = read_number(data, position)
            obj.setdefault(name, []).append(number)
            return position

        def read_packed(data: bytes, position: int, obj: Object) -> int:
            position, end = span(data, position, len(data))
            while position < end:
                position = read_more(data, position, obj)
            return position

        tag = field.number << 3
        if "r" in field.flags:
            return {tag | wire_type: read_more, tag | BYTES: read_packed}
        return {tag | wire_type: read_one}


def _number_writer(type_: str) -> Write:
    if type_ == "d":
        return write_double
    if type_ == "t":
        return lambda value: b"\x01" if value else b"\0"
    return lambda value: varint(int(value))


def _payload_reader(field: Field, read: Read) -> ReadField:
    name = field.name
    drops_empty = "o" in field.flags and "p" not in field.flags and field.type in ("s", "b")

    def read_one(data: bytes, position: int, obj: Object) -> int:
        # Like span(), in place: this is where the time goes. Whether it ends within its message is seen there.
        length = data[position]
        position += 1
        if length >= 128:
            length, position = read_varint(data, position - 1)
        end = position + length
        if end > len(data):
            raise ProtobufError("a field is longer than its message")
        value = read(data, position, end)
        if value is not None and (value or not drops_empty):
            obj[name] = value
        return end

    def read_more(data: bytes, position: int, obj: Object) -> int:
        start, end = span(data, position, len(data))
        obj.setdefault(name, []).append(read(data, start, end))
        return end

    return read_more if "r" in field.flags else read_one


def _map_reader(field: Field, read: Read) -> ReadField:
    name = field.name

    def read_entry(data: bytes, position: int, obj: Object) -> int:
        start, end = span(data, position, len(data))
        key = only_field(data, start, end, 0x0A).decode()
        value = spans(data, start, end, 0x12)
        obj.setdefault(name, {})[key] = read(data, *value[-1]) if value else read(b"", 0, 0)
        return end

    return read_entry


# --- messages that are something else in JSON ------------------------------------------------------------------------


def _write_strings(values: Any) -> bytes:
    return b"".join([b"\x0a" + delimited(value.encode()) for value in values])


def _read_strings(data: bytes, start: int, end: int) -> list[str]:
    return [data[first:last].decode() for first, last in spans(data, start, end, 0x0A)]


def _schema_or_array(schema: Message) -> tuple[Write, Read]:
    """JSONSchemaPropsOrArray: a schema, or a list of them."""

    def write(value: Any) -> bytes:
        if isinstance(value, list):
            return b"".join([b"\x12" + delimited(schema.encode(one)) for one in value])
        return b"\x0a" + delimited(schema.encode(value))

    def read(data: bytes, start: int, end: int) -> Any:
        several = spans(data, start, end, 0x12)
        if several:
            return [schema.decode(data, *one) for one in several]
        single = spans(data, start, end, 0x0A)
        return schema.decode(data, *single[-1]) if single else None

    return write, read


def _schema_or_bool(schema: Message) -> tuple[Write, Read]:
    """JSONSchemaPropsOrBool: a schema (which allows, too), or true or false."""

    def write(value: Any) -> bytes:
        if isinstance(value, bool):
            return b"\x08\x01" if value else b"\x08\x00"
        return b"\x08\x01\x12" + delimited(schema.encode(value))

    def read(data: bytes, start: int, end: int) -> Any:
        found = spans(data, start, end, 0x12)
        return schema.decode(data, *found[-1]) if found else data[start:end] == b"\x08\x01"

    return write, read


def _schema_or_strings(schema: Message) -> tuple[Write, Read]:
    """JSONSchemaPropsOrStringArray: a schema, or a list of property names."""

    def write(value: Any) -> bytes:
        if isinstance(value, list):
            return b"".join([b"\x12" + delimited(one.encode()) for one in value])
        return b"\x0a" + delimited(schema.encode(value))

    def read(data: bytes, start: int, end: int) -> Any:
        single = spans(data, start, end, 0x0A)
        if single:
            return schema.decode(data, *single[-1])
        return [data[first:last].decode() for first, last in spans(data, start, end, 0x12)]

    return write, read
