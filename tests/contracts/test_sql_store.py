"""What only a durable store promises: restarts, crashes, damage, encryption, migrations, one server at a time."""

import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import orjson
import pytest
from sqlalchemy import Engine, event

from minikube_py import clock
from minikube_py.store.migrations import known_versions, migrate, migrations_dir
from minikube_py.store.past import list_at
from minikube_py.store.protocol import (
    Change,
    Draft,
    Record,
    RevisionTrimmed,
    Store,
    StoreError,
    StoreUnavailable,
    Value,
    WatcherTooSlow,
)
from minikube_py.store.retention import Retention
from minikube_py.store.sql import SqlStore
from minikube_py.store.sqlite_file import open_database, open_engine
from minikube_py.store.tables import SCHEMA_VERSION
from tests.support.stores import LEASES, PODS, draft, key, opened, take

ROOT = Path(__file__).resolve().parents[2]


def database(folder: Path) -> Path:
    return folder / "db" / "state.db"


def query(path: Path, statement: str) -> list[tuple[object, ...]]:
    """Run one statement on the file itself, as another program would."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement).fetchall()


def sql_store(store: Store) -> SqlStore:
    assert isinstance(store, SqlStore)
    return store


# --- restarts


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    async with opened("", tmp_path) as store:
        start = store.revision
        kept = await store.create(key("kept"), draft("1", app="x"))
        kept = await store.update(key("kept"), draft("2", app="x"), kept.revision)
        gone = await store.create(key("gone"), draft("g"))
        deleted = await store.delete(key("gone"), gone.revision)
    async with opened("", tmp_path) as store:
        assert store.get(key("kept")) == kept
        assert store.get(key("gone")) is None
        assert store.revision == deleted.revision
        changes = await take(store.watch(PODS, after=start), 4)
        assert [c.type.value for c in changes] == ["ADDED", "MODIFIED", "ADDED", "DELETED"]
        assert orjson.loads(changes[0].record.data)["text"] == "1"
        assert changes[1].record == kept
        assert changes[3] == deleted


async def churn(store: Store, rounds: int) -> list[Change]:
    """Creates, updates and deletes of two resources in two namespaces; every change of /pods, as a watcher saw it."""
    watch = store.watch(PODS)
    count = 0
    for number in range(rounds):
        for namespace in ("a", "b"):
            record = await store.create(key(f"n{number}", namespace), draft("0", step="0"))
            record = await store.update(record.key, draft("1", step="1"), record.revision)
            await store.create(key(f"n{number}", namespace, "/configmaps"), draft())
            count += 2
            if number % 2:
                await store.delete(record.key, record.revision)
                count += 1
    changes = await take(watch, count)
    await watch.aclose()  # type: ignore[attr-defined]
    return changes


@pytest.mark.parametrize("namespace", ["", "b"])
async def test_a_watch_resumes_from_any_revision_of_earlier_lives(tmp_path: Path, namespace: str) -> None:
    async with opened("", tmp_path) as store:
        seen = await churn(store, 4)
    async with opened("", tmp_path) as store:
        for change in seen:  # the objects go on changing: earlier states must come from the log
            record = store.get(change.record.key)
            if record is not None and record.revision == change.revision:
                seen.append(await store.delete(record.key, record.revision))
    async with opened("", tmp_path) as store:
        fresh = await store.create(key("fresh", "b"), draft())
        last = await store.delete(fresh.key, fresh.revision)
        for position in range(len(seen)):
            expected = [c for c in seen[position + 1 :] if namespace in ("", c.record.key.namespace)]
            watch = store.watch(PODS, namespace, after=seen[position].revision)
            found = await take(watch, len(expected) + 2)
            assert found[:-2] == expected
            assert found[-2].record == fresh
            assert found[-1] == last


async def test_revisions_of_earlier_lives_can_be_listed(tmp_path: Path) -> None:
    listed: list[tuple[int, Sequence[Record]]] = []
    for life in range(3):
        async with opened("", tmp_path) as store:
            for number in range(3):
                await store.create(key(f"n{life}{number}", "ab"[number % 2]), draft())
                listed.append((store.revision, store.list(PODS).records))
            gone = store.list(PODS).records[0]
            await store.delete(gone.key, gone.revision)
            listed.append((store.revision, store.list(PODS).records))
            for revision, records in listed:
                assert await list_at(store, PODS, "", revision) == records


async def test_history_that_is_trimmed_stays_trimmed_after_a_restart(tmp_path: Path) -> None:
    bounds = Retention(max_changes=5, slice_size=2)
    async with opened("", tmp_path, bounds) as store:
        first = await store.create(key("first"), draft())
        for number in range(20):
            await store.create(key(f"n{number}"), draft())
    async with opened("", tmp_path, bounds) as store:
        while await store.trim():
            pass
        with pytest.raises(RevisionTrimmed) as caught:
            store.watch(PODS, after=first.revision)
        assert len(await take(store.watch(PODS, after=caught.value.oldest), 5)) == 5
        assert query(database(tmp_path), "SELECT count(*) FROM changes") == [(5,)]
    async with opened("", tmp_path, bounds) as store:
        with pytest.raises(RevisionTrimmed):
            store.watch(PODS, after=caught.value.oldest - 1)


async def test_history_grows_old(tmp_path: Path) -> None:
    async with opened("", tmp_path, Retention(max_age_seconds=60)) as store:
        first = await store.create(key("a"), draft())
        start = clock.seconds()
        clock.set_source(lambda: start + 61)
        try:
            second = await store.create(key("b"), draft())
            assert await store.trim() == 1
        finally:
            clock.reset_source()
        with pytest.raises(RevisionTrimmed):
            store.watch(PODS, after=first.revision - 1)
        assert (await take(store.watch(PODS, after=first.revision), 1))[0].record == second


async def test_a_trimmed_file_gives_its_pages_back(tmp_path: Path) -> None:
    bounds = Retention(max_changes=10, slice_size=5)
    async with opened("", tmp_path, bounds) as store:
        record = await store.create(key("a"), draft())
        for number in range(200):
            record = await store.update(record.key, draft(str(number) + "x" * 20_000), record.revision)
        while await store.trim():
            pass
    assert database(tmp_path).stat().st_size < 1_000_000


async def test_a_watcher_whose_past_is_trimmed_while_it_waits_must_list_again(tmp_path: Path) -> None:
    async with opened("", tmp_path) as store:
        first = await store.create(key("a"), draft())
        await store.create(key("b"), draft())
    async with opened("", tmp_path, Retention(max_changes=0)) as store:
        watch = store.watch(PODS, after=first.revision)
        while await store.trim():
            pass
        with pytest.raises(WatcherTooSlow):
            await anext(watch)


async def test_a_backup_is_a_whole_database(tmp_path: Path) -> None:
    async with opened("", tmp_path / "one") as store:
        record = await store.create(key("a"), draft())
        await store.create(key("s", resource="/secrets"), draft())
        (tmp_path / "two" / "db").mkdir(parents=True)
        await sql_store(store).back_up(database(tmp_path / "two"))
    assert database(tmp_path / "two").stat().st_mode & 0o077 == 0
    shutil.copy(tmp_path / "one" / "db" / "secrets.key", tmp_path / "two" / "db")
    async with opened("", tmp_path / "two") as store:
        assert store.get(key("a")) == record


# --- crashes


class CrashImages:
    """Keeps what a kill at each step of each transaction would leave behind: the files, and what was acknowledged.

    Images are taken in the writer's thread only: between its steps nobody writes to the files.
    """

    def __init__(self, folder: Path, images: Path) -> None:
        self._folder, self._images = folder, images
        self.acknowledged: dict[str, int] = {}
        self.highest = 0
        self.taken: list[tuple[Path, dict[str, int], int]] = []

    def take(self, *_arguments: object) -> None:
        image = self._images / str(len(self.taken))
        acknowledged, highest = dict(self.acknowledged), self.highest
        (image / "db").mkdir(parents=True)
        for name in ("state.db", "state.db-wal", "secrets.key"):
            source = self._folder / "db" / name
            if source.exists():
                shutil.copyfile(source, image / "db" / name)
        self.taken.append((image, acknowledged, highest))

    @contextmanager
    def at_every_step(self) -> Iterator[None]:
        hooks = ("begin", "before_cursor_execute", "after_cursor_execute", "commit")
        for name in hooks:
            event.listen(Engine, name, self.take)
        try:
            yield
        finally:
            for name in hooks:
                event.remove(Engine, name, self.take)

    def acknowledge(self, record: Record) -> None:
        self.acknowledged[record.key.name] = record.revision
        self.highest = max(self.highest, record.revision)


async def test_a_crash_at_any_step_loses_nothing_acknowledged(tmp_path: Path) -> None:
    images = CrashImages(tmp_path / "live", tmp_path / "images")
    with images.at_every_step():
        async with opened("", tmp_path / "live", Retention(max_changes=6, slice_size=2)) as store:
            for number in range(6):
                record = await store.create(key(f"n{number}"), draft())
                images.acknowledge(record)
                images.acknowledge(await store.update(record.key, draft("2"), record.revision))
            lease = await store.create(key("lease", resource=LEASES), draft())
            for _ in range(5):  # revisions that are used without a commit
                lease = await store.update(lease.key, draft(), lease.revision)
                images.highest = lease.revision
    assert len(images.taken) > 60
    for image, acknowledged, highest in images.taken:
        async with opened("", image) as store:
            found = {r.key.name: r.revision for r in store.list(PODS).records}
            assert {name: found.get(name, 0) >= revision for name, revision in acknowledged.items()} == dict.fromkeys(
                acknowledged, True
            )
            assert (await store.create(key("next"), draft())).revision > highest


async def test_a_torn_wal_loses_only_what_was_not_acknowledged(tmp_path: Path) -> None:
    live, chooser = tmp_path / "live", random.Random(7)
    async with opened("", live) as store:
        sizes, records = [], []
        for number in range(12):
            records.append(await store.create(key(f"n{number}"), draft("x" * 3000)))
            sizes.append((live / "db" / "state.db-wal").stat().st_size)
        whole = tmp_path / "whole"
        shutil.copytree(live, whole, ignore=shutil.ignore_patterns("*-shm"))
    for number in range(1, len(sizes)):
        torn = tmp_path / f"torn{number}"
        shutil.copytree(whole, torn)
        with (torn / "db" / "state.db-wal").open("r+b") as wal:
            wal.truncate(chooser.randrange(sizes[number - 1], sizes[number]))
        async with opened("", torn) as store:
            assert [r for r in store.list(PODS).records if r.revision <= records[number - 1].revision] == sorted(
                records[:number], key=lambda r: r.key
            )
            assert (await store.create(key("next"), draft())).revision > records[number - 1].revision


CRASHER = """
import asyncio, sys
from pathlib import Path
from tests.support.stores import draft, key, opened

async def write(store, writer):
    for number in range(10_000):
        record = await store.create(key(f"w{writer}-{number}"), draft("x" * 500))
        print(record.revision, record.key.name, flush=True)

async def main():
    async with opened("", Path(sys.argv[1])) as store:
        async with asyncio.TaskGroup() as group:
            for writer in range(8):
                group.create_task(write(store, writer))

asyncio.run(main())
"""


async def test_kill_nine_again_and_again(tmp_path: Path) -> None:
    """The same data directory through several violent ends: nothing acknowledged is lost, no revision comes twice."""
    acknowledged: dict[str, int] = {}
    for enough in (1, 40, 300):
        process = subprocess.Popen(
            [sys.executable, "-c", CRASHER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        with process.stdout as lines:
            found = [next(lines).split() for _ in range(enough)]
            process.send_signal(signal.SIGKILL)
            found += [line.split() for line in lines if line.endswith("\n")]
        process.wait()
        new = {name: int(revision) for revision, name in found}
        assert min(new.values()) > max(acknowledged.values(), default=0)
        async with opened("", tmp_path) as store:
            present = {r.key.name: r.revision for r in store.list(PODS).records}
            assert new.items() <= present.items()
            acknowledged |= present
            for record in store.list(PODS).records:  # the next child creates the same names
                acknowledged["deleted"] = (await store.delete(record.key, record.revision)).revision


async def test_a_full_disk_refuses_writes_and_nothing_else(tmp_path: Path) -> None:
    async with opened("", tmp_path) as store:
        first = await store.create(key("a"), draft())
        lease = await store.create(key("l", resource=LEASES), draft())
        watch = store.watch(PODS, after=first.revision)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "db" / "state.db-wal").stat().st_size, hard))
        try:
            with pytest.raises(StoreUnavailable, match="can't be written"):
                await store.create(key("b"), draft("x" * 5000))
            lease = await store.update(lease.key, draft("renewed"), lease.revision)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert store.get(key("b")) is None
        second = await store.create(key("b"), draft())
        assert second.revision > lease.revision > first.revision + 2  # the refused write's revision is not used again
        assert [c.record for c in await take(watch, 1)] == [second]
    async with opened("", tmp_path) as store:
        assert store.get(lease.key) == lease


# --- one server, sound files


@pytest.mark.parametrize("endpoint", ["mysql://", "sqlite:///elsewhere.db", "/some/path"])
async def test_an_endpoint_that_is_not_known_is_refused(tmp_path: Path, endpoint: str) -> None:
    with pytest.raises(StoreError, match="--datastore-endpoint"):
        async with opened(endpoint, tmp_path):
            pass


async def test_a_second_server_is_refused_by_name_of_the_first(tmp_path: Path) -> None:
    async with opened("", tmp_path):
        with pytest.raises(StoreError, match=f"process {os.getpid()}.*{tmp_path}"):
            async with opened("", tmp_path):
                pass


async def damaged(folder: Path, statement: str) -> int:
    """A data directory with a good and a bad pod, after `statement`; the revision it stood at."""
    async with opened("", folder) as store:
        await store.create(key("good"), draft())
        await store.create(key("bad"), draft("precious"))
        revision = store.revision
    query(database(folder), statement)
    return revision


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE objects SET data = x'00' WHERE name = 'bad'",
        "UPDATE objects SET data = 7 WHERE name = 'bad'",
        "UPDATE objects SET revision = revision + 1 WHERE name = 'bad'",
        "UPDATE objects SET name = 'other' WHERE name = 'bad'",
    ],
)
async def test_a_damaged_row_is_set_aside_and_the_rest_lives(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, statement: str
) -> None:
    revision = await damaged(tmp_path, statement)
    async with opened("", tmp_path) as store:
        assert [r.key.name for r in store.list(PODS).records] == ["good"]
        assert len(sql_store(store).quarantined) == 1
        with pytest.raises(RevisionTrimmed):  # who knew the object must list again
            store.watch(PODS, after=revision)
        store.watch(PODS, after=store.revision)
    assert "damaged row" in caplog.text
    assert len(query(database(tmp_path), "SELECT * FROM quarantine")) == 1
    async with opened("", tmp_path) as store:
        assert not sql_store(store).quarantined
        assert store.revision > revision


async def test_a_damaged_log_entry_costs_only_the_watchers_that_need_it(tmp_path: Path) -> None:
    async with opened("", tmp_path) as store:
        first = await store.create(key("a"), draft("1"))
        second = await store.update(first.key, draft("2"), first.revision)
        third = await store.update(first.key, draft("3"), second.revision)
    query(database(tmp_path), f"UPDATE changes SET previous = x'00' WHERE revision = {second.revision}")
    async with opened("", tmp_path) as store:
        with pytest.raises(WatcherTooSlow):
            await anext(store.watch(PODS, after=first.revision - 1))
        assert (await take(store.watch(PODS, after=second.revision), 1))[0].record == third
        assert store.get(first.key) == third


async def test_a_file_that_is_damaged_as_a_whole_is_refused_with_advice(tmp_path: Path) -> None:
    async with opened("", tmp_path) as store:
        for number in range(50):
            await store.create(key(f"n{number}"), draft("x" * 2000))
        await sql_store(store).back_up(tmp_path / "db" / "backups.db")
    with database(tmp_path).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    with pytest.raises(StoreError, match=r"is damaged .*put a backup in its place"):
        async with opened("", tmp_path):
            pass
    database(tmp_path).write_bytes(b"no database at all" * 500)
    with pytest.raises(StoreError, match="is damaged"):
        async with opened("", tmp_path):
            pass


# --- encryption


async def test_secret_values_are_not_in_the_files(tmp_path: Path) -> None:
    async with opened("", tmp_path) as store:
        start = store.revision
        first = await store.create(key("s", resource="/secrets"), draft("hunter2-hunter2"))
        second = await store.update(first.key, draft("correct-horse"), first.revision)
        for path in (tmp_path / "db").iterdir():
            assert b"hunter2" not in path.read_bytes()
            assert b"correct-horse" not in path.read_bytes()
            assert path.stat().st_mode & 0o077 == 0
    assert (tmp_path / "db").stat().st_mode & 0o077 == 0
    async with opened("", tmp_path) as store:
        assert store.get(first.key) == second
        assert [c.record for c in await take(store.watch("/secrets", after=start), 2)] == [first, second]


async def test_a_lost_or_wrong_key_is_refused_instead_of_losing_the_secrets(tmp_path: Path) -> None:
    key_file = tmp_path / "db" / "secrets.key"
    async with opened("", tmp_path) as store:
        record = await store.create(key("s", resource="/secrets"), draft())
    right = key_file.read_bytes()
    for wrong, text in ((None, "is missing"), (b"0" * 32, "not the one"), (b"short", "is damaged")):
        key_file.unlink(missing_ok=True)
        if wrong is not None:
            key_file.write_bytes(wrong)
        with pytest.raises(StoreError, match=text):
            async with opened("", tmp_path):
                pass
    key_file.write_bytes(right)
    async with opened("", tmp_path) as store:
        assert store.get(record.key) == record


# --- soft state


async def test_renewals_wait_for_the_disk_and_go_with_the_next_commit(tmp_path: Path) -> None:
    on_disk = "SELECT revision FROM objects WHERE name = 'l'"
    async with opened("", tmp_path) as store:
        lease = await store.create(key("l", resource=LEASES), draft("0"))
        created = lease.revision
        for number in range(1, 1001):
            lease = await store.update(lease.key, draft(str(number)), lease.revision)
        assert query(database(tmp_path), on_disk) == [(created,)]
        await store.create(key("hard"), draft())
        assert query(database(tmp_path), on_disk) == [(lease.revision,)]
        assert query(database(tmp_path), "SELECT count(*) FROM changes") == [(3,)]
        lease = await store.update(lease.key, draft("last"), lease.revision)
        assert query(database(tmp_path), on_disk) != [(lease.revision,)]
    async with opened("", tmp_path) as store:
        assert store.get(lease.key) == lease
        changes = await take(store.watch(LEASES, after=created - 1), 3)
        assert [c.record.revision for c in changes] == [created, changes[1].revision, lease.revision]
        assert changes[2].record == lease


async def test_only_heartbeats_of_nodes_are_soft(tmp_path: Path) -> None:
    def node_draft(beat: str, ready: str) -> Draft:
        conditions = [{"type": "Ready", "status": ready, "lastHeartbeatTime": beat}]
        head = orjson.dumps({"uid": "u", "status": {"conditions": conditions}})[:-1]
        return Draft(Value(head + b',"metadata":{"resourceVersion":"', b'"}}'), "u")

    async with opened("", tmp_path) as store:
        record = await store.create(key("n", "", "/nodes"), node_draft("1", "True"))
        record = await store.update(record.key, node_draft("2", "True"), record.revision)
        on_disk = "SELECT revision FROM objects"
        assert query(database(tmp_path), on_disk) != [(record.revision,)]
        record = await store.update(record.key, node_draft("3", "False"), record.revision)
        assert query(database(tmp_path), on_disk) == [(record.revision,)]


# --- schema


async def test_a_newer_database_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    async with opened("", tmp_path):
        pass
    query(database(tmp_path), "UPDATE alembic_version SET version_num = '9999'")
    before = database(tmp_path).read_bytes()
    with pytest.raises(StoreError, match="newer mkube"):
        async with opened("", tmp_path):
            pass
    assert database(tmp_path).read_bytes() == before


def test_the_migrations_end_in_the_schema_that_a_new_file_gets(tmp_path: Path) -> None:
    fresh, migrated = tmp_path / "fresh.db", tmp_path / "migrated.db"
    open_database(fresh).dispose()
    engine = open_engine(migrated)
    with engine.begin() as connection:
        migrate(connection)
    engine.dispose()

    def schema(path: Path) -> dict[object, list[tuple[object, ...]]]:
        names = [r[0] for r in query(path, "SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: query(path, f"SELECT name, type, \"notnull\", pk FROM pragma_table_info('{name}')") for name in names
        }

    assert schema(fresh) == schema(migrated)
    assert query(fresh, "SELECT * FROM alembic_version") == query(migrated, "SELECT * FROM alembic_version")
    assert max(known_versions()) == SCHEMA_VERSION


def test_a_start_at_the_newest_schema_does_not_load_alembic(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from minikube_py.store.sqlite_file import open_database\n"
        "for _ in range(2): open_database(Path(sys.argv[1])).dispose()\n"
        "import json; print(json.dumps([n for n in sys.modules if n.partition('.')[0] in ('alembic', 'aiosqlite')]))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "state.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert json.loads(done.stdout) == []


def test_the_migrations_are_found_in_a_checkout() -> None:
    assert (migrations_dir() / "env.py").is_file()
