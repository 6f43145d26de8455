"""How long other clients wait for a GET while one client misbehaves: p50, p99 and the ratio to a quiet server's.

    python bench/misbehaving.py [NAME ...]        every scenario, or those named

The victims are 4 clients that get one small object again and again over TLS; the misbehaving client is a process of
its own, which runs when the machine's other work leaves it time: it stands for a client elsewhere, and what is measured
is the server, not who of the two clients gets this machine's other core. Quiet and misbehaving times are taken in
turns, so that other load on the machine falls on both. Goal: p99 at most 3x.
"""

import asyncio
import json
import os
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
from load_generators import Target, cpu_seconds, free_port
from measured_server import MeasuredServer, measured_server
from reads import create_pods

PODS, CLIENTS, TURN_SECONDS, TURNS, INTERVAL_SECONDS = 5000, 4, 3.0, 3, 0.02
NAMESPACE = "/api/v1/namespaces/default"
MAPS, PODS_PATH = f"{NAMESPACE}/configmaps", f"{NAMESPACE}/pods"
VICTIM = f"{MAPS}/victim"
THINGS = "/apis/bench.example/v1/namespaces/default/things"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
JSON = {"Content-Type": "application/json"}
Session = aiohttp.ClientSession


# --- the misbehaving client ------------------------------------------------------------------------------------------


async def read(session: Session, path: str, accept: str = "application/json") -> None:
    async with session.get(path, headers={"Accept": accept}) as answer:
        async for _ in answer.content.iter_any():
            pass


async def send(session: Session, method: str, path: str, data: bytes, media_type: str = "application/json") -> None:
    async with session.request(method, path, data=data, headers={"Content-Type": media_type}) as answer:
        await answer.read()


def loop_of(step: Callable[[Session], Awaitable[None]], tasks: int = 4) -> Callable[[Session], Awaitable[None]]:
    """The step again and again, by several connections at once."""

    async def run(session: Session) -> None:
        async def forever() -> None:
            while True:
                await step(session)

        await asyncio.gather(*(forever() for _ in range(tasks)))

    return run


def big_map() -> bytes:
    data = {f"key-{i}": "value " * 20 for i in range(22_000)}
    return json.dumps({"metadata": {"generateName": "big-"}, "data": data}).encode()


def big_labels() -> bytes:
    return json.dumps({"metadata": {"generateName": "l-", "labels": {f"l{i}": "v" for i in range(100_000)}}}).encode()


def big_list() -> bytes:
    env = [{"name": f"N{i}", "value": "v"} for i in range(50_000)]
    containers = [{"name": "c", "image": "i", "env": env}]
    return json.dumps({"metadata": {"generateName": "p-"}, "spec": {"containers": containers}}).encode()


def yaml_map() -> bytes:
    return b"metadata: {generateName: y-}\ndata:\n" + b"".join(b"  key-%d: some value\n" % i for i in range(100_000))


def operations() -> bytes:
    add = [{"op": "add", "path": f"/data/k{i % 500}", "value": "x" * 100} for i in range(10_000)]
    return json.dumps(add).encode()


def owned() -> bytes:
    data = {f"key-{i}": "v" for i in range(30_000)}
    metadata = {"name": "applied"}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}).encode()


async def slow_readers(session: Session) -> None:
    answers = [await session.get(PODS_PATH) for _ in range(60)]
    await asyncio.sleep(3600)
    del answers


async def watches(session: Session) -> None:
    async def one() -> None:
        async with session.get(f"{PODS_PATH}?watch=1") as answer:
            await answer.content.readany()

    while True:
        await asyncio.gather(*(one() for _ in range(200)))


SELECTOR = "%2C".join(f"l{i}!%3Dv" for i in range(1000))
THING = json.dumps({
    "apiVersion": "bench.example/v1", "kind": "Thing", "metadata": {"generateName": "t-"},
    "spec": {"text": "a" * 100_000 + "!", "list": list(range(400))},
}).encode()  # fmt: skip

SCENARIOS: dict[str, Callable[[Session], Awaitable[None]]] = {
    "lists in JSON": loop_of(lambda s: read(s, PODS_PATH)),
    "lists in protobuf": loop_of(lambda s: read(s, PODS_PATH, "application/vnd.kubernetes.protobuf")),
    "lists as tables": loop_of(lambda s: read(s, PODS_PATH, "application/json;as=Table;v=v1;g=meta.k8s.io")),
    "lists in YAML": loop_of(lambda s: read(s, PODS_PATH, "application/yaml")),
    "lists in pretty JSON": loop_of(lambda s: read(s, f"{PODS_PATH}?pretty=true")),
    "lists by giant selectors": loop_of(lambda s: read(s, f"{PODS_PATH}?labelSelector={SELECTOR}")),
    "maps of 3 MB": loop_of(lambda s: send(s, "POST", f"{MAPS}?dryRun=All", big_map())),
    "100,000 labels": loop_of(lambda s: send(s, "POST", f"{MAPS}?dryRun=All", big_labels())),
    "pods of 2 MB": loop_of(lambda s: send(s, "POST", f"{PODS_PATH}?dryRun=All", big_list())),
    "YAML of 2 MB": loop_of(lambda s: send(s, "POST", f"{MAPS}?dryRun=All", yaml_map(), "application/yaml")),
    "brackets": loop_of(lambda s: send(s, "POST", MAPS, b"[" * 3_000_000)),
    "10,000 operations": loop_of(lambda s: send(s, "PATCH", VICTIM, operations(), "application/json-patch+json")),
    "applies of 30,000 fields": loop_of(
        lambda s: send(s, "PATCH", f"{MAPS}/applied?fieldManager=m&force=true", owned(), "application/apply-patch+yaml")
    ),
    "slow readers": slow_readers,
    "200 watches opened and closed": watches,
    "expensive CEL and regexes": loop_of(lambda s: send(s, "POST", f"{THINGS}?dryRun=All", THING)),
}


async def misbehave(name: str, target: Target, ca_file: Path) -> None:
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    async with client(target, ca_file) as session:
        await SCENARIOS[name](session)


# --- the victim ------------------------------------------------------------------------------------------------------


def client(target: Target, ca_file: Path) -> Session:
    context = ssl.create_default_context(cafile=str(ca_file))
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    return Session(target.url, connector=connector, headers={"Authorization": f"Bearer {target.token}"})


async def wait_times(session: Session, seconds: float) -> list[float]:
    """Milliseconds that the GETs of a few clients took, each of which asks, waits and asks again."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def one() -> None:
        while time.perf_counter() < end:
            began = time.perf_counter()
            async with session.get(VICTIM) as answer:
                await answer.read()
            times.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(INTERVAL_SECONDS)

    await asyncio.gather(*(one() for _ in range(CLIENTS)))
    return times


async def measure(name: str, target: Target, ca_file: Path) -> None:
    quiet: list[float] = []
    loud: list[float] = []
    load: list[float] = []
    async with client(target, ca_file) as session:
        await wait_times(session, 0.5)
        for _ in range(TURNS):
            quiet += await wait_times(session, TURN_SECONDS)
            arguments = [sys.executable, __file__, "--as", name, target.url, target.token, str(ca_file)]
            process = await asyncio.create_subprocess_exec(*arguments, stderr=subprocess.DEVNULL)
            try:
                await asyncio.sleep(1.0)  # until it has begun
                before = cpu_seconds(target.pid)
                loud += await wait_times(session, TURN_SECONDS)
                load.append((cpu_seconds(target.pid) - before) / TURN_SECONDS)
            finally:
                process.kill()
                await process.wait()
            await asyncio.sleep(0.5)
    calm, busy = percentiles(quiet), percentiles(loud)
    print(
        f"{name:32} quiet p50 {calm[0]:6.1f} p99 {calm[1]:6.1f} ms   now p50 {busy[0]:7.1f} p99 {busy[1]:7.1f}"
        f"  max {max(loud):7.1f} ms   ratio of p99 {busy[1] / calm[1]:6.1f}   server {statistics.mean(load):4.0%} busy",
        flush=True,
    )


def percentiles(times: list[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(times, n=100)
    return cuts[49], cuts[98]


def definition() -> dict[str, object]:
    rule = "self.list.all(x, self.list.exists(y, x == y))"
    spec = {
        "type": "object",
        "properties": {
            "text": {"type": "string", "pattern": "^(a+)+$"},
            "list": {"type": "array", "maxItems": 400, "items": {"type": "integer"}},
        },
        "x-kubernetes-validations": [{"rule": rule}],
    }
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    names = {"plural": "things", "kind": "Thing"}
    body = {"group": "bench.example", "scope": "Namespaced", "names": names, "versions": [version]}
    kind = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    return {**kind, "metadata": {"name": "things.bench.example"}, "spec": body}


async def prepare(server: MeasuredServer, target: Target, ca_file: Path) -> None:
    await create_pods(target, ca_file, PODS)
    async with client(target, ca_file) as session:
        for path, body in ((MAPS, {"metadata": {"name": "victim"}, "data": {"x": "1"}}), (CRDS, definition())):
            async with session.post(path, json=body) as answer:
                if answer.status != 201:
                    raise RuntimeError(await answer.text())
        async with asyncio.timeout(10):
            while (await session.get(THINGS)).status != 200:  # noqa: ASYNC110 (the server has no event for us)
                await asyncio.sleep(0.1)


def wanted() -> Iterator[str]:
    names = sys.argv[1:]
    return (name for name in SCENARIOS if not names or any(part in name for part in names))


def main() -> None:
    if sys.argv[1:2] == ["--as"]:
        name, url, token, ca = sys.argv[2:6]
        asyncio.run(misbehave(name, Target(url, 0, token), Path(ca)))
        return
    with measured_server(free_port(), "--container-runtime", "fake") as server:
        server.start()
        target = Target(server.url, server.process.pid, server.token)
        ca_file = server.data_dir / "pki" / "server-ca.crt"
        asyncio.run(prepare(server, target, ca_file))
        for name in wanted():
            asyncio.run(measure(name, target, ca_file))


if __name__ == "__main__":
    main()
