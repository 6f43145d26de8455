"""One real node without a control plane: a Docker runtime on a bridge of its own, and short ways to run pods on it."""

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import docker

from minikube_py.client.node_connection import ContainerAddress, LogRequest, StreamRequest
from minikube_py.kubelet.network.netlink import NetlinkNetwork
from minikube_py.kubelet.network.protocol import PodNetworkConfig
from minikube_py.kubelet.runtimes.docker import DockerRuntime
from minikube_py.kubelet.runtimes.docker_labels import Owner
from minikube_py.kubelet.runtimes.namespace_dial import in_network_namespace
from minikube_py.kubelet.runtimes.protocol import ContainerSpec, ContainerState, PodRef, SandboxSpec, SandboxState
from tests.support.images import TEST_IMAGE

# Not mkube's own defaults, so that the tests can run beside a cluster.
CLUSTER_CIDR, SERVICE_CIDR, CLUSTER_DNS = "10.182.0.0/16", "10.183.0.0/16", "10.183.0.10"
PATIENCE_SECONDS = 15


@dataclass(frozen=True)
class Pod:
    """A started pod with its one container."""

    ref: PodRef
    sandbox: SandboxState
    container: ContainerState

    @property
    def ip(self) -> str:
        return self.sandbox.ips[0]


class Node:
    """Everything that a test needs of a node."""

    def __init__(self, cluster_id: str, number: int = 0) -> None:
        self.owner = Owner(cluster_id, f"node-{number}")
        self.config = PodNetworkConfig(
            cluster_id=cluster_id,
            node_name=self.owner.node_name,
            pod_cidr=f"10.182.{number}.0/24",
            cluster_cidr=CLUSTER_CIDR,
            service_cidr=SERVICE_CIDR,
            cluster_dns=CLUSTER_DNS,
        )
        self.network = NetlinkNetwork(self.config)
        self.runtime = DockerRuntime(self.owner, self.network)
        self._count = 0

    def pod_ref(self, name: str = "") -> PodRef:
        self._count += 1
        return PodRef(str(uuid.uuid4()), "default", name or f"pod-{self._count}")

    async def sandbox(self, **settings: Any) -> SandboxState:
        ref = settings.pop("pod", None) or self.pod_ref()
        return await self.runtime.start_sandbox(SandboxSpec(ref, settings.pop("hostname", ref.name), **settings))

    def spec(self, sandbox: SandboxState, script: str = "", **settings: Any) -> ContainerSpec:
        command = ("sh", "-c", script) if script else ()
        spec = ContainerSpec(sandbox.pod, "main", TEST_IMAGE, command=command)
        return replace(spec, **settings)

    async def run(self, script: str, **settings: Any) -> Pod:
        """A pod whose container runs a shell script."""
        sandbox = await self.sandbox()
        container = await self.runtime.start_container(self.spec(sandbox, script, **settings), sandbox)
        return Pod(sandbox.pod, sandbox, container)

    async def web(self, text: str, port: int = 80) -> Pod:
        """A pod that answers HTTP with `text`."""
        serve = f"mkdir /www; echo -n {text} > /www/index.html; httpd -p {port} -h /www; touch /ready; exec sleep 1000"
        pod = await self.run(serve)
        await self.until(pod, "test -e /ready")
        return pod

    async def execute(self, pod: Pod, script: str) -> tuple[int, str]:
        """Exit code and everything that the script printed in the pod's container."""
        request = StreamRequest(address_of(pod.container), ("sh", "-c", script))
        session = await self.runtime.open_stream(pod.container, request)
        output = b""
        while (chunk := await session.receive()) is not None:
            output += chunk.data
        result = await session.result()
        await session.close()
        return result.exit_code, output.decode() + result.error

    async def until(self, pod: Pod, script: str) -> str:
        """Wait until the script succeeds in the pod; what it printed."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                code, output = await self.execute(pod, script)
                if code == 0:
                    return output

    async def exited(self, ref: PodRef) -> ContainerState:
        """Wait for the pod's only container to end."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                state = await self.runtime.pod_state(ref.uid)
                assert state is not None
                if state.containers[-1].state == "exited":
                    return state.containers[-1]

    async def udp_socket(self, pod: Pod, port: int) -> socket.socket:
        """A UDP socket bound in the pod's network namespace (the test image has no UDP tools)."""
        process_id = await asyncio.to_thread(_process_id, pod.sandbox.id)

        def make() -> socket.socket:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.setblocking(False)
            made.bind((pod.ip, port))
            return made

        return await asyncio.to_thread(in_network_namespace, process_id, make)

    async def logs(self, container: ContainerState, **options: Any) -> str:
        request = LogRequest(address_of(container), **options)
        return b"".join([data async for data in self.runtime.logs(container, request)]).decode()

    async def remove(self) -> None:
        for state in await self.runtime.list_pods():
            await self.runtime.remove_pod(state.pod.uid)
        await self.network.destroy()
        await self.network.close()
        await self.runtime.close()


def address_of(container: ContainerState) -> ContainerAddress:
    pod = container.pod
    return ContainerAddress(pod.namespace, pod.name, pod.uid, container.name)


def _process_id(container_id: str) -> int:
    client = docker.APIClient(version="auto")
    try:
        return int(client.inspect_container(container_id)["State"]["Pid"])
    finally:
        client.close()


@asynccontextmanager
async def running_node(cluster_id: str = "", number: int = 0) -> AsyncIterator[Node]:
    """A node that leaves nothing behind."""
    node = Node(cluster_id or uuid.uuid4().hex, number)
    try:
        await node.network.start({})
        yield node
    finally:
        await node.remove()
