"""The channel protocols of remote commands: several byte streams as numbered messages over one WebSocket.

Source: the Kubernetes remotecommand constants and KEP-4006 (v5 and its close signal).
"""

import base64
from dataclasses import dataclass

from minikube_py.apiserver.call import MessageChannel
from minikube_py.objects.errors import BadRequest

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
BINARY = ("v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
BASE64 = ("v4.base64.channel.k8s.io", "v3.base64.channel.k8s.io", "base64.channel.k8s.io")


@dataclass(frozen=True)
class Message:
    """One message of a channel. The close signal of v5 names the channel that ends and has no data."""

    channel: int
    data: bytes
    is_end: bool = False


class ChannelSocket:
    """Numbered messages over a WebSocket, in the form that its subprotocol asks for."""

    def __init__(self, socket: MessageChannel) -> None:
        self._socket = socket
        self._is_base64 = "base64" in socket.protocol
        self.version = _version(socket.protocol)

    async def receive(self) -> Message | None:
        """The next message; None once the client has gone."""
        while (raw := await self._socket.receive()) is not None:
            if not raw:
                continue
            if self._is_base64:
                text = raw if isinstance(raw, str) else raw.decode()
                try:
                    return Message(int(text[0]), base64.b64decode(text[1:]))
                except ValueError:
                    raise BadRequest("a message is not valid base64") from None
            data = raw.encode() if isinstance(raw, str) else raw
            if data[0] == CLOSE and self.version >= 5 and len(data) > 1:
                return Message(data[1], b"", is_end=True)
            return Message(data[0], data[1:])
        return None

    async def send(self, channel: int, data: bytes) -> None:
        if self._is_base64:
            await self._socket.send(f"{channel}" + base64.b64encode(data).decode())
        else:
            await self._socket.send(bytes((channel,)) + data)

    async def close(self) -> None:
        await self._socket.close()


def _version(protocol: str) -> int:
    return int(protocol[1]) if protocol[:1] == "v" and protocol[1:2].isdigit() else 1
