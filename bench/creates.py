"""Durable creates a second over TLS: ConfigMaps and Pods, with 1 and 64 clients.

    python bench/creates.py

Needs wrk. Beside them, in the same run: plain SQLite with one transaction for each small row (WAL, synchronous=FULL),
and a plain aiohttp handler that parses the same body and answers it. Medians of 5.
"""

import json
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from load_generators import Target, floor_server, free_port, wrk
from measured_server import MeasuredServer, measured_server

ROUNDS, SECONDS = 5, 3.0
CONFIG_MAP = {"metadata": {"generateName": "b-"}, "data": {"key": "value"}}
POD = {
    "metadata": {"generateName": "b-", "labels": {"app": "bench"}},
    "spec": {"schedulerName": "none", "containers": [{"name": "c", "image": "busybox:stable"}]},
}


def sqlite_rate() -> float:
    """Transactions a second of one small row each."""
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder) / "floor.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB)")
        count, end = 0, time.perf_counter() + SECONDS / ROUNDS
        while time.perf_counter() < end:
            connection.execute("INSERT INTO t (data) VALUES (?)", (b"x" * 600,))
            count += 1
        connection.close()
        return count / SECONDS * ROUNDS


def measure(server: MeasuredServer) -> None:
    mkube = Target(server.url, server.process.pid, server.token)
    with floor_server(server) as plain:
        for name, plural, body in (("ConfigMaps", "configmaps", CONFIG_MAP), ("Pods", "pods", POD)):
            path, text = f"/api/v1/namespaces/default/{plural}", json.dumps(body)
            for clients in (1, 64):
                loads, floors, disk = [], [], []
                for _ in range(ROUNDS):
                    disk.append(sqlite_rate())
                    loads.append(wrk(mkube, path, clients, SECONDS, text))
                    floors.append(wrk(plain, "/one", clients, SECONDS, text))
                rates = [load.rate for load in loads]
                ours, http = statistics.median(rates), statistics.median(load.rate for load in floors)
                sqlite, cpu = statistics.median(disk), statistics.median(load.cpu_us for load in loads)
                print(
                    f"{name:10} {clients:3} client(s) {ours:7,.0f} /s ({min(rates):,.0f}-{max(rates):,.0f})  "
                    f"server's CPU {cpu:4.0f} us   SQLite {sqlite:6,.0f} /s, ratio {ours / sqlite:4.2f}   "
                    f"aiohttp {http:7,.0f} /s, ratio {ours / http:4.2f}",
                    flush=True,
                )


def main() -> None:
    with measured_server(free_port(), "--container-runtime", "fake") as server:
        server.start()
        server.until_node_ready()
        measure(server)


if __name__ == "__main__":
    main()
