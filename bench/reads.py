"""GETs, a LIST of 10,000 pods, and watch fan-out to 1,000 watchers over TLS, beside plain aiohttp in the same run.

    python bench/reads.py [get] [list] [watch]

Needs wrk, curl and Go. Medians of 5; the ratio is against the floor (above 1 is better than the floor).
"""

import asyncio
import json
import ssl
import statistics
import sys
import tempfile
from pathlib import Path

import aiohttp
from load_generators import Target, build_watch_load, download_seconds, fan_out, floor_server, free_port, wrk
from measured_server import MeasuredServer, measured_server

ROUNDS = 5
CLIENTS, PODS, WATCHERS, EVENTS_A_SECOND = 32, 10_000, 1000, 4.0
POD_BYTES = 4096
NAMESPACE = "/api/v1/namespaces/default"


def pod(name: str) -> dict[str, object]:
    """A pod that no scheduler takes; as stored it has about POD_BYTES."""
    env = [{"name": f"SETTING_{n}", "value": f"value of setting {n}"} for n in range(14)]
    container = {"name": "c", "image": "busybox:stable", "command": ["sleep", "100000"], "env": env}
    labels = {"app": "bench", "tier": "backend"}
    return {"metadata": {"name": name, "labels": labels}, "spec": {"schedulerName": "none", "containers": [container]}}


async def create_pods(target: Target, ca_file: Path, count: int) -> None:
    context = ssl.create_default_context(cafile=str(ca_file))
    headers = {"Authorization": f"Bearer {target.token}"}
    names = iter(range(count))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context), headers=headers) as session:

        async def create() -> None:
            for number in names:
                async with session.post(f"{target.url}{NAMESPACE}/pods", json=pod(f"pod-{number}")) as answer:
                    if answer.status != 201:
                        raise RuntimeError(await answer.text())

        await asyncio.gather(*(create() for _ in range(32)))


def report(name: str, ours: list[float], floor: list[float], unit: str, *, higher_is_better: bool) -> None:
    mine, plain = statistics.median(ours), statistics.median(floor)
    ratio = mine / plain if higher_is_better else plain / mine
    spread = f"{min(ours):,.0f}-{max(ours):,.0f}"
    print(f"{name:40} {mine:10,.1f} {unit:3} ({spread})   aiohttp {plain:10,.1f}   ratio {ratio:5.2f}", flush=True)


def measure_get(_server: MeasuredServer, mkube: Target, plain: Target) -> None:
    ours, floor = [], []
    for _ in range(ROUNDS):
        ours.append(wrk(mkube, f"{NAMESPACE}/pods/pod-0", CLIENTS))
        floor.append(wrk(plain, "/one", CLIENTS))
    report(
        f"GET of a pod, {CLIENTS} clients", [f.rate for f in ours], [f.rate for f in floor], "/s", higher_is_better=True
    )
    cpu = "  server's CPU a request"
    report(cpu, [f.cpu_us for f in ours], [f.cpu_us for f in floor], "us", higher_is_better=False)


def measure_list(_server: MeasuredServer, mkube: Target, plain: Target) -> None:
    ours = [download_seconds(mkube, "/api/v1/pods") * 1000 for _ in range(ROUNDS)]
    floor = [download_seconds(plain, "/list") * 1000 for _ in range(ROUNDS)]
    report(f"LIST of {PODS} pods, JSON", ours, floor, "ms", higher_is_better=False)


def measure_watch(server: MeasuredServer, mkube: Target, plain: Target) -> None:
    path = f"{NAMESPACE}/configmaps"
    with tempfile.TemporaryDirectory() as folder:
        program = build_watch_load(Path(folder))
        ours, floor = [], []
        for _ in range(ROUNDS):
            now = server.get(path)["metadata"]["resourceVersion"]  # type: ignore[index]
            from_now = f"{path}?watch=1&resourceVersion={now}"
            ours.append(fan_out(program, mkube, from_now, path, WATCHERS, EVENTS_A_SECOND))
            floor.append(fan_out(program, plain, "/watch", "/publish", WATCHERS, EVENTS_A_SECOND))
    for name, unit in (("median", "ms"), ("p99", "ms"), ("cpu_us", "us")):
        text = {"median": "median lag", "p99": "p99 lag", "cpu_us": "server's CPU a delivery"}[name]
        mine, other = [getattr(f, name) for f in ours], [getattr(f, name) for f in floor]
        report(f"watch, {WATCHERS} watchers: {text}", mine, other, unit, higher_is_better=False)


def measure(server: MeasuredServer, parts: set[str]) -> None:
    mkube = Target(server.url, server.process.pid, server.token)
    asyncio.run(create_pods(mkube, server.data_dir / "pki" / "server-ca.crt", PODS if "list" in parts else 1))
    size = len(json.dumps(server.get(f"{NAMESPACE}/pods/pod-0"), separators=(",", ":")))
    print(f"a pod has {size} bytes")
    with floor_server(server, size, PODS) as plain:
        for name, part in (("get", measure_get), ("list", measure_list), ("watch", measure_watch)):
            if name in parts:
                part(server, mkube, plain)


def main() -> None:
    parts = set(sys.argv[1:]) or {"get", "list", "watch"}
    with measured_server(free_port(), "--container-runtime", "fake") as server:
        server.start()
        server.until_node_ready()
        measure(server, parts)


if __name__ == "__main__":
    main()
