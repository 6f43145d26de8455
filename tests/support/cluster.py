"""A real API server over a memory store in the test's own loop, with clients for any user."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from minikube_py.apiserver.local_client import LocalClient
from minikube_py.apiserver.request_info import UserInfo
from minikube_py.apiserver.server import ApiServer, ApiServerOptions
from minikube_py.resources.catalog import built_in_kinds
from minikube_py.resources.kind import GVR
from minikube_py.store.memory import MemoryStore

NAMESPACES = GVR("", "v1", "namespaces")
FIRST_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


@dataclass
class Cluster:
    """A running server. `client()` is an admin."""

    api: ApiServer
    store: MemoryStore

    def client(self, user: str = "system:admin", groups: tuple[str, ...] = ("system:masters",)) -> LocalClient:
        return self.api.local_client(UserInfo(user, groups=groups), field_manager=user)


@asynccontextmanager
async def test_cluster(options: ApiServerOptions | None = None) -> AsyncIterator[Cluster]:  # noqa: PT028
    """A server with the four namespaces and no authorization or admission, unless `options` bring them."""
    store = MemoryStore()
    options = options or ApiServerOptions(registry=built_in_kinds(), store=store)
    cluster = Cluster(ApiServer(options), store)
    client = cluster.client()
    for name in FIRST_NAMESPACES:
        await client.create(NAMESPACES, {"metadata": {"name": name}})
    yield cluster


test_cluster.__test__ = False  # type: ignore[attr-defined]
