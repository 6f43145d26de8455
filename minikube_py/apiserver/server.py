"""The API server as one object: what it is made of, and the clients and listeners it hands out."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from minikube_py.apiserver.admission.protocol import AdmissionPlugin
from minikube_py.apiserver.authz.protocol import Authorizer
from minikube_py.apiserver.context import NoNodes, ServerContext
from minikube_py.apiserver.local_client import LocalClient
from minikube_py.apiserver.pages import PageSnapshots
from minikube_py.apiserver.records import Records, StoreReader
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.client.node_connection import NodeConnections
from minikube_py.resources.registry import KindRegistry
from minikube_py.store.protocol import Store


@dataclass(frozen=True)
class ApiServerOptions:
    """What a server is built from. authorizer None allows everything: for tests of other parts only."""

    registry: KindRegistry
    store: Store
    authorizer: Authorizer | None = None
    admission: Sequence[AdmissionPlugin] = ()
    nodes: NodeConnections = field(default_factory=NoNodes)


class ApiServer:
    """One API server over one store."""

    def __init__(self, options: ApiServerOptions) -> None:
        records = Records()
        self.reader = StoreReader(options.store, options.registry, records)
        self.context = ServerContext(
            registry=options.registry,
            store=options.store,
            records=records,
            reader=self.reader,
            snapshots=PageSnapshots(),
            authorizer=options.authorizer,
            admission=options.admission,
            nodes=options.nodes,
        )

    def local_client(self, user: UserInfo, field_manager: str = "") -> LocalClient:
        """The API in process, as `user`."""
        return LocalClient(self.context, user, field_manager)
