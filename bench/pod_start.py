"""Times a one-container pod on Docker through the runtime, beside the same two containers through the docker CLI.

Run as root with a Docker engine: `python -m bench.pod_start [repeats]`. Also times service rules: 1,000 Services at
once, and one more. Prints medians in milliseconds.
"""

import asyncio
import statistics
import subprocess
import sys
import time
import uuid
from dataclasses import replace

import docker

from minikube_py.kubelet.network.host_names import bridge_name
from minikube_py.proxy.backends.nftables import NftablesBackend
from minikube_py.proxy.backends.protocol import Endpoint, RuleSet, ServicePort
from tests.docker.node import CLUSTER_CIDR, Node, running_node
from tests.support.images import TEST_IMAGE, ensure_test_image

SERVICE_COUNT = 1000
Times = dict[str, list[float]]


def note(times: Times, name: str, began: float) -> float:
    """Record the milliseconds since `began`; the time now."""
    now = time.perf_counter()
    times.setdefault(name, []).append((now - began) * 1000)
    return now


async def time_runtime(node: Node, times: Times) -> None:
    began = time.perf_counter()
    sandbox = await node.sandbox()
    middle = note(times, "mkube: sandbox with address", began)
    await node.runtime.start_container(node.spec(sandbox, "exec sleep 1000"), sandbox)
    note(times, "mkube: container in it", middle)
    note(times, "mkube: pod", began)
    began = time.perf_counter()
    await node.runtime.stop_sandboxes(sandbox.pod.uid)
    middle = note(times, "mkube: kill the pod", began)
    await node.runtime.remove_pod(sandbox.pod.uid)
    note(times, "mkube: remove the pod", middle)


def time_command_line(times: Times) -> None:
    first, second = f"bench-{uuid.uuid4().hex[:8]}", f"bench-{uuid.uuid4().hex[:8]}"
    began = time.perf_counter()
    _docker("run", "-d", "--name", first, "mkube/pause:1")
    middle = note(times, "docker run: pause", began)
    _docker("run", "-d", "--name", second, "--network", f"container:{first}", TEST_IMAGE, "sleep", "1000")
    note(times, "docker run: container in it", middle)
    note(times, "docker run: both", began)
    _docker("rm", "-f", first, second)


def _docker(*arguments: str) -> None:
    subprocess.run(["docker", *arguments], check=True, capture_output=True)


async def time_together(node: Node, times: Times, count: int) -> None:
    """Many pods at once, as a rollout starts them."""

    async def one() -> None:
        sandbox = await node.sandbox()
        await node.runtime.start_container(node.spec(sandbox, "exec sleep 1000"), sandbox)

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(count)))
    note(times, f"mkube: {count} pods at once", began)


def _services(count: int) -> tuple[ServicePort, ...]:
    ports = []
    for number in range(count):
        ends = tuple(Endpoint(f"10.182.{number % 250}.{host}", 80) for host in (2, 3, 4))
        ip = f"10.183.{number // 250 + 1}.{number % 250 + 1}"
        ports.append(ServicePort("default", f"web-{number}", "", "tcp", 80, (ip,), endpoints=ends))
    return tuple(ports)


async def time_services(node: Node, times: Times) -> None:
    backend = NftablesBackend(node.owner.cluster_id, node.owner.node_name, bridge_name(node.config))
    rules = RuleSet(services=_services(SERVICE_COUNT), cluster_cidr=CLUSTER_CIDR, pod_cidr=node.config.pod_cidr)
    try:
        began = time.perf_counter()
        await backend.apply(rules)
        note(times, f"nftables: {SERVICE_COUNT} Services", began)
        began = time.perf_counter()
        await backend.apply(replace(rules, services=_services(SERVICE_COUNT + 1)))
        note(times, "nftables: one more", began)
    finally:
        await backend.destroy()


async def main(repeats: int) -> None:
    client = docker.APIClient(version="auto")
    ensure_test_image(client)
    client.close()
    times: Times = {}
    async with running_node() as node:
        warm_up = await node.sandbox()
        await node.runtime.remove_pod(warm_up.pod.uid)
        for _ in range(repeats):
            await time_runtime(node, times)
            await asyncio.to_thread(time_command_line, times)
            await time_services(node, times)
        await time_together(node, times, 10)
    for name, values in times.items():
        print(f"{statistics.median(values):8.0f} ms  {name}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
