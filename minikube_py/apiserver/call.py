"""One API call on its way through the server: who asks for what, with which body, and what came of it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from minikube_py.apiserver.request_info import RequestInfo, UserInfo
from minikube_py.objects.errors import BadRequest, Object
from minikube_py.resources.kind import ResourceKind

if TYPE_CHECKING:
    from minikube_py.apiserver.context import ServerContext

JSON = "application/json"


class Body(Protocol):
    """A request body. media_type is its Content-Type without parameters."""

    media_type: str

    def tree(self) -> Any:
        """The decoded body, the caller's own. Raises BadRequest; None when there is no body."""
        ...

    def duplicates(self) -> list[str]:
        """The paths of fields that stand twice in the text (of YAML: whole sentences with the lines)."""
        ...

    def complaints(self, unknown: Sequence[str]) -> list[str]:
        """A sentence for each duplicate field, and for each of the unknown ones, in the order of the text."""
        ...


class TreeBody:
    """A body that was never text: what the in-process client hands in."""

    def __init__(self, tree: Any, media_type: str = JSON) -> None:
        self._tree = tree
        self.media_type = media_type

    def tree(self) -> Any:
        return self._tree

    def duplicates(self) -> list[str]:
        return []

    def complaints(self, unknown: Sequence[str]) -> list[str]:
        return [f'unknown field "{path}"' for path in unknown]


NO_BODY = TreeBody(None)


class ByteChannel(Protocol):
    """What is left of an HTTP connection after 101 Switching Protocols."""

    async def receive(self) -> bytes:
        """b'' at the end."""
        ...

    async def send(self, data: bytes) -> None: ...

    async def close(self) -> None: ...


class MessageChannel(Protocol):
    """A WebSocket: whole messages. `protocol` is the subprotocol that was chosen."""

    protocol: str

    async def receive(self) -> bytes | str | None:
        """None once the other side has closed."""
        ...

    async def send(self, message: bytes | str) -> None: ...

    async def close(self, code: int = 1000) -> None: ...


class Exchange(Protocol):
    """The HTTP side of a call, for subresources that take the connection over or pass it on."""

    method: str
    raw_query: str

    @property
    def headers(self) -> Mapping[str, str]:
        """Names are looked up whatever their case."""
        ...

    async def websocket(self, protocols: tuple[str, ...]) -> MessageChannel:
        """Accept a WebSocket with the first of the client's subprotocols that is in `protocols`."""
        ...

    async def upgrade(self, protocol: str, headers: Mapping[str, str]) -> ByteChannel:
        """Answer 101 and hand over the raw connection."""
        ...

    async def start(self, code: int, headers: Mapping[str, str]) -> "ResponseStream":
        """Begin a response of unknown length."""
        ...

    def peer_address(self) -> str:
        """The other end's IP address; '' where there is none."""
        ...

    async def read_body(self) -> bytes:
        """The whole body. Raises RequestTooLarge."""
        ...

    def body_chunks(self) -> AsyncIterator[bytes]: ...

    def header_values(self, name: str) -> list[str]:
        """Every value of a header that may repeat."""
        ...

    def query_values(self, name: str) -> list[str]:
        """Every value of a query parameter that may repeat."""
        ...


class ResponseStream(Protocol):
    async def write(self, data: bytes) -> None: ...

    async def finish(self) -> None: ...


@dataclass
class ApiCall:
    """A call past authorization. `manager` is the field manager when the query names none.

    audit_annotations are what the parts on the way have to say in the audit log. size: the bytes of the body, or of
    the stored object that it changes, whichever is more. leftovers: trees to free when the request is over.
    is_answer_shared: whoever gets the answer only reads it.
    """

    context: "ServerContext"
    info: RequestInfo
    kind: ResourceKind
    user: UserInfo
    query: Mapping[str, str] = field(default_factory=dict)
    body: Body = NO_BODY
    manager: str = ""
    warnings: list[str] = field(default_factory=list)
    exchange: Exchange | None = None
    audit_annotations: dict[str, str] = field(default_factory=dict)
    size: int = 0
    leftovers: list[Any] = field(default_factory=list)
    is_answer_shared: bool = False

    @property
    def dry_run(self) -> bool:
        value = self.query.get("dryRun")
        if value in (None, ""):
            return False
        if value != "All":
            raise BadRequest(f'invalid dryRun option: Unsupported value: "{value}": supported values: "All"')
        return True

    @property
    def field_manager(self) -> str:
        return self.query.get("fieldManager") or self.manager

    @property
    def http(self) -> Exchange:
        if self.exchange is None:
            raise BadRequest("this call needs an HTTP connection")
        return self.exchange


@dataclass(frozen=True)
class Answer:
    """What a handler gives back: an object, and its JSON text where that exists already.

    kind is None for objects that are no resources (Status). items: the answer is a list of that kind instead.
    """

    obj: Object | None = None
    data: bytes = b""
    code: int = 200
    kind: ResourceKind | None = None
    items: Sequence[Object] | None = None


Handler: TypeAlias = Callable[[ApiCall], Awaitable[Answer | None]]
"""A subresource's handler. None: it has answered through the exchange itself."""
