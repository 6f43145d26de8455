"""Opens TCP connections from the node to its pods: by address, or through the runtime where those are not routed."""

import asyncio
import ipaddress
import socket
import ssl

from minikube_py.client.node_connection import ByteStream
from minikube_py.kubelet.runtimes.protocol import ContainerRuntime
from minikube_py.kubelet.services import StartedPod

_CHUNK = 65536


class Refused(OSError):
    """The target is one that a pod's author may not make the node connect to."""


class PodDialer:
    """is_routed: whether pod addresses can be reached from this process."""

    def __init__(self, runtime: ContainerRuntime, *, is_routed: bool) -> None:
        self._runtime = runtime
        self._is_routed = is_routed

    async def open(
        self, started: StartedPod, host: str, port: int, *, tls: ssl.SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the pod, or to `host` where the probe names one. Raises OSError."""
        if host and host not in started.ips:
            _refuse_local(started, host)
            return await asyncio.open_connection(host, port, ssl=tls)
        if not started.ips:
            raise OSError("the pod has no address")
        if self._is_routed or started.pod["spec"].get("hostNetwork"):
            return await asyncio.open_connection(started.ips[0], port, ssl=tls)
        stream = await self._runtime.dial(started.sandbox, port, started.ips[0])
        near, far = socket.socketpair()
        task = asyncio.get_running_loop().create_task(_pump(stream, far))
        reader, writer = await asyncio.open_connection(sock=near, ssl=tls, server_hostname="" if tls else None)
        writer.transport.pump = task  # type: ignore[attr-defined]  # keeps the task alive as long as the connection
        return reader, writer


def _refuse_local(started: StartedPod, host: str) -> None:
    """A pod on the host network reaches the node's loopback anyway; any other pod must not through its probes."""
    if started.pod["spec"].get("hostNetwork"):
        return
    if host == "localhost":
        raise Refused(f"{host} is not allowed as the target of a probe")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return
    if address.is_loopback or address.is_link_local or address.is_unspecified:
        raise Refused(f"{host} is not allowed as the target of a probe")


async def _pump(stream: ByteStream, side: socket.socket) -> None:
    """Carry bytes between a forwarded stream and one end of a socket pair until either ends."""
    reader, writer = await asyncio.open_connection(sock=side)

    async def outwards() -> None:
        while data := await reader.read(_CHUNK):
            await stream.send(data)

    async def inwards() -> None:
        while data := await stream.receive():
            writer.write(data)
            await writer.drain()

    tasks = [asyncio.ensure_future(outwards()), asyncio.ensure_future(inwards())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.close()
        await stream.close()
