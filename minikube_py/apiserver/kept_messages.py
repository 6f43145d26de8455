"""Keeps the protobuf messages of stored objects, so that a list encodes only what has changed since the last one."""

from minikube_py.apiserver import protobuf
from minikube_py.apiserver.records import Records
from minikube_py.resources.kind import GVK, ResourceKind
from minikube_py.store.protocol import Key, Record

MOST_BYTES = 64 * 1024 * 1024


class KeptMessages:
    """One message for each object and version, of the revision asked for last; the oldest are dropped first."""

    def __init__(self, records: Records, most_bytes: int = MOST_BYTES) -> None:
        self._records = records
        self._most_bytes = most_bytes
        self._kept: dict[tuple[GVK, Key], tuple[int, bytes]] = {}
        self.size = 0

    def message(self, kind: ResourceKind, record: Record) -> bytes:
        """The record's own message, without an envelope. Raises NotEncodable, ProtobufError."""
        found = self._kept.get((kind.gvk, record.key))
        if found is not None and found[0] == record.revision:
            return found[1]
        message = protobuf.encode_message(self._records.once(kind, record), kind.gvk)
        if kind.custom_schema is None:
            self._keep((kind.gvk, record.key), record.revision, message)
        return message

    def _keep(self, place: tuple[GVK, Key], revision: int, message: bytes) -> None:
        old = self._kept.pop(place, None)
        self._kept[place] = (revision, message)
        self.size += len(message) - (len(old[1]) if old is not None else 0)
        while self.size > self._most_bytes:
            _, dropped = self._kept.pop(next(iter(self._kept)))
            self.size -= len(dropped)
