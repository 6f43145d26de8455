"""Reads changes from before this start out of the database, beside the writer and without holding it up."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, and_, select

from minikube_py.store import tables
from minikube_py.store.database import FLOOR
from minikube_py.store.ledger import tombstone
from minikube_py.store.protocol import Change, ChangeType, Key, Record, StoreError, WatcherTooSlow
from minikube_py.store.rows import ChangeRow, ObjectRow, RowCodec


class Archive:
    """The log of one database file, through SQLAlchemy's async engine over aiosqlite."""

    def __init__(self, path: Path, codec: RowCodec) -> None:
        self._path = path
        self._codec = codec

    async def read(self, resource: str, namespace: str, after: int, until: int) -> Sequence[Change]:
        """Changes with after < revision <= until, oldest first. Raises WatcherTooSlow when they are gone or damaged."""
        # Most lives of a server never resume a watch from an earlier one: these imports cost more than the rest.
        from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415
        from sqlalchemy.pool import NullPool  # noqa: PLC0415

        engine = create_async_engine(f"sqlite+aiosqlite:///{self._path}", poolclass=NullPool)
        try:
            async with engine.connect() as connection:
                # One snapshot for all three reads; the driver begins no transaction for a SELECT by itself.
                await connection.exec_driver_sql("BEGIN")
                floor = await connection.scalar(select(tables.settings.c.value).where(tables.settings.c.key == FLOOR))
                changed = (await connection.execute(_changes(resource, namespace, after))).all()
                current = (await connection.execute(_current(resource, namespace, after))).all()
                await connection.rollback()
        finally:
            await engine.dispose()
        if int(floor or 0) > after:
            raise WatcherTooSlow(f"history was trimmed up to revision {floor}")
        try:
            states = [self._codec.read_object(ObjectRow._make(row)) for row in current]
            return self._replay([ChangeRow._make(row) for row in changed], states, until)
        except StoreError as error:
            raise WatcherTooSlow(f"the history of {resource} can't be read: {error}") from error

    def _replay(self, newest_first: Sequence[ChangeRow], current: Sequence[Record], until: int) -> list[Change]:
        """Walk backwards: each change knows the state before it, so the state after it is already at hand."""
        state: dict[Key, Record] = {record.key: record for record in current}
        found: list[Change] = []
        for row in newest_first:
            key, previous = row.key, self._codec.read_previous(row)
            if row.revision <= until:
                found.append(_change(row, previous, state))
            if previous is None:
                state.pop(key, None)
            else:
                state[key] = previous
        found.reverse()
        return found


def _change(row: ChangeRow, previous: Record | None, state: dict[Key, Record]) -> Change:
    kind = ChangeType(row.type)
    if kind is ChangeType.DELETED:
        if previous is None:
            raise StoreError(f"change {row.revision} deletes nothing")
        return Change(row.revision, kind, tombstone(previous, row.revision), previous)
    record = state.get(row.key)
    if record is None or record.revision != row.revision:
        raise StoreError(f"the state at change {row.revision} is missing")
    return Change(row.revision, kind, record, previous)


def _changes(resource: str, namespace: str, after: int) -> Any:
    columns = tables.changes.c
    return (
        select(tables.changes)
        .where(columns.revision > after, *_is_in(columns, resource, namespace))
        .order_by(columns.revision.desc())
    )


def _current(resource: str, namespace: str, after: int) -> Any:
    """The current state of every object that changed since."""
    columns, log = tables.objects.c, tables.changes.c
    changed = (
        select(log.resource, log.namespace, log.name)
        .where(log.revision > after, *_is_in(log, resource, namespace))
        .distinct()
        .subquery()
    )
    return select(tables.objects).join(changed, and_(*(columns[name] == changed.c[name] for name in Key._fields)))


def _is_in(columns: Any, resource: str, namespace: str) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [columns.resource == resource]
    return [*found, columns.namespace == namespace] if namespace else found
