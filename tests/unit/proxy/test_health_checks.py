"""Health check node ports: what is counted, what is answered, and which ports are open."""

import asyncio
import json

from minikube_py.objects.errors import Object
from minikube_py.proxy.health_checks import HealthCheck, HealthCheckPorts
from minikube_py.proxy.rules import NodeView, build_rules, health_checks
from tests.support.dns_sources import endpoint, endpoint_slice, service

NODE = NodeView("here", "10.42.0.0/16", "10.42.0.0/24", health_address="10.42.0.1")


def balanced(**spec: object) -> Object:
    return service(
        "web",
        clusterIP="10.43.0.20",
        clusterIPs=["10.43.0.20"],
        type="LoadBalancer",
        externalTrafficPolicy="Local",
        healthCheckNodePort=31000,
        **spec,
    )


def test_ready_endpoints_on_this_node_count_once() -> None:
    pieces = [
        endpoint_slice("web", endpoint("10.42.0.5", nodeName="here"), endpoint("10.42.1.6", nodeName="there")),
        endpoint_slice("web", endpoint("10.42.0.5", nodeName="here")),
    ]
    rules = build_rules([balanced()], pieces, [], NODE)
    assert health_checks([balanced()], rules) == {31000: HealthCheck("default", "web", 1)}
    leaving = endpoint("10.42.0.5", ready=False, serving=True, terminating=True, nodeName="here")
    rules = build_rules([balanced()], [endpoint_slice("web", leaving)], [], NODE)
    assert health_checks([balanced()], rules) == {31000: HealthCheck("default", "web", 0)}


def test_the_port_is_open_on_every_address_of_the_node() -> None:
    (port,) = [one for one in build_rules([balanced()], [], [], NODE).services if one.port_name == "health-check"]
    assert (port.node_port, [one.ip for one in port.endpoints]) == (31000, ["10.42.0.1"])


async def ask(port: int) -> tuple[int, Object]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(head.split()[1]), json.loads(body)


async def free_port() -> int:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def test_answers_follow_the_endpoints_and_ports_close_again() -> None:
    ports, number = HealthCheckPorts("127.0.0.1"), await free_port()
    await ports.apply({number: HealthCheck("default", "web", 2)})
    told = {"service": {"namespace": "default", "name": "web"}, "localEndpoints": 2, "serviceProxyHealthy": True}
    assert await ask(number) == (200, told)
    await ports.apply({number: HealthCheck("default", "web", 0)})
    assert (await ask(number))[0] == 503
    await ports.apply({})
    try:
        await ask(number)
    except ConnectionRefusedError:
        pass
    else:
        raise AssertionError("the port is still open")
    ports.close()
