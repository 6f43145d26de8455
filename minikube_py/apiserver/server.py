"""The API server as one object: what it is made of, and the clients and listeners it hands out."""

import ssl
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from minikube_py.apiserver import raw_calls
from minikube_py.apiserver.admission.protocol import AdmissionPlugin
from minikube_py.apiserver.aggregation.api import FrontProxy
from minikube_py.apiserver.aggregation.apis import AggregatedApis
from minikube_py.apiserver.aggregation.forwarding import Forwarder
from minikube_py.apiserver.allocators import DEFAULT_SERVICE_CIDRS, ServiceAllocator
from minikube_py.apiserver.authn.protocol import Authenticator
from minikube_py.apiserver.authz.protocol import Authorizer
from minikube_py.apiserver.context import NoNodes, Review, ServerContext, TokenSource
from minikube_py.apiserver.custom_kinds import CustomKinds
from minikube_py.apiserver.discovery import Discovery
from minikube_py.apiserver.health import Health, Version
from minikube_py.apiserver.http import serve_https
from minikube_py.apiserver.kept_messages import KeptMessages
from minikube_py.apiserver.local_client import LocalClient
from minikube_py.apiserver.metrics_page import MetricsPage
from minikube_py.apiserver.openapi import OpenApi
from minikube_py.apiserver.outbound import Dial, Outbound
from minikube_py.apiserver.pages import PageSnapshots
from minikube_py.apiserver.paths import Paths
from minikube_py.apiserver.pipeline import Pipeline
from minikube_py.apiserver.records import StoreReader
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.apiserver.service_ranges import ServiceRanges
from minikube_py.apiserver.streaming.service_dial import dial_service
from minikube_py.client.node_connection import ByteStream, NodeConnections
from minikube_py.client.protocol import Client
from minikube_py.resources.custom.kinds import openapi_schema
from minikube_py.resources.kind import GVR

if TYPE_CHECKING:
    from minikube_py.apiserver.audit.auditor import Auditor

_SERVICES = GVR("", "v1", "services")
_ITSELF = UserInfo("system:apiserver", groups=("system:masters", "system:authenticated"))


@dataclass(frozen=True)
class ApiServerOptions:
    """What a server is built from.

    reader comes first, because authorizers and admission plugins are made with it. authorizer None allows everything:
    for tests of other parts only. auditor None: no audit log.
    """

    reader: StoreReader
    authorizer: Authorizer | None = None
    admission: Sequence[AdmissionPlugin] = ()
    nodes: NodeConnections = field(default_factory=NoNodes)
    authenticator: Authenticator | None = None
    token_source: TokenSource | None = None
    reviews: Mapping[tuple[str, str], Review] = field(default_factory=dict)
    service_cidrs: Sequence[str] = DEFAULT_SERVICE_CIDRS
    cluster_domain: str = "cluster.local"
    host_names: frozenset[str] = frozenset()
    mkube_version: str = "0.1.0"
    auditor: "Auditor | None" = None
    front_proxy: FrontProxy | None = None
    dial: Dial | None = None
    """How webhooks and aggregated APIs are reached that a Service names; None: through its endpoints."""


class ApiServer:
    """One API server over one store. `custom_kinds.run()` and `aggregated.run()` have to run while it lives."""

    def __init__(self, options: ApiServerOptions) -> None:
        self.reader = reader = options.reader
        ranges = ServiceRanges(reader)
        services = ServiceAllocator(options.service_cidrs, None, ranges.ready, ranges.is_reserved)
        services.load(reader.list(_SERVICES))
        self.context = ServerContext(
            registry=reader.registry,
            store=reader.store,
            records=reader.records,
            messages=KeptMessages(reader.records),
            reader=reader,
            snapshots=PageSnapshots(),
            authorizer=options.authorizer,
            admission=options.admission,
            nodes=options.nodes,
            token_source=options.token_source,
            reviews=options.reviews,
            allocators={("", "Service"): services},
        )

        self.outbound = self.context.conversions.outbound = Outbound(options.dial or self.dial_service)
        self.health = Health()
        version = Version(options.mkube_version)
        openapi = OpenApi(reader.registry, version.body["gitVersion"], openapi_schema)
        discovery = Discovery(reader.registry)
        self.paths = Paths(discovery, openapi, self.health, version)
        self.metrics = MetricsPage(self.context, self.health, version.body)
        self.paths.add("/metrics", self.metrics.answer)
        self.paths.add("/metrics/slis", self.metrics.health_checks)
        names = options.host_names | {f"kubernetes.default.svc.{options.cluster_domain}"}
        self.pipeline = Pipeline(self.context, options.authenticator, self.paths.find, names, auditor=options.auditor)
        client = self.local_client(_ITSELF, "kube-apiserver")
        self.aggregated = AggregatedApis(self.context, client, Forwarder(self.outbound, options.front_proxy))
        self.pipeline.aggregated = self.aggregated
        openapi.others = discovery.others = self.aggregated.documents
        self.aggregated.changed = discovery.forget
        self.custom_kinds = CustomKinds(self.context, client)
        self.custom_kinds.load()

    async def aclose(self) -> None:
        """Ends what the server keeps open to others."""
        await self.outbound.aclose()

    async def dial_service(self, namespace: str, name: str, port: str) -> ByteStream:
        """A connection to one of a Service's ready endpoints. Raises NotFound, ServiceUnavailable."""
        return (await dial_service(self.context, namespace, name, port)).stream

    def serve_https(self, host: str, port: int, ssl_context: ssl.SSLContext | None) -> AbstractAsyncContextManager[int]:
        """Listens while the block runs; gives the port. Without an SSL context it is plain HTTP, for tests."""
        return serve_https(self.pipeline, host, port, ssl_context)

    def local_client(self, user: UserInfo, field_manager: str = "") -> Client:
        """The API in process, as `user`."""
        make = partial(LocalClient, self.context, user, field_manager, partial(raw_calls.call, self.pipeline))
        auditor = self.pipeline.auditor
        if auditor is None:
            return make()
        from minikube_py.apiserver.audit.client import AuditedClient  # noqa: PLC0415 (for servers with an audit log)

        return AuditedClient(auditor, user, make)
