"""Holds one running server's parts while they are put together."""

import asyncio
import ssl
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minikube_py.api import Api
from minikube_py.bootstrap.cluster_files import ClusterFiles
from minikube_py.bootstrap.pki import Pki
from minikube_py.client.connected_nodes import ConnectedNodes
from minikube_py.config import ServerConfig
from minikube_py.resources.registry import KindRegistry

if TYPE_CHECKING:  # it comes with the scheduler, which is loaded when the API is up
    from minikube_py.scheduler.configuration.settings import SchedulerConfiguration


@dataclass(frozen=True)
class ApiParts:
    """The API server that everything else works through, and what it was made from."""

    api: Api
    pki: Pki
    registry: KindRegistry
    cluster_id: str


NODES_CONNECT_SECONDS = 15.0
"""How long after a start a request for a node that has not connected yet waits for it."""


class Server:
    """What `run_server` works on."""

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self.files = ClusterFiles(config.data_dir)
        self.nodes = ConnectedNodes(NODES_CONNECT_SECONDS)
        self.stack = AsyncExitStack()
        self.port = config.https_listen_port
        self.is_ready = False
        self.shares_store = False
        self.ssl_context: ssl.SSLContext | None = None
        self.scheduling: SchedulerConfiguration | None = None

    @property
    def url(self) -> str:
        address = "127.0.0.1" if self.config.bind_address in ("0.0.0.0", "::") else self.config.bind_address
        return f"https://[{address}]:{self.port}" if ":" in address else f"https://{address}:{self.port}"


def start(group: asyncio.TaskGroup, part: Coroutine[Any, Any, None], name: str) -> None:
    """Run a part that lives as long as the process: when it ends by itself, so does everything."""

    async def run() -> None:
        await part
        raise RuntimeError(f"the {name} has ended unexpectedly")

    group.create_task(run(), name=name)
