"""Reads and writes the tables: one transaction for a batch of changes, and the load at start. All of it blocks."""

import logging
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, Row, bindparam, delete, func, insert, select

from minikube_py.store import tables
from minikube_py.store.cipher import Cipher
from minikube_py.store.ledger import tombstone
from minikube_py.store.protocol import Change, ChangeType, IndexFunction, Key, Record, StoreError

log = logging.getLogger(__name__)

_RESERVED = "reserved_revision"
_FLOOR = "history_floor"


@dataclass
class LoadedState:
    """What a database held: current records, the newest changes (oldest first), and where revisions go on."""

    records: list[Record] = field(default_factory=list)
    history: list[Change] = field(default_factory=list)
    floor: int = 0
    revision: int = 0
    quarantined: list[str] = field(default_factory=list)


class Database:
    """One SQLite database. Every call runs in the writer's thread."""

    def __init__(self, engine: Engine, cipher: Cipher, index: IndexFunction) -> None:
        self._engine = engine
        self._cipher = cipher
        self._index = index
        self._upsert = insert(tables.objects).prefix_with("OR REPLACE")
        self._set = insert(tables.settings).prefix_with("OR REPLACE")

    # -- start

    def load(self, history_limit: int) -> LoadedState:
        """Every sound record, and up to history_limit changes. A bad row is moved to quarantine and reported."""
        state = LoadedState()
        with self._engine.begin() as connection:
            for row in connection.execute(select(tables.objects)):
                record = self._sound_record(row, state)
                if record is not None:
                    state.records.append(record)
            self._quarantine(connection, state)
            settings = {str(key): str(value) for key, value in connection.execute(select(tables.settings))}
            newest = connection.execute(select(func.max(tables.changes.c.revision))).scalar() or 0
            newest_object = max((r.revision for r in state.records), default=0)
            state.revision = max(int(settings.get(_RESERVED, "0")), newest, newest_object)
            state.floor = int(settings.get(_FLOOR, "0"))
            self._load_history(connection, state, history_limit)
        return state

    def _sound_record(self, row: Row[Any], state: LoadedState) -> Record | None:
        key = Key(row.resource, row.namespace, row.name)
        try:
            if zlib.crc32(row.data) != row.checksum:
                raise StoreError("its checksum is wrong")
            return self._record(key, row.revision, row.rv_start, row.data)
        except (StoreError, ValueError, KeyError, TypeError, AttributeError) as error:
            state.quarantined.append(f"{key}: {error}")
            return None

    def _record(self, key: Key, revision: int, rv_start: int, stored: bytes) -> Record:
        data = self._cipher.open(key, stored)
        uid, labels, fields = self._index(key, data)
        return Record(key, revision, uid, data, rv_start, rv_start + len(str(revision)), labels, fields)

    def _quarantine(self, connection: Any, state: LoadedState) -> None:
        if not state.quarantined:
            return
        good = {(r.key, r.revision) for r in state.records}
        why = {text.partition(": ")[0]: text for text in state.quarantined}
        for row in list(connection.execute(select(tables.objects))):
            key = Key(row.resource, row.namespace, row.name)
            if (key, row.revision) in good:
                continue
            log.error("set a damaged row aside: %s", why.get(str(key), key))
            connection.execute(
                insert(tables.quarantine),
                {**key._asdict(), "revision": row.revision, "data": row.data, "why": why.get(str(key), "")},
            )
            connection.execute(_delete_object(), _bound(key))

    def _load_history(self, connection: Any, state: LoadedState, limit: int) -> None:
        """Walk the log backwards: each change knows the state before it, so the state after it is already at hand."""
        after: dict[Key, Record] = {r.key: r for r in state.records}
        newest_first = select(tables.changes).order_by(tables.changes.c.revision.desc()).limit(limit + 1)
        rows = list(connection.execute(newest_first))
        for row in rows[:limit]:
            key = Key(row.resource, row.namespace, row.name)
            previous = None
            try:
                if row.previous is not None:
                    previous = self._record(key, row.previous_revision, row.previous_rv_start, row.previous)
                change = _change_of(row, key, previous, after)
            except (StoreError, ValueError, KeyError, TypeError):
                change = None
            if change is None:  # a gap: nothing before this revision can be replayed
                state.floor = max(state.floor, row.revision)
                break
            state.history.append(change)
            if previous is None:
                after.pop(key, None)
            else:
                after[key] = previous
        if len(rows) > limit:
            state.floor = max(state.floor, rows[limit].revision)
        state.history.reverse()

    # -- writing

    def commit(self, changes: Sequence[Change], reserved: int) -> None:
        """One transaction: the final state of every key, a log entry for every change, the reserved revision."""
        final = {change.record.key: change for change in changes}
        puts = [self._row(c.record) for c in final.values() if c.type is not ChangeType.DELETED]
        drops = [_bound(c.record.key) for c in final.values() if c.type is ChangeType.DELETED]
        with self._engine.begin() as connection:
            if puts:
                connection.execute(self._upsert, puts)
            if drops:
                connection.execute(_delete_object(), drops)
            if changes:
                connection.execute(insert(tables.changes), [self._log_row(c) for c in changes])
            connection.execute(self._set, {"key": _RESERVED, "value": str(reserved)})

    def trim(self, floor: int) -> None:
        """Forget changes up to and including `floor`."""
        with self._engine.begin() as connection:
            connection.execute(delete(tables.changes).where(tables.changes.c.revision <= floor))
            connection.execute(self._set, {"key": _FLOOR, "value": str(floor)})
            connection.exec_driver_sql("PRAGMA incremental_vacuum(200)")

    def close(self, revision: int) -> None:
        """Give back the unused part of the reserved block."""
        with self._engine.begin() as connection:
            connection.execute(self._set, {"key": _RESERVED, "value": str(revision)})
        self._engine.dispose()

    def _row(self, record: Record) -> dict[str, Any]:
        data = self._cipher.seal(record.key, record.data)
        return {
            **record.key._asdict(),
            "revision": record.revision,
            "rv_start": record.rv_start,
            "data": data,
            "checksum": zlib.crc32(data),
        }

    def _log_row(self, change: Change) -> dict[str, Any]:
        previous = change.previous
        return {
            "revision": change.revision,
            **change.record.key._asdict(),
            "type": change.type.value,
            "previous_revision": previous.revision if previous else None,
            "previous_rv_start": previous.rv_start if previous else None,
            "previous": self._cipher.seal(previous.key, previous.data) if previous else None,
        }


def _delete_object() -> Any:
    columns = tables.objects.c
    # A bound parameter may not have a column's own name in a DELETE, so these have a prefix.
    return delete(tables.objects).where(*(columns[name] == bindparam(f"key_{name}") for name in Key._fields))


def _bound(key: Key) -> dict[str, str]:
    return {f"key_{name}": value for name, value in key._asdict().items()}


def _change_of(row: Row[Any], key: Key, previous: Record | None, after: dict[Key, Record]) -> Change | None:
    kind = ChangeType(row.type)
    if kind is ChangeType.DELETED:
        return Change(row.revision, kind, tombstone(previous, row.revision), previous) if previous else None
    record = after.get(key)
    if record is None or record.revision != row.revision:
        return None
    return Change(row.revision, kind, record, previous)
