"""What the API server asks of a node: logs, exec, attach, port-forward and stats, in process or through a tunnel."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable


class Chunk(NamedTuple):
    """Bytes from a container. channel 1 is stdout, 2 is stderr (the remote-command channel numbers)."""

    channel: int
    data: bytes


@dataclass(frozen=True)
class ExecResult:
    """How a command ended. error is '' unless it could not be run or watched to its end."""

    exit_code: int
    error: str = ""


@dataclass(frozen=True)
class ContainerAddress:
    """Which container of which pod. container is never '': the API server fills in the default."""

    namespace: str
    pod: str
    pod_uid: str
    container: str


@dataclass(frozen=True)
class StreamRequest:
    """exec (command not empty) or attach (command empty)."""

    target: ContainerAddress
    command: tuple[str, ...] = ()
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False


@dataclass(frozen=True)
class LogRequest:
    """PodLogOptions. since_time is RFC 3339; None means the option was not given."""

    target: ContainerAddress
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    since_seconds: int | None = None
    since_time: str | None = None
    tail_lines: int | None = None
    limit_bytes: int | None = None
    stream: str = "All"


class StreamSession(Protocol):
    """A running exec or attach."""

    async def receive(self) -> Chunk | None:
        """The next output, or None once the output has ended."""
        ...

    async def send(self, data: bytes) -> None: ...

    async def close_stdin(self) -> None: ...

    async def resize(self, width: int, height: int) -> None: ...

    async def result(self) -> ExecResult:
        """Waits for the end; an attach ends with exit code 0."""
        ...

    async def close(self) -> None: ...


class ByteStream(Protocol):
    """One forwarded TCP connection into a pod."""

    async def receive(self) -> bytes:
        """b'' at the end of the stream."""
        ...

    async def send(self, data: bytes) -> None: ...

    async def close(self) -> None: ...


class NodeConnection(Protocol):
    """One node's own API. Calls raise objects.errors.ApiError subclasses (NotFound, BadRequest, InternalError)."""

    def logs(self, request: LogRequest) -> AsyncIterator[bytes]:
        """Log text in chunks; ends when the container's log does (or never, with follow)."""
        ...

    async def open_stream(self, request: StreamRequest) -> StreamSession: ...

    async def dial(self, pod_uid: str, port: int) -> ByteStream:
        """A TCP connection to 127.0.0.1:port in the pod's network namespace."""
        ...

    async def stats(self) -> dict[str, Any]:
        """The node's stats summary (kubelet /stats/summary form)."""
        ...

    async def remove_volume(self, handle: str) -> None:
        """Delete the data of a local volume of this node; one that is not there is fine."""
        ...

    async def page(self, path: str) -> str:
        """One of the kubelet's pages of metrics, in Prometheus' text form."""
        ...


class NodeConnections(Protocol):
    """Finds the connection to a node by its name."""

    def find(self, node_name: str) -> NodeConnection | None: ...


@runtime_checkable
class ExpectedConnections(Protocol):
    """Connections of which some are still about to be made."""

    async def expect(self, node_name: str) -> NodeConnection | None:
        """The connection, once it is there; None for a node that is not about to connect."""
        ...


async def reach(nodes: NodeConnections, node_name: str) -> NodeConnection | None:
    """The connection to a node, also to one that is just connecting: a server answers before its nodes are back."""
    found = nodes.find(node_name)
    return await nodes.expect(node_name) if found is None and isinstance(nodes, ExpectedConnections) else found
