"""Services through nftables, with real pods on a real bridge."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from minikube_py.host_tools import run_tool
from minikube_py.kubelet.network.host_names import bridge_name
from minikube_py.proxy.backends.nftables import NftablesBackend, table_name
from minikube_py.proxy.backends.protocol import Endpoint, HostPort, RuleSet, ServicePort
from tests.docker.node import CLUSTER_CIDR, Node, Pod

SERVICE_IP = "10.183.0.20"


@pytest.fixture
async def backend(node: Node) -> AsyncIterator[NftablesBackend]:
    made = NftablesBackend(node.owner.cluster_id, node.owner.node_name, bridge_name(node.config))
    yield made
    await made.destroy()


def service(*pods: Pod, port: int = 80, protocol: str = "tcp", **settings: object) -> ServicePort:
    endpoints = tuple(Endpoint(pod.ip, 80, is_local=True) for pod in pods)
    fields = {"cluster_ips": (SERVICE_IP,), "endpoints": endpoints, "local_endpoints": endpoints, **settings}
    return ServicePort("default", "web", "", protocol, port, **fields)


def rules(*services: ServicePort, host_ports: tuple[HostPort, ...] = ()) -> RuleSet:
    return RuleSet(services=services, host_ports=host_ports, cluster_cidr=CLUSTER_CIDR, pod_cidr="10.182.0.0/24")


async def fetch(host: str, port: int = 80) -> str:
    """An HTTP GET from the host itself."""
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    return answer.partition(b"\r\n\r\n")[2].decode()


GET = f"wget -q -O - http://{SERVICE_IP}/"


async def test_cluster_ip_spreads_and_hairpins(node: Node, backend: NftablesBackend) -> None:
    first, second = await node.web("first"), await node.web("second")
    await backend.apply(rules(service(first, second)))
    _, output = await node.execute(first, f"for i in $(seq 40); do {GET}; echo; done")
    assert set(output.split()) == {"first", "second"}
    await backend.apply(rules(service(first)))
    assert await node.execute(first, GET) == (0, "first")
    assert await fetch(SERVICE_IP) == "first"


async def test_without_endpoints_clients_are_refused_at_once(node: Node, backend: NftablesBackend) -> None:
    client = await node.run("exec sleep 1000")
    await backend.apply(rules(service(node_port=31999)))
    code, output = await node.execute(client, GET)
    assert code == 1
    assert "refused" in output
    with pytest.raises(ConnectionRefusedError):
        await fetch(SERVICE_IP)
    with pytest.raises(ConnectionRefusedError):
        await fetch("127.0.0.1", 31999)


async def test_node_port_answers_on_every_local_address(node: Node, backend: NftablesBackend) -> None:
    web = await node.web("hello")
    await backend.apply(rules(service(web, node_port=31998)))
    for address in ("127.0.0.1", "10.182.0.1"):
        assert await fetch(address, 31998) == "hello"
    code, output = await node.execute(web, "wget -q -O - http://10.182.0.1:31998/")
    assert (code, output) == (0, "hello")


async def test_local_external_policy_without_a_local_endpoint_drops(node: Node, backend: NftablesBackend) -> None:
    web = await node.web("hello")
    local_only = service(web, node_port=31997, external_local_only=True)
    await backend.apply(rules(local_only))
    assert await fetch("127.0.0.1", 31997) == "hello"


async def test_affinity_survives_a_change_elsewhere(node: Node, backend: NftablesBackend) -> None:
    pods = [await node.web(name) for name in ("a", "b", "c")]
    sticky = service(*pods, affinity_seconds=600)
    await backend.apply(rules(sticky))
    _, first = await node.execute(pods[0], GET)
    other = ServicePort("default", "other", "", "tcp", 80, ("10.183.0.21",), endpoints=sticky.endpoints)
    await backend.apply(rules(sticky, other))
    _, output = await node.execute(pods[0], f"for i in $(seq 20); do {GET}; echo; done")
    assert set(output.split()) == {first}


async def ask(client: socket.socket, server: socket.socket, name: str) -> str:
    """Send from the client to the Service; what came back from the one server that listens."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendto(client, b"ping", (SERVICE_IP, 80))
    async with asyncio.timeout(5):
        data, sender = await loop.sock_recvfrom(server, 100)
        await loop.sock_sendto(server, data + b" " + name.encode(), sender)
        answer, asked = await loop.sock_recvfrom(client, 100)
    assert asked == (SERVICE_IP, 80)
    return answer.decode()


async def test_udp_follows_its_endpoint(node: Node, backend: NftablesBackend) -> None:
    first, second, client = [await node.run("exec sleep 1000") for _ in range(3)]
    one, two, asker = [await node.udp_socket(pod, port) for pod, port in ((first, 80), (second, 80), (client, 5353))]
    with one, two, asker:
        await backend.apply(rules(service(first, protocol="udp")))
        assert await ask(asker, one, "one") == "ping one"
        # The same client port again: unless the flow is forgotten, the kernel goes on sending to the first pod.
        await backend.apply(rules(service(second, protocol="udp")))
        assert await ask(asker, two, "two") == "ping two"


async def test_host_port(node: Node, backend: NftablesBackend) -> None:
    web = await node.web("hello")
    everywhere = HostPort(web.ref.uid, "tcp", 31996, web.ip, 80)
    one_address = HostPort(web.ref.uid, "tcp", 31995, web.ip, 80, host_ip="127.0.0.1")
    await backend.apply(rules(host_ports=(everywhere, one_address)))
    assert await fetch("10.182.0.1", 31996) == "hello"
    assert await fetch("127.0.0.1", 31995) == "hello"
    with pytest.raises(ConnectionRefusedError):
        await fetch("10.182.0.1", 31995)


async def test_rules_come_back_after_somebody_flushed_them(node: Node, backend: NftablesBackend) -> None:
    web = await node.web("hello")
    await backend.apply(rules(service(web)))
    await run_tool(["nft", "delete", "table", "ip", table_name(node.owner.cluster_id, node.owner.node_name)])
    await backend.apply(rules(service(web, node_port=31994)))
    assert await fetch(SERVICE_IP) == "hello"
    assert await fetch("127.0.0.1", 31994) == "hello"
