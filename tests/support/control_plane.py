"""The real API server with all controllers, the scheduler and stand-in nodes, in the test's own loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from minikube_py.apiserver.admission.catalog import build_admission
from minikube_py.apiserver.admission.context import AdmissionContext
from minikube_py.apiserver.authz.protocol import Authorizer, Decision, Verdict
from minikube_py.apiserver.local_client import LocalClient
from minikube_py.apiserver.records import StoreReader
from minikube_py.apiserver.request_info import RequestInfo, UserInfo
from minikube_py.apiserver.server import ApiServerOptions
from minikube_py.client.connected_nodes import ConnectedNodes
from minikube_py.client.protocol import Selection
from minikube_py.controllers.catalog import CONTROLLERS
from minikube_py.controllers.context import ControllerContext, ControllerOptions
from minikube_py.objects.errors import NotFound, Object
from minikube_py.reconciling.cache import set_mutation_detection
from minikube_py.reconciling.controller import run_controller
from minikube_py.reconciling.informer import InformerSet
from minikube_py.resources.catalog import built_in_kinds
from minikube_py.resources.kind import GVR
from minikube_py.scheduler.configuration.settings import DEFAULT_CONFIGURATION, SchedulerConfiguration
from minikube_py.scheduler.scheduler import Scheduler
from minikube_py.store.memory import MemoryStore
from tests.support.cluster import Cluster, test_cluster
from tests.support.identity import default_authorization
from tests.support.node_stub import NodeStub

PODS = GVR("", "v1", "pods")
EVENTS = GVR("", "v1", "events")


@dataclass
class ControlPlane:
    cluster: Cluster
    client: LocalClient
    informers: InformerSet
    nodes: NodeStub
    connected: ConnectedNodes
    denials: "Denials"

    async def create(self, gvr: GVR, obj: Object, namespace: str = "default") -> Object:
        return await self.client.create(gvr, obj, namespace)

    async def get(self, gvr: GVR, name: str, namespace: str = "default") -> Object:
        return await self.client.get(gvr, name, namespace)

    async def exists(self, gvr: GVR, name: str, namespace: str = "default") -> bool:
        try:
            await self.client.get(gvr, name, namespace)
        except NotFound:
            return False
        return True

    async def items(self, gvr: GVR, namespace: str = "default", labels: str = "") -> list[Object]:
        return (await self.client.list(gvr, Selection(namespace=namespace, label_selector=labels))).items

    async def pods(self, labels: str = "", namespace: str = "default") -> list[Object]:
        return await self.items(PODS, namespace, labels)

    async def events(self, reason: str, namespace: str = "default") -> list[str]:
        """The messages of the events with that reason."""
        return [e["message"] for e in await self.items(EVENTS, namespace) if e["reason"] == reason]

    async def until(self, holds: Callable[[], Any], seconds: float = 120.0) -> None:
        """Wait (virtual time) until the awaitable condition holds."""
        waited = 0.0
        while not await holds():
            assert waited < seconds, f"not so after {seconds} s"
            await asyncio.sleep(0.25)
            waited += 0.25


CONTROLLER_GROUPS = ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated")


class Denials(set[str]):
    """What components were not allowed to do."""


class _Watched:
    """Passes every question on to the policy and remembers the refusals."""

    def __init__(self, policy: Authorizer, denials: Denials) -> None:
        self._policy = policy
        self._denials = denials

    def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        answer = self._policy.authorize(user, info)
        if answer.verdict is not Verdict.ALLOW:
            what = f"{info.resource}/{info.subresource}".rstrip("/")
            self._denials.add(f"{user.name} may not {info.verb} {what}")
        return answer

    def rules_for(self, user: UserInfo, namespace: str) -> Any:
        return self._policy.rules_for(user, namespace)


async def _run_scheduler(cluster: Cluster, scheduling: SchedulerConfiguration) -> None:
    client = cluster.client("system:kube-scheduler", ("system:authenticated",))
    watched = InformerSet(client)
    async with asyncio.TaskGroup() as group:
        group.create_task(watched.run())
        scheduler = Scheduler(client, watched, scheduling)
        cluster.api.metrics.add(scheduler.counts.families)
        group.create_task(scheduler.run())


@asynccontextmanager
async def control_plane(
    *,
    nodes: int = 3,
    without: Collection[str] = (),
    options: ControllerOptions | None = None,
    heartbeats: bool = True,
    informers: Callable[[InformerSet], object] = lambda made: None,
    scheduling: SchedulerConfiguration = DEFAULT_CONFIGURATION,
) -> AsyncIterator[ControlPlane]:
    """Every component runs as its own user under the default policy; a call that it denies fails the test.

    `without` names controllers, or the scheduler. `informers` is given the controllers' informers before these start.
    """
    set_mutation_detection(True)
    try:
        registry = built_in_kinds()
        reader = StoreReader(MemoryStore(), registry)
        denials = Denials()
        authorization = default_authorization(reader)
        admission = build_admission(AdmissionContext(reader, authorization.union, authorization.rbac))
        connected = ConnectedNodes()
        server = ApiServerOptions(
            reader, authorizer=_Watched(authorization.union, denials), admission=admission, nodes=connected
        )
        async with test_cluster(server) as cluster:
            client = cluster.client()
            watched = InformerSet(cluster.client("system:kube-controller-manager", ("system:authenticated",)))
            informers(watched)
            context = ControllerContext(
                client_for=lambda name: cluster.client(f"system:serviceaccount:kube-system:{name}", CONTROLLER_GROUPS),
                informers=watched,
                options=options or ControllerOptions(root_ca_pem="-----CA-----"),
                kinds=registry,
            )
            cluster.api.metrics.add(context.queues.families)
            stub = NodeStub(client, watched, heartbeats=heartbeats)
            async with asyncio.TaskGroup() as group:
                running = [group.create_task(watched.run()), group.create_task(stub.run())]
                for name, make in CONTROLLERS.items():
                    if name not in without:
                        running.append(
                            group.create_task(run_controller(make(context), workers=3, table=context.queues), name=name)
                        )
                if "scheduler" not in without:
                    running.append(group.create_task(_run_scheduler(cluster, scheduling)))
                await asyncio.sleep(0.01)
                for number in range(nodes):
                    await stub.add_node(f"node-{number}")
                await asyncio.sleep(0.5)  # until the taint that new nodes have is gone
                yield ControlPlane(cluster, client, watched, stub, connected, denials)
                for informer in watched.all():
                    informer.cache.verify_unchanged()
                assert not denials, sorted(denials)
                for task in running:
                    task.cancel()
    finally:
        set_mutation_detection(False)
