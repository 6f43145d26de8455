"""Starts everything that works through the API: controllers, scheduler, simulated nodes and real ones.

It is most of the program, so the server loads it only once it answers requests.
"""

import asyncio
import socket
from collections.abc import Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

from minikube_py import ids
from minikube_py.api import MASTERS, Api
from minikube_py.bootstrap.certificate_signer import CertificateSigner
from minikube_py.bootstrap.first_objects import publish_api_endpoint
from minikube_py.bootstrap.service_addresses import ServiceAddresses
from minikube_py.client.protocol import Client, Selection
from minikube_py.cloud.catalog import PROVIDERS
from minikube_py.cloud.protocol import NodeGroup, NodeGroupLimits
from minikube_py.controllers.context import NODES, SERVICES, ControllerContext, ControllerOptions
from minikube_py.controllers.runner import run_controllers
from minikube_py.engine_nodes import GROUP as ENGINE_GROUP
from minikube_py.engine_nodes import EngineNodes, EngineNodesOptions
from minikube_py.kubelet.fake_node_group import GROUP, GROUP_LABEL, FakeNodeGroup
from minikube_py.kubelet.fake_nodes import FakeNodes, FakeNodesOptions
from minikube_py.node import NodeOptions, dismantle_node, running_node
from minikube_py.proxy.local_listeners import LocalListeners
from minikube_py.reconciling.controller import run_controller
from minikube_py.reconciling.informer import Informer, InformerSet
from minikube_py.reconciling.leader import Election, Leader, Work
from minikube_py.running_server import ApiParts, Server, start
from minikube_py.scheduler.configuration.settings import DEFAULT_CONFIGURATION
from minikube_py.scheduler.growth import CachedGrowthPlanner
from minikube_py.scheduler.scheduler import Scheduler

_NO_LABELS: Mapping[str, str] = {}


async def start_parts(server: Server, made: ApiParts, group: asyncio.TaskGroup) -> None:
    """Start all of it in `group`."""
    informers = InformerSet(made.api.client("system:kube-controller-manager"))
    simulated = _simulate_nodes(server, made.api)
    groups = await _node_groups(server, made, group, simulated, informers.informer(NODES))
    _start_controllers(server, made, group, informers, Machines(simulated, groups))
    if server.config.container_runtime != "fake":
        for name in server.config.node_names:
            start(group, _run_node(server, made, name), f"node {name}")
    if simulated is not None:
        start(group, simulated.options.informers.run(), "fake nodes' informers")
        start(group, simulated.run(), "fake nodes")


@dataclass(frozen=True)
class Machines:
    """What the cloud provider of this machine has besides the first nodes."""

    simulated: FakeNodes | None
    groups: Sequence[NodeGroup]

    def simulated_names(self) -> Collection[str]:
        return self.simulated.names if self.simulated is not None else ()


def _start_controllers(
    server: Server, made: ApiParts, group: asyncio.TaskGroup, informers: InformerSet, machines: Machines
) -> None:
    api = made.api
    network = server.config.network
    services = informers.informer(SERVICES)
    scheduler_client = api.client("system:kube-scheduler")
    watched = InformerSet(scheduler_client)
    scheduling = server.scheduling or DEFAULT_CONFIGURATION
    options = ControllerOptions(
        cluster_cidr=network.cluster_cidr,
        service_cidr=network.service_cidr,
        root_ca_pem=made.pki.server_ca_pem.decode(),
        signing=CertificateSigner(made.pki),
        secret_tokens=api.tokens,
        cloud=PROVIDERS["local"](
            network.load_balancer_cidr,
            lambda: services.cache,
            machines.simulated_names,
            machines.groups,
        ),
        growth=CachedGrowthPlanner(watched, scheduling.profiles) if machines.groups else None,
        scale_down_unneeded_seconds=server.config.scale_down_unneeded_seconds,
        remove_volume=server.nodes.remove_volume,
    )
    context = ControllerContext(client_for=api.controller, informers=informers, options=options, kinds=made.registry)
    if server.config.load_balancer_address and server.config.container_runtime != "fake":
        client, address = api.controller("service-controller"), server.config.load_balancer_address
        listeners = LocalListeners(client, informers, server.nodes, address)
        start(group, listeners.run(), "ports of load balancers")
    addresses = ServiceAddresses(api.admin(), informers)
    start(group, run_controller(addresses, workers=1), addresses.name)
    start(group, informers.run(), "controllers' informers")
    manager = api.client("system:kube-controller-manager")
    start(group, led(server, manager, "kube-controller-manager", lambda: run_controllers(context)), "controllers")
    start(group, watched.run(), "scheduler's informers")
    api.server.metrics.add(context.queues.families)
    running: list[Scheduler] = []

    def schedule() -> Coroutine[Any, Any, None]:
        running[:] = [Scheduler(scheduler_client, watched, scheduling)]
        return running[0].run()

    start(group, led(server, scheduler_client, "kube-scheduler", schedule), "scheduler")
    api.server.metrics.add(lambda: running[0].counts.families() if running else ())


def led(server: Server, client: Client, lease: str, work: Work) -> Coroutine[Any, Any, None]:
    """The work, or where several servers share the store: the work of the one that holds the Lease."""
    if not server.shares_store:
        return work()
    identity = f"{socket.gethostname()}_{ids.uid()}"
    return Leader(client, Election(lease, identity), work).run()


def _simulate_nodes(server: Server, api: Api) -> FakeNodes | None:
    config = server.config
    is_fake = config.container_runtime == "fake"
    names = (*(config.node_names if is_fake else ()), *config.fake_node_names)
    grows = config.autoscale_nodes is not None and (is_fake or not config.node_names)
    if not names and not grows:
        return None
    informers = InformerSet(api.client("system:mkube:fake-nodes", MASTERS))
    simulated = FakeNodes(FakeNodesOptions(names=names, client_for=api.node, informers=informers))
    server.nodes.add_source(simulated)
    return simulated


async def _node_groups(
    server: Server, made: ApiParts, group: asyncio.TaskGroup, simulated: FakeNodes | None, nodes: Informer
) -> Sequence[NodeGroup]:
    """The group of nodes that may grow and shrink: of further nodes on the engine, or of simulated ones."""
    config = server.config
    if config.autoscale_nodes is None:
        return ()
    limits = NodeGroupLimits(*config.autoscale_nodes)
    is_real = config.container_runtime != "fake" and bool(config.node_names)
    selection = Selection(label_selector=f"{GROUP_LABEL}={ENGINE_GROUP if is_real else GROUP}")
    existing = (await made.api.admin().list(NODES, selection)).items
    if is_real:
        options = EngineNodesOptions(
            limits=limits,
            group_label=GROUP_LABEL,
            run=lambda name: _run_node(server, made, name, {GROUP_LABEL: ENGINE_GROUP}),
            dismantle=lambda name: dismantle_node(_node_options(server, made, name)),
            first=lambda: nodes.cache.get("", config.node_names[0]),
        )
        return (EngineNodes(options, group, existing),)
    return (FakeNodeGroup(simulated, limits, existing),) if simulated is not None else ()


def _node_options(server: Server, made: ApiParts, name: str) -> NodeOptions:
    return NodeOptions(
        name=name,
        client=made.api.node(name),
        cluster_id=made.cluster_id,
        data_dir=server.files.node_dir(name),
        docker_host=server.config.docker_host,
        network=server.config.network,
        volumes_dir=server.files.volumes_dir,
    )


async def _run_node(server: Server, made: ApiParts, name: str, labels: Mapping[str, str] = _NO_LABELS) -> None:
    config, api = server.config, made.api

    async def on_gateway(address: str) -> None:
        """Pods reach the API on their node's bridge; the first node's is what the `kubernetes` Service points to."""
        if config.bind_address in ("0.0.0.0", "::"):
            return
        await stack.enter_async_context(api.server.serve_https(address, server.port, server.ssl_context))
        if config.bind_address in ("127.0.0.1", "::1") and name == config.node_names[0]:
            await publish_api_endpoint(api.admin(), address, server.port)

    options = replace(_node_options(server, made, name), labels=labels, on_gateway=on_gateway)
    async with AsyncExitStack() as stack, running_node(options) as kubelet:
        with server.nodes.connected(name, kubelet):
            await asyncio.Event().wait()
