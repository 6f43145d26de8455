"""Pods on a Docker network with addresses that mkube assigns: what a node without root uses."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import docker
import pytest

from minikube_py.kubelet.network.docker_network import DockerNetwork
from minikube_py.kubelet.network.protocol import PodNetworkConfig
from minikube_py.kubelet.runtimes.docker import DockerRuntime
from minikube_py.kubelet.runtimes.docker_labels import Owner
from minikube_py.kubelet.runtimes.protocol import PodRef, PortMapping, SandboxSpec
from tests.docker.node import Node

RANGE = "10.184.0.0/16"


class DockerNode(Node):
    """A node whose pods are on the cluster's Docker network."""

    def __init__(self, cluster_id: str, number: int) -> None:
        self.owner = Owner(cluster_id, f"node-{number}")
        config = PodNetworkConfig(
            cluster_id, self.owner.node_name, f"10.184.{number}.0/24", RANGE, "10.185.0.0/16", "10.185.0.10"
        )
        self.docker_network = DockerNetwork(config)
        self.runtime = DockerRuntime(self.owner, self.docker_network)
        self._count = 0

    async def remove(self) -> None:
        for state in await self.runtime.list_pods():
            await self.runtime.remove_pod(state.pod.uid)
        await self.docker_network.destroy()
        await self.docker_network.close()
        await self.runtime.close()


@pytest.fixture
async def nodes(docker_client: docker.APIClient) -> AsyncIterator[list[DockerNode]]:
    cluster_id = uuid.uuid4().hex
    made = [DockerNode(cluster_id, number) for number in (0, 1)]
    try:
        for one in made:
            await one.docker_network.start({})
        yield made
    finally:
        for one in made:
            await one.remove()


async def test_pods_of_all_nodes_reach_each_other(nodes: list[DockerNode]) -> None:
    first, second = await nodes[0].web("hello"), await nodes[1].run("exec sleep 1000")
    assert (first.ip, second.ip) == ("10.184.0.2", "10.184.1.2")
    assert await nodes[1].execute(second, f"wget -q -O - http://{first.ip}/") == (0, "hello")
    _, addresses = await nodes[0].execute(first, "ip -4 -o addr show eth0")
    assert "10.184.0.2" in addresses


async def test_an_address_is_used_again(nodes: list[DockerNode]) -> None:
    node = nodes[0]
    pod = await node.run("exec sleep 1000")
    await node.runtime.stop_sandboxes(pod.ref.uid)
    again = await node.runtime.start_sandbox(SandboxSpec(pod.ref, "again", attempt=1, ip=pod.ip))
    assert again.ips == pod.sandbox.ips


async def test_docker_publishes_host_ports(nodes: list[DockerNode], docker_client: docker.APIClient) -> None:
    ref = PodRef(str(uuid.uuid4()), "default", "ported")
    spec = SandboxSpec(ref, "ported", ports=(PortMapping(80, 31993, host_ip="127.0.0.1"),))
    sandbox = await nodes[0].runtime.start_sandbox(spec)
    inspected = await asyncio.to_thread(docker_client.inspect_container, sandbox.id)
    assert inspected["NetworkSettings"]["Ports"]["80/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": "31993"}]
