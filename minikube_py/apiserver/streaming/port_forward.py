"""Forwards ports for a client: SPDY stream pairs, directly or inside a WebSocket, and the older WebSocket channels."""

import asyncio
import struct
from collections.abc import Awaitable, Callable

from minikube_py.apiserver.call import Exchange, MessageChannel
from minikube_py.apiserver.streaming.channels import BASE64, BINARY, ChannelSocket
from minikube_py.apiserver.streaming.remote_command import SPDY, spdy_protocol
from minikube_py.apiserver.streaming.spdy import SpdyConnection, SpdyStream
from minikube_py.client.node_connection import ByteStream
from minikube_py.objects.errors import ApiError, BadRequest

PROTOCOL = "portforward.k8s.io"
TUNNEL = f"{SPDY}+{PROTOCOL}"
_MAX_PORTS = 64
_DRAIN_SECONDS = 5.0

Dial = Callable[[int], Awaitable[ByteStream]]


async def serve_port_forward(exchange: Exchange, dial: Dial) -> None:
    """Takes the connection over until the client goes. `dial` connects to a port of the pod."""
    upgrade = exchange.headers.get("Upgrade", "").lower()
    if upgrade == "websocket":
        ports = _ports(exchange)
        socket = await exchange.websocket((TUNNEL, *BINARY, *BASE64))
        if socket.protocol == TUNNEL:
            await _serve_spdy(SpdyConnection(_Tunnel(socket)), dial)
        else:
            await _serve_channels(ChannelSocket(socket), ports, dial)
    elif upgrade == SPDY.lower():
        if not spdy_protocol(exchange, (PROTOCOL,)):
            raise BadRequest("no supported protocol was asked for in X-Stream-Protocol-Version")
        channel = await exchange.upgrade(SPDY, {"X-Stream-Protocol-Version": PROTOCOL})
        await _serve_spdy(SpdyConnection(channel), dial)
    else:
        raise BadRequest("Upgrade request required")


def _ports(exchange: Exchange) -> list[int]:
    """The `ports` of the query; only the channel protocols need them."""
    texts = [text for value in exchange.query_values("ports") for text in value.split(",") if text]
    try:
        ports = [int(text) for text in texts]
    except ValueError:
        raise BadRequest(f"unable to parse {texts} as a port") from None
    if len(ports) > _MAX_PORTS or any(not 0 < port < 65536 for port in ports):
        raise BadRequest("ports must be between 1 and 65535")
    return ports


class _Tunnel:
    """A WebSocket's binary messages as one stream of bytes."""

    def __init__(self, socket: MessageChannel) -> None:
        self._socket = socket

    async def receive(self) -> bytes:
        while (message := await self._socket.receive()) is not None:
            if message:
                return message.encode() if isinstance(message, str) else message
        return b""

    async def send(self, data: bytes) -> None:
        await self._socket.send(data)

    async def close(self) -> None:
        await self._socket.close()


# --- SPDY ------------------------------------------------------------------------------------------------------------


async def _serve_spdy(connection: SpdyConnection, dial: Dial) -> None:
    """Each forwarded connection is a pair of streams, error and data, with the same request id."""
    reader = asyncio.ensure_future(connection.run())
    errors: dict[str, SpdyStream] = {}
    forwards: set[asyncio.Task[None]] = set()
    try:
        while (stream := await connection.accept()) is not None:
            request_id = stream.headers.get("requestid", "") or str(stream.number)
            if stream.type == "error":
                errors[request_id] = stream
            elif stream.type == "data" and request_id in errors:
                task = asyncio.ensure_future(_forward(connection, stream, errors.pop(request_id), dial))
                forwards.add(task)
                task.add_done_callback(forwards.discard)
            else:
                await stream.reset()
    except ConnectionError:
        return
    finally:
        for task in (*forwards, reader):
            task.cancel()
        await asyncio.gather(*forwards, reader, return_exceptions=True)
        await connection.close()


async def _forward(connection: SpdyConnection, data: SpdyStream, errors: SpdyStream, dial: Dial) -> None:
    """One connection into the pod. What goes wrong is text on the error stream."""
    try:
        port = int(data.headers.get("port", "0"))
        target = await dial(port)
    except (ApiError, OSError, ValueError) as error:
        await errors.send(f"error forwarding port {data.headers.get('port')}: {error}".encode())
        await errors.close()
        await data.close()
        return
    try:
        await _pump(data, target)
        await errors.close()
        await data.close()
    except (ConnectionError, OSError) as error:
        await errors.send(f"error forwarding port {port}: {error}".encode())
        await errors.close()
        await data.reset()
    finally:
        await target.close()
        connection.forget(data)
        connection.forget(errors)


async def _pump(client: SpdyStream, target: ByteStream) -> None:
    """Bytes both ways until the target has ended its side; when the client ends first, the rest may still come."""

    async def upstream() -> None:
        while chunk := await client.receive():
            await target.send(chunk)

    async def downstream() -> None:
        while chunk := await target.receive():
            await client.send(chunk)

    up, down = asyncio.ensure_future(upstream()), asyncio.ensure_future(downstream())
    try:
        await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        if up.done() and not down.done():
            await asyncio.wait((down,), timeout=_DRAIN_SECONDS)
        for task in (up, down):
            if task.done():
                await task
    finally:
        for task in (up, down):
            task.cancel()
        await asyncio.gather(up, down, return_exceptions=True)


# --- channels --------------------------------------------------------------------------------------------------------


async def _serve_channels(socket: ChannelSocket, ports: list[int], dial: Dial) -> None:
    """Port number i has data channel 2i and error channel 2i+1; each begins with the port as two bytes."""
    targets: dict[int, ByteStream] = {}
    pumps: list[asyncio.Task[None]] = []
    for index, port in enumerate(ports):
        for channel in (2 * index, 2 * index + 1):
            await socket.send(channel, struct.pack("<H", port))
        try:
            targets[2 * index] = await dial(port)
        except (ApiError, OSError) as error:
            await socket.send(2 * index + 1, f"error forwarding port {port}: {error}".encode())
            continue
        pumps.append(asyncio.ensure_future(_pump_channel(socket, 2 * index, targets[2 * index])))
    try:
        while (message := await socket.receive()) is not None:
            target = targets.get(message.channel)
            if target is not None and message.data:
                await target.send(message.data)
    except ConnectionError:
        return
    finally:
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        for target in targets.values():
            await target.close()
        await socket.close()


async def _pump_channel(socket: ChannelSocket, channel: int, target: ByteStream) -> None:
    while chunk := await target.receive():
        await socket.send(channel, chunk)
    await socket.close()
