"""A running API server with all admission plugins and the default policy of who may do what."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from minikube_py.apiserver.admission.catalog import build_chain
from minikube_py.apiserver.admission.context import AdmissionContext
from minikube_py.apiserver.records import StoreReader
from minikube_py.apiserver.server import ApiServerOptions
from minikube_py.resources.catalog import built_in_kinds
from minikube_py.resources.kind import GVR
from minikube_py.store.memory import MemoryStore
from tests.support.cluster import Cluster, test_cluster
from tests.support.identity import default_authorization

SERVICE_ACCOUNTS = GVR("", "v1", "serviceaccounts")


@asynccontextmanager
async def admitting_cluster() -> AsyncIterator[Cluster]:
    """Namespace `default` has its service account, so that pods can be made."""
    reader = StoreReader(MemoryStore(), built_in_kinds())
    authorization = default_authorization(reader)  # type: ignore[arg-type]
    context = AdmissionContext(reader, authorization.union, authorization.rbac)
    options = ApiServerOptions(reader, authorizer=authorization.union, admission=(build_chain(context),))
    async with test_cluster(options) as cluster:
        context.client = cluster.client()
        context.outbound = cluster.api.outbound
        await cluster.client().create(SERVICE_ACCOUNTS, {"metadata": {"name": "default"}}, "default")
        yield cluster
