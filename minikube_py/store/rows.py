"""Turns records and changes into database rows and back: encryption, checksum, index."""

import zlib
from typing import Any, NamedTuple

from minikube_py.store.cipher import Cipher
from minikube_py.store.protocol import Change, IndexFunction, Key, Record, StoreError


class DamagedRow(StoreError):
    """A row that can't be trusted or read."""


class ObjectRow(NamedTuple):
    """A row of `objects`, columns in the table's order."""

    resource: str
    namespace: str
    name: str
    revision: int
    rv_start: int
    data: bytes
    checksum: int

    @property
    def key(self) -> Key:
        return Key(self.resource, self.namespace, self.name)


class ChangeRow(NamedTuple):
    """A row of `changes`, columns in the table's order."""

    revision: int
    resource: str
    namespace: str
    name: str
    type: str
    created: int
    previous_revision: int | None
    previous_rv_start: int | None
    previous: bytes | None
    checksum: int

    @property
    def key(self) -> Key:
        return Key(self.resource, self.namespace, self.name)


class RowCodec:
    """Both directions. Stateless beside its key, so any thread may use it."""

    def __init__(self, cipher: Cipher, index: IndexFunction) -> None:
        self._cipher = cipher
        self._index = index

    def object_row(self, record: Record) -> ObjectRow:
        key = record.key
        data = self._cipher.seal(key, record.data)
        return ObjectRow(*key, record.revision, record.rv_start, data, _object_checksum(key, record.revision, data))

    def change_row(self, change: Change, created: int) -> ChangeRow:
        key, previous = change.record.key, change.previous
        before: tuple[int | None, int | None, bytes | None] = (None, None, None)
        if previous is not None:
            before = (previous.revision, previous.rv_start, self._cipher.seal(key, previous.data))
        checksum = _change_checksum(key, change.revision, change.type.value, before[0], before[2])
        return ChangeRow(change.revision, *key, change.type.value, created, *before, checksum)

    def read_object(self, row: ObjectRow) -> Record:
        """Raises DamagedRow."""
        try:
            if _object_checksum(row.key, row.revision, row.data) != row.checksum:
                raise DamagedRow("its checksum is wrong")
        except (TypeError, AttributeError) as error:  # a column holds another type than the table says
            raise DamagedRow(f"a column has a wrong type: {error}") from error
        return self._record(row.key, row.revision, row.rv_start, row.data)

    def read_previous(self, row: ChangeRow) -> Record | None:
        """The state before the change. Raises DamagedRow."""
        try:
            checksum = _change_checksum(row.key, row.revision, row.type, row.previous_revision, row.previous)
        except (TypeError, AttributeError) as error:
            raise DamagedRow(f"a column has a wrong type: {error}") from error
        if checksum != row.checksum:
            raise DamagedRow("its checksum is wrong")
        if row.previous is None or row.previous_revision is None or row.previous_rv_start is None:
            return None
        return self._record(row.key, row.previous_revision, row.previous_rv_start, row.previous)

    def _record(self, key: Key, revision: int, rv_start: int, stored: bytes) -> Record:
        data = self._cipher.open(key, stored)
        end = rv_start + len(str(revision))
        if data[rv_start:end] != str(revision).encode():
            raise DamagedRow("its text doesn't carry its revision")
        try:
            uid, labels, fields = self._index(key, data)
        except Exception as error:  # the index reads an object's content: whatever fails there is this row's fault
            raise DamagedRow(f"its content can't be read: {error!r}") from error
        return Record(key, revision, uid, data, rv_start, end, labels, fields)


def _object_checksum(key: Key, revision: int, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(f"{key.resource}\0{key.namespace}\0{key.name}\0{revision}".encode()))


def _change_checksum(key: Key, revision: int, type_: str, previous_revision: Any, previous: bytes | None) -> int:
    head = f"{key.resource}\0{key.namespace}\0{key.name}\0{revision}\0{type_}\0{previous_revision}".encode()
    return zlib.crc32(previous or b"", zlib.crc32(head))
