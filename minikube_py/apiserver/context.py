"""Holds what every request handler needs: kinds, store, parsed records, authorizer, admission, nodes."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

from minikube_py.apiserver.admission.protocol import AdmissionPlugin
from minikube_py.apiserver.authz.protocol import Authorizer
from minikube_py.apiserver.conversion_webhooks import ConversionWebhooks
from minikube_py.apiserver.frames import Frames
from minikube_py.apiserver.kept_messages import KeptMessages
from minikube_py.apiserver.long_work import Turns
from minikube_py.apiserver.records import Records, StoreReader
from minikube_py.apiserver.request_counts import RequestCounts
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.client.node_connection import NodeConnection, NodeConnections
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import ResourceKind
from minikube_py.resources.registry import KindRegistry
from minikube_py.store.protocol import Store

if TYPE_CHECKING:
    from minikube_py.apiserver.pages import PageSnapshots
    from minikube_py.apiserver.watches import Watch


class Allocation(Protocol):
    """Values taken for one write: kept once it is stored, given back when it fails or was a dry run."""

    def commit(self) -> None: ...

    def revert(self) -> None: ...


class Allocator(Protocol):
    """Gives out values that must be unique in the cluster, such as cluster IPs."""

    def before_create(self, obj: Object) -> Allocation: ...

    def before_update(self, new: Object, old: Object) -> Allocation: ...

    def after_delete(self, obj: Object) -> None: ...


class TokenSource(Protocol):
    """Answers TokenRequests: `create serviceaccounts/NAME/token`."""

    def default(self, request: Object, namespace: str, name: str) -> None: ...

    def answer(self, request: Object, namespace: str, name: str) -> Object: ...


Review = Callable[[Object, UserInfo, str], Awaitable[Object]]
"""(body, user, namespace) -> the body with its status."""


class NoNodes:
    """NodeConnections of a server without nodes."""

    def find(self, node_name: str) -> NodeConnection | None:
        return None


@dataclass
class ServerContext:
    """One server's parts. `authorizer` None allows everything (tests of other parts only)."""

    registry: KindRegistry
    store: Store
    records: Records
    reader: StoreReader
    snapshots: "PageSnapshots"
    messages: KeptMessages
    frames: Frames = field(default_factory=Frames)
    custom_watches: "WeakSet[Watch]" = field(default_factory=WeakSet)
    turns: Turns = field(default_factory=Turns)
    authorizer: Authorizer | None = None
    admission: Sequence[AdmissionPlugin] = ()
    nodes: NodeConnections = field(default_factory=NoNodes)
    token_source: TokenSource | None = None
    reviews: Mapping[tuple[str, str], Review] = field(default_factory=dict)
    allocators: Mapping[tuple[str, str], Allocator] = field(default_factory=dict)
    counts: RequestCounts = field(init=False)
    conversions: ConversionWebhooks = field(init=False)

    def __post_init__(self) -> None:
        self.conversions = ConversionWebhooks(self.records)
        self.counts = RequestCounts(self.registry.find)

    def storage_kind(self, kind: ResourceKind) -> ResourceKind:
        """The kind whose rules know the stored form (the kind itself when its stored version isn't served)."""
        if kind.storage_gvk == kind.gvk:
            return kind
        return self.registry.find_kind(kind.storage_gvk) or kind
