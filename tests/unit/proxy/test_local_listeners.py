"""Ports of LoadBalancer Services on the machine itself: which are opened, where they lead, what when one is taken."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from minikube_py.client.node_connection import ByteStream
from minikube_py.client.protocol import WriteOptions
from minikube_py.objects.errors import NotFound, Object
from minikube_py.proxy.local_listeners import PORTS_ANNOTATION, LocalListeners, Place, ready_targets, wanted_places
from minikube_py.reconciling.informer import InformerSet
from minikube_py.resources.kind import GVR
from tests.support.cluster import Cluster, test_cluster
from tests.support.dns_sources import endpoint, endpoint_slice

SERVICES = GVR("", "v1", "services")
SLICES = GVR("discovery.k8s.io", "v1", "endpointslices")
EVENTS = GVR("", "v1", "events")


def service(port: int = 80, address: str = "10.44.0.1", **spec: Any) -> Object:
    status = {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}} if address else {}
    ports = [{"name": "http", "port": port, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    metadata = {"name": "web", "namespace": "default"}
    return {"metadata": metadata, "spec": {"type": "LoadBalancer", "ports": ports, **spec}, "status": status}


def pod_endpoint(uid: str, ready: bool = True) -> Object:
    target = {"kind": "Pod", "name": uid, "namespace": "default", "uid": uid}
    return endpoint("10.42.0.5", ready=ready, nodeName="here", targetRef=target)


@pytest.mark.parametrize(
    ("one", "ports"),
    [
        (service(), [80]),
        (service(address=""), []),
        (service(type="NodePort"), []),
        (service(loadBalancerClass="example.com/x"), []),
        (service(loadBalancerSourceRanges=["192.0.2.0/24"]), []),
        (service(loadBalancerSourceRanges=["192.0.2.0/24", "127.0.0.0/8"]), [80]),
    ],
)
def test_tcp_ports_of_services_with_an_address_are_wanted(one: Object, ports: list[int]) -> None:
    assert [place.port for place, _ in wanted_places([one], "127.0.0.1")] == ports


def test_only_ready_pods_are_targets() -> None:
    pieces = [endpoint_slice("web", pod_endpoint("a"), pod_endpoint("b", ready=False), endpoint("192.0.2.1"))]
    place = Place("default", "web", 80, "http")
    assert ready_targets(pieces, place) == [("here", "a", 8080)]


class Greeter:
    """A pod that says its name and then repeats what it hears."""

    def __init__(self, uid: str) -> None:
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self._chunks.put_nowait(f"{uid}:".encode())

    async def receive(self) -> bytes:
        return await self._chunks.get()

    async def send(self, data: bytes) -> None:
        self._chunks.put_nowait(data)
        if data.endswith(b"\n"):
            self._chunks.put_nowait(b"")

    async def close(self) -> None:
        return None


class OneNode:
    """NodeConnections and NodeConnection in one, with some pods that don't answer."""

    def __init__(self, *deaf: str) -> None:
        self._deaf = deaf

    def find(self, node_name: str) -> Any:
        return self if node_name == "here" else None

    async def dial(self, pod_uid: str, port: int) -> ByteStream:
        if pod_uid in self._deaf:
            raise NotFound(f"pod {pod_uid} is gone")
        return Greeter(pod_uid)


@asynccontextmanager
async def listening(cluster: Cluster, *deaf: str) -> AsyncIterator[LocalListeners]:
    informers = InformerSet(cluster.client())
    listeners = LocalListeners(cluster.client(), informers, OneNode(*deaf), "127.0.0.1")
    tasks = [asyncio.create_task(informers.run()), asyncio.create_task(listeners.run())]
    try:
        yield listeners
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def make(cluster: Cluster, one: Object, *endpoints: Object) -> None:
    client = cluster.client()
    made = await client.create(SERVICES, one, "default")
    made["status"] = one["status"]
    await client.update(SERVICES, made, options=WriteOptions(subresource="status"))
    piece = endpoint_slice("web", *endpoints)
    piece["addressType"] = "IPv4"
    await client.create(SLICES, piece, "default")


async def until(ask: Callable[[], Awaitable[Any]]) -> Any:
    """The first true answer."""
    for _ in range(500):
        if answer := await ask():
            return answer
        await asyncio.sleep(0.01)
    raise AssertionError("not within 5 s")


async def opened(listeners: LocalListeners, port: int) -> int:
    async def given() -> int:
        return listeners.port_of(Place("default", "web", port, "http"))

    found: int = await until(given)
    return found


async def talk(port: int, text: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text.encode())
    answer = await reader.read()
    writer.close()
    return answer.decode()


async def free_port() -> int:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def test_a_connection_reaches_a_pod_that_answers() -> None:
    port = await free_port()
    async with test_cluster() as cluster, listening(cluster, "deaf") as listeners:
        await make(cluster, service(port), pod_endpoint("deaf"), pod_endpoint("alive"))
        assert await opened(listeners, port) == port
        for _ in range(5):
            assert await talk(port, "hello\n") == "alive:hello\n"


async def test_without_a_pod_the_client_is_told_at_once() -> None:
    port = await free_port()
    async with test_cluster() as cluster, listening(cluster) as listeners:
        await make(cluster, service(port), pod_endpoint("a", ready=False))
        await opened(listeners, port)
        assert await talk(port, "") == ""


async def test_a_port_goes_with_its_service() -> None:
    port = await free_port()
    async with test_cluster() as cluster, listening(cluster) as listeners:
        await make(cluster, service(port), pod_endpoint("a"))
        await opened(listeners, port)
        await cluster.client().delete(SERVICES, "web", "default")

        async def is_closed() -> bool:
            return not listeners.port_of(Place("default", "web", port, "http"))

        await until(is_closed)
        with pytest.raises(ConnectionRefusedError):
            await talk(port, "hello\n")


async def test_a_taken_port_is_replaced_and_said_so() -> None:
    async with test_cluster() as cluster:
        other = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        port = other.sockets[0].getsockname()[1]
        async with listening(cluster) as listeners:
            await make(cluster, service(port), pod_endpoint("a"))
            given = await opened(listeners, port)
            assert given != port
            assert await talk(given, "hello\n") == "a:hello\n"
            noted: Object = {}
            async with asyncio.timeout(5):
                while PORTS_ANNOTATION not in noted:
                    noted = (await cluster.client().get(SERVICES, "web", "default"))["metadata"].get(
                        "annotations"
                    ) or {}
                    await asyncio.sleep(0.01)
            assert noted[PORTS_ANNOTATION] == f"{port}={given}"
        async with listening(cluster) as listeners:
            assert await opened(listeners, port) == given
        found = (await cluster.client().list(EVENTS)).items
        (event,) = {e["reason"]: e for e in found}.values()
        assert event["reason"] == "LocalPortTaken"
        assert "address already in use" in event["message"]
        other.close()
