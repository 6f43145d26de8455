"""Serves what agents need beyond the Kubernetes API: the cluster's settings, and the tunnel that a node dials."""

import logging

import orjson

from minikube_py.apiserver.call import MessageChannel
from minikube_py.apiserver.messages import HttpRequest, Reply
from minikube_py.apiserver.pipeline import PathHandler
from minikube_py.client.connected_nodes import ConnectedNodes
from minikube_py.client.tunnel import Tunnel
from minikube_py.client.tunnel_calls import TunnelNode
from minikube_py.objects.errors import Forbidden, Object

log = logging.getLogger(__name__)

CLUSTER_PATH = "/mkube/v1/cluster"
TUNNEL_PATH = "/mkube/v1/tunnel"
_NODE_USER = "system:node:"


def node_paths(nodes: ConnectedNodes, settings: Object) -> dict[str, PathHandler]:
    """Handlers by path, for Paths.add. RBAC decides who may use them; the tunnel also needs a node's own identity."""

    async def cluster(_request: HttpRequest) -> Reply:
        return Reply(orjson.dumps(settings))

    async def tunnel(request: HttpRequest) -> Reply:
        if not request.user.name.startswith(_NODE_USER) or "system:nodes" not in request.user.groups:
            raise Forbidden("only a node may open a node's tunnel", details={})
        node_name = request.user.name.removeprefix(_NODE_USER)
        channel = await request.exchange.websocket(())
        end = Tunnel(_BinaryMessages(channel))
        with nodes.connected(node_name, TunnelNode(end)):
            log.info("node %s has connected", node_name)
            try:
                await end.run()
            finally:
                await channel.close()
        log.info("node %s has disconnected", node_name)
        return Reply()

    return {CLUSTER_PATH: cluster, TUNNEL_PATH: tunnel}


class _BinaryMessages:
    """A WebSocket as client.tunnel.MessageChannel: text has no place in it and ends the connection."""

    def __init__(self, channel: MessageChannel) -> None:
        self._channel = channel

    async def send(self, message: bytes) -> None:
        await self._channel.send(message)

    async def receive(self) -> bytes | None:
        message = await self._channel.receive()
        return message if isinstance(message, bytes) else None
