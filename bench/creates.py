"""Durable creates of ConfigMaps a second over HTTPS, with 1 and 64 clients, beside plain SQLite on the same disk."""

import asyncio
import multiprocessing
import sqlite3
import ssl
import statistics
import tempfile
import time
from pathlib import Path

import aiohttp
from measured_server import MeasuredServer, measured_server

ROUNDS, SECONDS = 5, 3.0
PATH = "/api/v1/namespaces/default/configmaps"


async def load(url: str, token: str, ca_file: str, clients: int) -> float:
    """Creates a second by so many clients, each waiting for its answer."""
    context = ssl.create_default_context(cafile=ca_file)
    done, end = 0, time.perf_counter() + SECONDS
    headers = {"Authorization": f"Bearer {token}"}

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=0), headers=headers) as session:

        async def one() -> None:
            nonlocal done
            while time.perf_counter() < end:
                body = {"metadata": {"generateName": "b-"}, "data": {"key": "value"}}
                async with session.post(url + PATH, json=body) as answer:
                    if answer.status != 201:
                        raise RuntimeError(await answer.text())
                done += 1

        began = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(clients)))
        return done / (time.perf_counter() - began)


def run_load(arguments: tuple[str, str, str, int]) -> float:
    return asyncio.run(load(*arguments))


def measure(server: MeasuredServer, clients: int) -> float:
    ca_file = str(server.data_dir / "pki" / "server-ca.crt")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        rates = [pool.map(run_load, [(server.url, server.token, ca_file, clients)])[0] for _ in range(ROUNDS)]
    return statistics.median(rates)


def sqlite_floor() -> float:
    """Transactions a second of one small row each, WAL with synchronous=FULL."""
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder) / "floor.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB)")
        count, end = 0, time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            connection.execute("INSERT INTO t (data) VALUES (?)", (b"x" * 600,))
            count += 1
        connection.close()
        return count / SECONDS


def main() -> None:
    floor = sqlite_floor()
    print(f"plain SQLite          {floor:8.0f} /s")
    with measured_server(18446, "--container-runtime", "fake") as server:
        server.start()
        for clients in (1, 64):
            rate = measure(server, clients)
            print(f"ConfigMaps {clients:3} client(s) {rate:8.0f} /s   {rate / floor:5.2f} of plain SQLite")


if __name__ == "__main__":
    main()
