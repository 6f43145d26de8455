"""Measures durable writes a second through the store, beside the floor: one plain sqlite3 transaction per write.

    python bench/store_writes.py [--seconds 2] [--size 4096] [--writers 1,32,256]

Every write is an update of a writer's own object, answered only when it is on disk (WAL, synchronous=FULL). The floor
does the same statements (the object, its log entry) from one thread without a store, in the same run on the same disk.
"""

import argparse
import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import orjson

from minikube_py.store.catalog import StoreSettings, open_store
from minikube_py.store.protocol import Draft, Key, Value


def index(_key: Key, data: bytes) -> tuple[str, Mapping[str, str], Mapping[str, str]]:
    return orjson.loads(data)["metadata"]["uid"], {}, {}


def draft(size: int, step: int) -> Draft:
    head = b'{"metadata":{"resourceVersion":"'
    tail = b'","uid":"u"},"step":%d,"filler":"%s"}' % (step, b"x" * (size - 80))
    return Draft(Value(head, tail), "u", {"app": "bench"})


def measure_floor(folder: Path, seconds: float, size: int) -> float:
    """Writes a second of one thread: BEGIN, upsert, log entry, COMMIT."""
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE objects (name TEXT PRIMARY KEY, data BLOB)")
    connection.execute("CREATE TABLE changes (revision INTEGER PRIMARY KEY, name TEXT, previous BLOB)")
    previous, done = b"", 0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        value = draft(size, done).value
        data = b"%s%d%s" % (value.head, done, value.tail)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT OR REPLACE INTO objects VALUES ('a', ?)", (data,))
        connection.execute("INSERT INTO changes VALUES (?, 'a', ?)", (done, previous))
        connection.execute("COMMIT")
        previous, done = data, done + 1
    elapsed = time.perf_counter() - start
    connection.close()
    return done / elapsed


async def measure_store(folder: Path, writers: int, seconds: float, size: int) -> tuple[float, float]:
    """Writes a second, and the median latency in milliseconds."""
    latencies: list[float] = []
    async with open_store("", StoreSettings(folder, index)) as store:

        async def write(number: int, until: float) -> None:
            record = await store.create(Key("/pods", "default", f"pod-{number}"), draft(size, 0))
            step = 0
            while (begin := time.perf_counter()) < until:
                step += 1
                record = await store.update(record.key, draft(size, step), record.revision)
                latencies.append(time.perf_counter() - begin)

        start = time.perf_counter()
        await asyncio.gather(*(write(n, start + seconds) for n in range(writers)))
        elapsed = time.perf_counter() - start
    return len(latencies) / elapsed, statistics.median(latencies) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--writers", default="1,32,256")
    parser.add_argument("--directory", type=Path, default=None, help="where the databases go (the disk to measure)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        folder = Path(name)
        floor = measure_floor(folder, options.seconds, options.size)
        print(f"floor: plain sqlite3, a transaction per write   {floor:9,.0f} writes/s")
        for writers in (int(text) for text in options.writers.split(",")):
            target = folder / f"store-{writers}"
            target.mkdir()
            rate, latency = asyncio.run(measure_store(target, writers, options.seconds, options.size))
            print(
                f"store: {writers:4d} writers {rate:31,.0f} writes/s   median {latency:.2f} ms   {rate / floor:.1f} x"
            )


if __name__ == "__main__":
    main()
