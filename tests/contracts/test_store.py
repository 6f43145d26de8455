"""What every store promises: one suite over the memory store and the SQL store."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import orjson
import pytest

from minikube_py.store.catalog import StoreSettings, open_store
from minikube_py.store.migrations import migrate, migrations_dir
from minikube_py.store.protocol import (
    Change,
    ChangeType,
    Draft,
    Key,
    KeyExists,
    KeyNotFound,
    RevisionConflict,
    RevisionTrimmed,
    Store,
    StoreError,
    Value,
    WatcherTooSlow,
)
from minikube_py.store.retention import Retention
from minikube_py.store.soft import leases_are_soft
from minikube_py.store.sqlite_file import open_database, open_engine
from minikube_py.store.tables import SCHEMA_VERSION

PODS = "/pods"


def index(_key: Key, data: bytes) -> tuple[str, Mapping[str, str], Mapping[str, str]]:
    obj = orjson.loads(data)
    return obj["uid"], obj.get("labels", {}), {}


def draft(text: str = "x", **labels: str) -> Draft:
    head = orjson.dumps({"uid": "u-1", "labels": labels, "text": text})[:-1] + b',"rv":"'
    return Draft(Value(head, b'"}'), "u-1", labels)


def key(name: str, namespace: str = "default", resource: str = PODS) -> Key:
    return Key(resource, namespace, name)


def settings(folder: Path, retention: Retention | None = None) -> StoreSettings:
    return StoreSettings(folder, index, retention or Retention(), leases_are_soft)


@pytest.fixture(params=["memory://", "sqlite://"])
def endpoint(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def opened(endpoint: str, folder: Path, retention: Retention | None = None) -> AbstractAsyncContextManager[Store]:
    return open_store(endpoint, settings(folder, retention))


@pytest.fixture
async def store(endpoint: str, tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(endpoint, tmp_path) as made:
        yield made


async def take(watch: AsyncIterator[object], count: int) -> list[Change]:
    found: list[Change] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            found.extend(await anext(watch))  # type: ignore[arg-type]
    return found


async def test_create_gives_the_revision_and_puts_it_into_the_text(store: Store) -> None:
    record = await store.create(key("a"), draft("one", app="web"))
    assert orjson.loads(record.data)["rv"] == str(record.revision)
    assert record.data[record.rv_start : record.rv_end] == str(record.revision).encode()
    assert store.get(key("a")) == record
    assert store.revision == record.revision
    assert record.labels == {"app": "web"}


async def test_create_twice_is_refused(store: Store) -> None:
    await store.create(key("a"), draft())
    with pytest.raises(KeyExists):
        await store.create(key("a"), draft())


async def test_update_needs_the_expected_revision(store: Store) -> None:
    first = await store.create(key("a"), draft("1"))
    second = await store.update(key("a"), draft("2"), first.revision)
    assert second.revision > first.revision
    with pytest.raises(RevisionConflict) as caught:
        await store.update(key("a"), draft("3"), first.revision)
    assert caught.value.current == second
    with pytest.raises(KeyNotFound):
        await store.update(key("b"), draft(), 1)


async def test_delete_carries_the_last_state_at_its_own_revision(store: Store) -> None:
    record = await store.create(key("a"), draft("last"))
    change = await store.delete(key("a"), record.revision)
    assert change.type is ChangeType.DELETED
    assert orjson.loads(change.record.data) == {"uid": "u-1", "labels": {}, "text": "last", "rv": str(change.revision)}
    assert store.get(key("a")) is None
    with pytest.raises(KeyNotFound):
        await store.delete(key("a"), record.revision)


async def test_list_is_ordered_and_bounded_by_namespace(store: Store) -> None:
    for namespace, name in (("b", "2"), ("a", "9"), ("b", "1"), ("a-b", "0")):
        await store.create(key(name, namespace), draft())
    await store.create(key("x", "b", "/configmaps"), draft())
    page = store.list(PODS)
    assert [(r.key.namespace, r.key.name) for r in page.records] == [("a", "9"), ("a-b", "0"), ("b", "1"), ("b", "2")]
    assert [r.key.name for r in store.list(PODS, "b").records] == ["1", "2"]
    assert page.revision == store.revision


async def test_a_watch_sees_what_came_before_and_after_it_began(store: Store) -> None:
    first = await store.create(key("a"), draft("1", app="x"))
    watch = store.watch(PODS, after=0)
    second = await store.update(key("a"), draft("2", app="y"), first.revision)
    await store.create(key("other", resource="/configmaps"), draft())
    await store.delete(key("a"), second.revision)
    changes = await take(watch, 3)
    assert [c.type for c in changes] == [ChangeType.ADDED, ChangeType.MODIFIED, ChangeType.DELETED]
    assert [c.previous.labels if c.previous else None for c in changes] == [None, {"app": "x"}, {"app": "y"}]
    await watch.aclose()  # type: ignore[attr-defined]


async def test_a_watch_from_any_revision_resumes_right_after_it(store: Store) -> None:
    revisions = [(await store.create(key(f"n{i}"), draft())).revision for i in range(5)]
    for position, revision in enumerate(revisions[:-1]):
        changes = await take(store.watch(PODS, after=revision), len(revisions) - position - 1)
        assert [c.revision for c in changes] == revisions[position + 1 :]


async def test_writers_and_watchers_at_once_see_one_order(store: Store) -> None:
    watchers = [store.watch(PODS, after=0) for _ in range(4)]

    async def write(number: int) -> None:
        record = await store.create(key(f"w{number}"), draft("0"))
        for step in range(1, 5):
            record = await store.update(record.key, draft(str(step)), record.revision)
        await store.delete(record.key, record.revision)

    await asyncio.gather(*(write(n) for n in range(20)))
    orders = [[c.revision for c in await take(w, 120)] for w in watchers]
    assert orders[0] == sorted(orders[0])
    assert len(set(orders[0])) == 120
    assert all(order == orders[0] for order in orders)


async def test_a_cancelled_caller_hides_no_change(store: Store) -> None:
    watch = store.watch(PODS, after=0)
    tasks = [asyncio.create_task(store.create(key(f"c{n}"), draft())) for n in range(40)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    last = await store.create(key("last"), draft())
    seen: list[Change] = []
    while not seen or seen[-1].revision < last.revision:
        seen.extend(await take(watch, 1))
    assert {c.record.key for c in seen} == {r.key for r in store.list(PODS).records}
    assert [c.revision for c in seen] == sorted(c.revision for c in seen)


async def test_history_past_the_bound_is_gone(endpoint: str, tmp_path: Path) -> None:
    async with opened(endpoint, tmp_path, Retention(max_changes=10, slice_size=5)) as store:
        first = await store.create(key("first"), draft())
        for number in range(30):
            await store.create(key(f"n{number}"), draft())
        while await store.trim():
            pass
        with pytest.raises(RevisionTrimmed) as caught:
            store.watch(PODS, after=first.revision)
        assert len(await take(store.watch(PODS, after=caught.value.oldest), 10)) == 10


async def test_a_slow_watcher_is_cut_off_alone(endpoint: str, tmp_path: Path) -> None:
    async with opened(endpoint, tmp_path) as store:
        store._hub.buffer_changes = 5  # type: ignore[attr-defined]
        slow, quick = store.watch(PODS), store.watch(PODS)
        for number in range(10):
            await store.create(key(f"n{number}"), draft())
            assert len(await take(quick, 1)) == 1
        with pytest.raises(WatcherTooSlow):
            await anext(slow)


async def test_closing_a_watch_ends_its_iteration(store: Store) -> None:
    watch = store.watch(PODS)
    waiting = asyncio.ensure_future(anext(watch, None))
    await asyncio.sleep(0)
    await watch.aclose()  # type: ignore[attr-defined]
    assert await waiting is None


# --- what only a durable store can promise ---------------------------------------------------------------------------


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    async with opened("", tmp_path) as store:
        kept = await store.create(key("kept"), draft("1", app="x"))
        kept = await store.update(key("kept"), draft("2", app="x"), kept.revision)
        gone = await store.create(key("gone"), draft("g"))
        deleted = await store.delete(key("gone"), gone.revision)
    async with opened("", tmp_path) as store:
        assert store.get(key("kept")) == kept
        assert store.get(key("gone")) is None
        assert store.revision == deleted.revision
        changes = await take(store.watch(PODS, after=0), 4)
        assert [c.type.value for c in changes] == ["ADDED", "MODIFIED", "ADDED", "DELETED"]
        assert orjson.loads(changes[0].record.data)["text"] == "1"
        assert changes[3] == deleted


async def test_a_second_server_is_refused_by_name_of_the_first(tmp_path: Path) -> None:
    async with opened("", tmp_path):
        with pytest.raises(StoreError, match=f"process {os.getpid()}"):
            async with opened("", tmp_path):
                pass


async def test_a_damaged_row_is_set_aside_and_the_rest_lives(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with opened("", tmp_path) as store:
        await store.create(key("good"), draft())
        await store.create(key("bad"), draft())
    connection = sqlite3.connect(tmp_path / "db" / "state.db")
    connection.execute("UPDATE objects SET data = x'00' WHERE name = 'bad'")
    connection.commit()
    connection.close()
    async with opened("", tmp_path) as store:
        assert [r.key.name for r in store.list(PODS).records] == ["good"]
    assert "checksum" in caplog.text
    connection = sqlite3.connect(tmp_path / "db" / "state.db")
    assert connection.execute("SELECT name, data FROM quarantine").fetchall() == [("bad", b"\0")]
    connection.close()


async def test_secret_values_are_not_in_the_file(tmp_path: Path) -> None:
    async with opened("", tmp_path) as store:
        first = await store.create(key("s", resource="/secrets"), draft("hunter2-hunter2"))
        await store.update(first.key, draft("correct-horse"), first.revision)
    files = [p for p in (tmp_path / "db").iterdir() if p.is_file()]
    assert all(b"hunter2" not in p.read_bytes() and b"correct-horse" not in p.read_bytes() for p in files)
    assert all(p.stat().st_mode & 0o077 == 0 for p in files)
    async with opened("", tmp_path) as store:
        record = store.get(first.key)
        assert record is not None
        assert b"correct-horse" in record.data


async def test_lease_renewals_wait_for_the_disk_and_survive_a_clean_stop(tmp_path: Path) -> None:
    lease = key("l", resource="coordination.k8s.io/leases")
    async with opened("", tmp_path) as store:
        record = await store.create(lease, draft("0"))
        database = sqlite3.connect(tmp_path / "db" / "state.db")
        for number in range(1, 4):
            record = await store.update(lease, draft(str(number)), record.revision)
        on_disk = database.execute("SELECT revision FROM objects WHERE name = 'l'").fetchone()[0]
        assert on_disk < record.revision
        await store.create(key("hard"), draft())
        assert database.execute("SELECT revision FROM objects WHERE name = 'l'").fetchone()[0] == record.revision
        record = await store.update(lease, draft("9"), record.revision)
        database.close()
    async with opened("", tmp_path) as store:
        assert store.get(lease) == record


CRASHER = """
import asyncio, os, signal, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.contracts.test_store import draft, key, opened
from minikube_py.store.database import Database

crash_at, where = int(sys.argv[2]), sys.argv[3]
commits = 0
original = Database.commit
def commit(self, changes, reserved):
    global commits
    commits += 1
    if commits == crash_at and where == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    original(self, changes, reserved)
    if commits == crash_at and where == "after":
        os.kill(os.getpid(), signal.SIGKILL)
Database.commit = commit

async def main():
    async with opened("", Path(sys.argv[1])) as store:
        for number in range(20):
            record = await store.create(key(f"n{{number}}"), draft())
            print(record.revision, record.key.name, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("crash_at", [1, 2, 7, 19])
async def test_a_crash_at_any_commit_loses_nothing_acknowledged(tmp_path: Path, crash_at: int, where: str) -> None:
    program = CRASHER.format(root=str(Path(__file__).resolve().parents[2]))
    command = [sys.executable, "-c", program, str(tmp_path), str(crash_at), where]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    acknowledged = [line.split() for line in done.stdout.splitlines()]
    assert len(acknowledged) == crash_at - 1
    async with opened("", tmp_path) as store:
        names = {r.key.name for r in store.list(PODS).records}
        assert {name for _, name in acknowledged} <= names
        highest = max((int(revision) for revision, _ in acknowledged), default=0)
        record = await store.create(key("next"), draft())
        assert record.revision > highest + (1 if where == "after" else 0)


async def test_a_newer_database_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    async with opened("", tmp_path):
        pass
    connection = sqlite3.connect(tmp_path / "db" / "state.db")
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="newer mkube"):
        async with opened("", tmp_path):
            pass


def test_the_migrations_end_in_the_schema_that_a_new_file_gets(tmp_path: Path) -> None:
    fresh, migrated = tmp_path / "fresh.db", tmp_path / "migrated.db"
    open_database(fresh).dispose()
    engine = open_engine(migrated)
    with engine.begin() as connection:
        migrate(connection)
    engine.dispose()

    def columns(path: Path) -> dict[str, list[tuple[object, ...]]]:
        connection = sqlite3.connect(path)
        names = [r[0] for r in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {
            n: connection.execute(f"SELECT name, type, pk FROM pragma_table_info('{n}')").fetchall() for n in names
        }
        connection.close()
        return found

    assert columns(fresh) == columns(migrated)
    assert sorted(p.name for p in (migrations_dir() / "versions").glob("*.py"))[-1].startswith(SCHEMA_VERSION)
