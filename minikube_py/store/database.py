"""Reads and writes the tables: one transaction for a batch of changes, and the load at start. All of it blocks."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, delete, func, insert, literal, select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql import Executable

from minikube_py import clock
from minikube_py.store import tables
from minikube_py.store.ledger import FIRST_REVISION
from minikube_py.store.protocol import Change, ChangeType, Key, Record, StoreError, StoreUnavailable
from minikube_py.store.retention import Kept
from minikube_py.store.rows import ObjectRow, RowCodec
from minikube_py.store.sqlite_file import give_back_pages

log = logging.getLogger(__name__)

_RESERVED = "reserved_revision"
FLOOR = "history_floor"
_KEY_FINGERPRINT = "key_fingerprint"
_PAGES_A_TRIM = 1000


@dataclass
class LoadedState:
    """What a database held: current records, the log's entries (states stay on disk), and where revisions go on."""

    records: list[Record] = field(default_factory=list)
    inherited: list[tuple[int, Kept]] = field(default_factory=list)
    floor: int = 0
    revision: int = FIRST_REVISION
    quarantined: list[str] = field(default_factory=list)


class _Statement:
    """A Core statement compiled once; its parameters are handed over as tuples in its own order."""

    def __init__(self, engine: Engine, statement: Executable) -> None:
        self._text = str(statement.compile(dialect=engine.dialect))  # type: ignore[attr-defined]

    def run(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            connection.exec_driver_sql(self._text, list(rows))


class Database:
    """One SQLite database. Every call runs in the writer's thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Kept for life: taking a connection from the pool costs a quarter of a small commit.
        self._connection = engine.connect()
        put = upsert(tables.objects)
        keys = tables.objects.primary_key.columns
        rest = {column.name: put.excluded[column.name] for column in tables.objects.c if column.name not in keys}
        self._put = _Statement(engine, put.on_conflict_do_update(index_elements=list(keys), set_=rest))
        columns = tables.objects.c
        self._drop = _Statement(
            engine, delete(tables.objects).where(*(columns[name] == bindparam(f"key_{name}") for name in Key._fields))
        )
        self._append = _Statement(engine, insert(tables.changes))
        setting = upsert(tables.settings)
        self._set = _Statement(
            engine,
            setting.on_conflict_do_update(
                index_elements=[tables.settings.c.key], set_={"value": setting.excluded.value}
            ),
        )
        self._codec: RowCodec | None = None

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._connection.begin():
            yield self._connection

    # -- start

    def key_fingerprint(self) -> str:
        """Which encryption key this database was written with; '' for a new one."""
        with self._transaction() as connection:
            return read_settings(connection).get(_KEY_FINGERPRINT, "")

    def set_key_fingerprint(self, fingerprint: str) -> None:
        with self._transaction() as connection:
            self._set.run(connection, [(_KEY_FINGERPRINT, fingerprint)])

    def load(self, codec: RowCodec) -> LoadedState:
        """Every sound record, an entry for each change in the log. A bad row goes to quarantine and is reported."""
        self._codec = codec
        state = LoadedState()
        try:
            with self._transaction() as connection:
                self._load_objects(connection, codec, state)
                settings = read_settings(connection)
                self._load_log(connection, state)
                newest = [int(settings.get(_RESERVED, "0")), state.revision, *(r.revision for r in state.records)]
                state.revision = max(newest)
                state.floor = int(settings.get(FLOOR, "0"))
                if state.quarantined:
                    # An object is gone without a change that says so: nobody may resume, everybody lists anew.
                    state.revision += 1
                    state.floor = state.revision
                    state.inherited.clear()
                    self._forget_log(connection, state.floor)
                    self._set.run(connection, [(_RESERVED, str(state.revision))])
        except SQLAlchemyError as error:
            raise StoreError(f"the database {self._engine.url.database} can't be read: {error}") from error
        return state

    def _load_objects(self, connection: Connection, codec: RowCodec, state: LoadedState) -> None:
        damaged: list[tuple[ObjectRow, str]] = []
        for found in connection.execute(select(tables.objects)):
            row = ObjectRow._make(found)
            try:
                state.records.append(codec.read_object(row))
            except StoreError as error:
                damaged.append((row, str(error)))
        for row, why in damaged:
            self._set_aside(connection, row, why)
            state.quarantined.append(f"{row.resource} {row.namespace}/{row.name}: {why}")
            log.error(
                "set a damaged row aside (table quarantine): %s %s/%s: %s", row.resource, row.namespace, row.name, why
            )

    def _set_aside(self, connection: Connection, row: ObjectRow, why: str) -> None:
        columns = tables.objects.c
        where = [columns[name] == value for name, value in row.key._asdict().items()]
        # Copied inside the database: a value of a wrong type could not pass through the driver's types.
        source = select(
            literal(clock.rfc3339()), *(columns[name] for name in (*Key._fields, "revision", "data")), literal(why)
        ).where(*where)
        names = ["found", *Key._fields, "revision", "data", "why"]
        connection.execute(insert(tables.quarantine).from_select(names, source))
        connection.execute(delete(tables.objects).where(*where))

    def _load_log(self, connection: Connection, state: LoadedState) -> None:
        columns = tables.changes.c
        size = func.coalesce(func.length(columns.previous), 0)
        for revision, length, created in connection.execute(
            select(columns.revision, size, columns.created).order_by(columns.revision)
        ):
            state.inherited.append((int(revision), Kept(None, int(length), float(created))))
            state.revision = max(state.revision, int(revision))

    # -- writing

    def commit(self, changes: Sequence[Change], reserved: int) -> None:
        """One transaction: the final state of every key, a log entry for every change, the reserved revision.

        Raises StoreUnavailable; then nothing of it is in the database.
        """
        assert self._codec is not None
        codec = self._codec
        final = {change.record.key: change for change in changes}
        now = int(clock.seconds())
        puts = [codec.object_row(c.record) for c in final.values() if c.type is not ChangeType.DELETED]
        drops = [tuple(key) for key, change in final.items() if change.type is ChangeType.DELETED]
        log_rows = [codec.change_row(change, now) for change in changes]
        try:
            with self._transaction() as connection:
                self._put.run(connection, puts)
                self._drop.run(connection, drops)
                self._append.run(connection, log_rows)
                if reserved:
                    self._set.run(connection, [(_RESERVED, str(reserved))])
        except SQLAlchemyError as error:
            raise StoreUnavailable(f"the database can't be written: {getattr(error, 'orig', error)}") from error

    def trim(self, floor: int) -> None:
        """Forget changes up to and including `floor`. Raises StoreUnavailable."""
        try:
            with self._transaction() as connection:
                self._forget_log(connection, floor)
                give_back_pages(connection, _PAGES_A_TRIM)
        except SQLAlchemyError as error:
            raise StoreUnavailable(f"old history can't be dropped: {getattr(error, 'orig', error)}") from error

    def _forget_log(self, connection: Connection, floor: int) -> None:
        connection.execute(delete(tables.changes).where(tables.changes.c.revision <= floor))
        self._set.run(connection, [(FLOOR, str(floor))])

    def give_back(self, revision: int) -> None:
        """Return the unused part of the reserved block, at a clean stop. Raises StoreUnavailable."""
        try:
            with self._transaction() as connection:
                if read_settings(connection).get(_RESERVED) != str(revision):
                    self._set.run(connection, [(_RESERVED, str(revision))])
        except SQLAlchemyError as error:
            raise StoreUnavailable(f"the database can't be written: {getattr(error, 'orig', error)}") from error

    def close(self) -> None:
        self._connection.close()
        self._engine.dispose()


def read_settings(connection: Connection) -> Mapping[str, str]:
    return {str(key): str(value) for key, value in connection.execute(select(tables.settings))}
