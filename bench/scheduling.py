"""Pods scheduled a second on simulated nodes, through the API, beside the thresholds kube-scheduler is held to.

    python bench/scheduling.py [--nodes 500,5000] [--only basic,preemption] [--skip-rollouts]

Each workload has a server of its own. A client creates the pods over TLS; the time ends when the last one has its node
in the store. The simulated kubelets, all controllers and the events run beside it in the same process, as in use.
Then whole rollouts: a Deployment of 5,000 and 1,000 Deployments of 5 on 500 nodes, up to Ready, and down to nothing.
"""

import argparse
import asyncio
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from api_load import Api, Seen, connected
from load_generators import free_port
from measured_server import measured_server
from scheduling_workloads import FIRST, SECOND, WORKLOADS, ZONE, Workload, daemon_set, deployment, pod

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
BOUND = "fieldSelector=spec.nodeName!="
READY = "fieldSelector=status.phase=Running"


def pods_of(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


@asynccontextmanager
async def cluster(nodes: int) -> AsyncIterator[Api]:
    """A server with that many simulated nodes, all of them ready."""
    flags = ("--container-runtime", "fake", "--disable-agent", "--fake-nodes", str(nodes))
    with measured_server(free_port(), *flags) as server:
        await asyncio.to_thread(server.start)
        async with connected(server) as api:
            while True:
                found = (await api.call("GET", "/api/v1/nodes"))["items"]
                usable = [n for n in found if not n["spec"].get("taints") and n["status"].get("conditions")]
                if len(usable) >= nodes:
                    break
                await asyncio.sleep(1)
            for namespace in (FIRST, SECOND):
                await api.call("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
                await until_exists(api, f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
            yield api


async def until_exists(api: Api, path: str) -> None:
    while True:
        try:
            await api.call("GET", path)
            return
        except RuntimeError:
            await asyncio.sleep(0.1)


async def label_zones(api: Api, zones: tuple[str, ...]) -> None:
    names = iter([n["metadata"]["name"] for n in (await api.call("GET", "/api/v1/nodes"))["items"]])
    numbered = enumerate(names)

    async def work() -> None:
        for number, name in numbered:
            labels = {ZONE: zones[number % len(zones)]}
            await api.patch(f"/api/v1/nodes/{name}", {"metadata": {"labels": labels}})

    await asyncio.gather(*(work() for _ in range(16)))


async def settled(api: Api) -> None:
    """Until the server has nothing left to do (events are written when there is nothing better)."""
    used = 1.0
    while used > 0.2:
        before = api.cpu
        await asyncio.sleep(1)
        used = api.cpu - before


async def churn(api: Api) -> None:
    """Once a second a node, a Service and an urgent pod that fits nowhere are made anew."""
    unschedulable = pod(cpu="500", priorityClassName="urgent")(0)
    unschedulable["metadata"] = {"name": "too-large"}
    node = {"metadata": {"name": "churned"}, "status": {"allocatable": {"cpu": "4", "memory": "32Gi", "pods": "110"}}}
    service = {"metadata": {"name": "churned"}, "spec": {"selector": {"app": "foo"}, "ports": [{"port": 8080}]}}
    things = (
        ("/api/v1/nodes", node),
        (pods_of(FIRST), unschedulable),
        (f"/api/v1/namespaces/{FIRST}/services", service),
    )
    while True:
        for path, obj in things:
            await api.call("POST", path, obj)
            await asyncio.sleep(1 / len(things))
        for path, obj in things:
            await api.call("DELETE", f"{path}/{obj['metadata']['name']}")


async def measure(workload: Workload, nodes: int, profile: str = "") -> None:
    async with cluster(nodes) as api:
        for path, obj in workload.objects:
            await api.call("POST", path, obj)
        if workload.zones:
            await label_zones(api, workload.zones)
        for pods in workload.before:
            async with Seen(api, pods_of(pods.namespace), READY) as running:
                wanted = running.came + pods.count(nodes)
                await api.create(pods_of(pods.namespace), pods.objects(nodes))
                await running.until(wanted)
        await settled(api)
        background: asyncio.Task[None] | None = None
        if workload.has_churn:
            background = asyncio.create_task(churn(api))
        with profiled(api, profile):
            await report(workload, nodes, api)
        if background is not None:
            background.cancel()


@contextmanager
def profiled(api: Api, file: str) -> Iterator[None]:
    """With a file name: py-spy's samples of the server during the block, a stack a line."""
    if not file:
        yield
        return
    command = [
        "py-spy",
        "record",
        "-r",
        "250",
        "-p",
        str(api.server.process.pid),
        "-d",
        "3600",
        "-f",
        "raw",
        "-o",
        file,
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield
    process.send_signal(signal.SIGINT)
    process.wait()


async def report(workload: Workload, nodes: int, api: Api) -> None:
    path, count = pods_of(SECOND), workload.measured.count(nodes)
    async with Seen(api, path, BOUND) as bound, Seen(api, path, READY) as running:
        before, running_before = bound.came, running.came
        cpu, began = api.cpu, time.perf_counter()
        if workload.uses_daemon_set:
            await api.call("POST", f"/apis/apps/v1/namespaces/{SECOND}/daemonsets", daemon_set())
        else:
            await api.create(path, workload.measured.objects(nodes))
        created = time.perf_counter() - began
        seconds = await bound.until(before + count) - began
        used = (api.cpu - cpu) / count * 1000
        started = await running.until(running_before + count) - began
    rate, threshold = count / seconds, workload.threshold
    print(
        f"{workload.name:24} {nodes:6,} nodes {count:6,} pods  {rate:7.0f} pods/s   "
        f"kube-scheduler {threshold:4.0f} at {workload.at:6,}: {rate / threshold:5.1f} x   "
        f"created in {created:5.1f} s, bound {seconds:5.1f} s, Running {started:5.1f} s   "
        f"server's CPU a pod {used:5.2f} ms ({1000 / used:.0f} pods/s a core)   peak {api.memory_mib():5.0f} MiB",
        flush=True,
    )


async def roll_out(count: int, replicas: int) -> None:
    total = count * replicas
    async with cluster(500) as api:
        path = pods_of("default")
        async with Seen(api, path) as there, Seen(api, path, BOUND) as bound, Seen(api, path, READY) as running:
            began, cpu, idle = time.perf_counter(), api.cpu, api.memory_mib("VmRSS")
            await api.create(DEPLOYMENTS, (deployment(f"web-{number}", replicas) for number in range(count)))
            created = await there.until(total) - began
            scheduled = await bound.until(total) - began
            await running.until(total)
            await until_available(api, total)
            ready, used = time.perf_counter() - began, api.cpu - cpu
            peak_up, began, cpu = api.memory_mib(), time.perf_counter(), api.cpu
            numbers = iter(range(count))

            async def scale_down() -> None:
                for number in numbers:
                    await api.patch(f"{DEPLOYMENTS}/web-{number}", {"spec": {"replicas": 0}})

            await asyncio.gather(*(scale_down() for _ in range(16)))
            gone = await there.until_empty() - began
            used_down = api.cpu - cpu
    print(
        f"{count} Deployment(s) of {replicas}: created {created:.1f} s, scheduled {scheduled:.1f} s, "
        f"Ready {ready:.1f} s "
        f"({used / total * 1000:.2f} ms CPU a pod); scaled to 0 and gone {gone:.1f} s "
        f"({used_down / total * 1000:.2f} ms); memory {idle:.0f} MiB before, peak {peak_up:.0f} MiB",
        flush=True,
    )


async def until_available(api: Api, total: int) -> None:
    while True:
        found = (await api.call("GET", DEPLOYMENTS))["items"]
        if sum(d["status"].get("availableReplicas", 0) for d in found) >= total:
            return
        await asyncio.sleep(0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="", help="numbers of nodes (the default: 500 and 5000)")
    parser.add_argument("--only", default="", help="names of workloads, with commas between them")
    parser.add_argument("--skip-rollouts", action="store_true")
    parser.add_argument("--profile", default="", metavar="FILE", help="py-spy's samples of the last workload measured")
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.nodes.split(",") if size]
    names = [name.strip() for name in arguments.only.split(",") if name]
    for workload in WORKLOADS:
        if not names or workload.name in names:
            for nodes in sizes or workload.sizes:
                asyncio.run(measure(workload, nodes, arguments.profile))
    if not arguments.skip_rollouts and not names:
        asyncio.run(roll_out(1, 5000))
        asyncio.run(roll_out(1000, 5))


if __name__ == "__main__":
    main()
