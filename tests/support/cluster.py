"""A real API server over a memory store in the test's own loop, with clients for any user, and HTTPS when wanted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minikube_py.apiserver.aggregation.api import FrontProxy
from minikube_py.apiserver.audit.auditor import Auditor
from minikube_py.apiserver.context import NoNodes
from minikube_py.apiserver.identity import IdentityOptions, build_identity
from minikube_py.apiserver.local_client import LocalClient
from minikube_py.apiserver.outbound import Dial
from minikube_py.apiserver.records import StoreReader
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.apiserver.server import ApiServer, ApiServerOptions
from minikube_py.bootstrap.first_objects import FirstObjectsOptions, write_first_objects
from minikube_py.bootstrap.kubeconfig import KubeconfigEntry, write_kubeconfig
from minikube_py.bootstrap.pki import Pki, PkiOptions, ensure_pki
from minikube_py.client.node_connection import NodeConnections
from minikube_py.resources.catalog import built_in_kinds
from minikube_py.resources.kind import GVR
from minikube_py.store.memory import MemoryStore
from minikube_py.store.protocol import Store

NAMESPACES = GVR("", "v1", "namespaces")
SERVICE_ACCOUNTS = GVR("", "v1", "serviceaccounts")
FIRST_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


@dataclass
class Cluster:
    """A running server. `client()` is an admin."""

    api: ApiServer
    store: Store

    def client(self, user: str = "system:admin", groups: tuple[str, ...] = ("system:masters",)) -> LocalClient:
        return self.api.local_client(UserInfo(user, groups=groups), field_manager=user)


@dataclass
class HttpsCluster(Cluster):
    """A server that listens; kubeconfig is the admin's."""

    port: int
    pki: Pki
    kubeconfig: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


@asynccontextmanager
async def test_cluster(options: ApiServerOptions | None = None) -> AsyncIterator[Cluster]:  # noqa: PT028
    """A server with the four namespaces and no authorization or admission, unless `options` bring them."""
    options = options or ApiServerOptions(StoreReader(MemoryStore(), built_in_kinds()))
    cluster = Cluster(ApiServer(options), options.reader.store)
    await _make_namespaces(cluster)
    custom_kinds = asyncio.ensure_future(cluster.api.custom_kinds.run())
    yield cluster
    await cluster.api.aclose()
    custom_kinds.cancel()


test_cluster.__test__ = False  # type: ignore[attr-defined]


@asynccontextmanager
async def https_cluster(
    directory: Path,
    nodes: NodeConnections | None = None,
    store: Store | None = None,
    *,
    auditor: Auditor | None = None,
    dial: Dial | None = None,
    **identity_options: Any,
) -> AsyncIterator[HttpsCluster]:
    """A server with authentication, RBAC and admission on a free port. Keys and kubeconfig are in `directory`.

    identity_options: further fields of IdentityOptions.
    """
    pki = ensure_pki(PkiOptions(directory / "pki"))
    store = store or MemoryStore()
    reader = StoreReader(store, built_in_kinds())
    keys, ca = pki.service_account_keys(), pki.client_ca_pem
    identity = build_identity(reader, IdentityOptions(keys, ca, pki.token_file, **identity_options))
    api = ApiServer(
        ApiServerOptions(
            reader,
            authorizer=identity.authorization.union,
            admission=identity.admission,
            authenticator=identity.authenticator,
            token_source=identity.tokens,
            reviews=identity.reviews.handlers(),
            nodes=nodes or NoNodes(),
            auditor=auditor,
            front_proxy=FrontProxy(pki.certificate_path("front-proxy"), pki.key_path("front-proxy")),
            dial=dial,
        )
    )
    feed = identity.feed(store)
    feed.load()
    parts = (feed.run(), api.custom_kinds.run(), api.aggregated.run())
    followers = [asyncio.ensure_future(part) for part in parts]
    async with api.serve_https("127.0.0.1", 0, pki.server_ssl_context()) as port:
        entry = KubeconfigEntry(f"https://127.0.0.1:{port}", pki.server_ca_pem, token=pki.admin_token)
        write_kubeconfig(directory / "kubeconfig", entry)
        cluster = HttpsCluster(api, store, port, pki, directory / "kubeconfig")
        identity.admission_context.client = cluster.client()
        identity.admission_context.outbound = api.outbound
        api.metrics.add(identity.admission_context.counts.families)
        await write_first_objects(cluster.client(), _first_objects(pki, port))
        await cluster.client().create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "default"}})
        yield cluster
        await api.aclose()
    for follower in followers:
        follower.cancel()


def _first_objects(pki: Pki, port: int) -> FirstObjectsOptions:
    return FirstObjectsOptions(("10.43.0.0/16",), "10.43.0.1", port, pki.client_ca_pem, pki.request_header_ca_pem)


async def _make_namespaces(cluster: Cluster) -> None:
    client = cluster.client()
    for name in FIRST_NAMESPACES:
        await client.create(NAMESPACES, {"metadata": {"name": name}})
