"""Starts everything that works through the API: controllers, scheduler, simulated nodes and real ones.

It is most of the program, so the server loads it only once it answers requests.
"""

import asyncio
import socket
from collections.abc import Coroutine, Sequence
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
from minikube_py.kubelet.fake_node_group import GROUP, GROUP_LABEL, FakeNodeGroup
from minikube_py.kubelet.fake_nodes import FakeNodes, FakeNodesOptions
from minikube_py.node import NodeOptions, running_node
from minikube_py.proxy.local_listeners import LocalListeners
from minikube_py.reconciling.controller import run_controller
from minikube_py.reconciling.informer import InformerSet
from minikube_py.reconciling.leader import Election, Leader, Work
from minikube_py.running_server import ApiParts, Server, start
from minikube_py.scheduler.configuration.settings import DEFAULT_CONFIGURATION
from minikube_py.scheduler.growth import CachedGrowthPlanner
from minikube_py.scheduler.scheduler import Scheduler


async def start_parts(server: Server, made: ApiParts, group: asyncio.TaskGroup) -> None:
    """Start all of it in `group`."""
    simulated = _simulate_nodes(server, made.api)
    groups = await _node_groups(server, made.api, simulated)
    _start_controllers(server, made, group, simulated, groups)
    if server.config.container_runtime != "fake":
        for name in server.config.node_names:
            start(group, _run_node(server, made, name), f"node {name}")
    if simulated is not None:
        start(group, simulated.options.informers.run(), "fake nodes' informers")
        start(group, simulated.run(), "fake nodes")


def _start_controllers(
    server: Server, made: ApiParts, group: asyncio.TaskGroup, simulated: FakeNodes | None, groups: Sequence[NodeGroup]
) -> None:
    api = made.api
    network = server.config.network
    informers = InformerSet(api.client("system:kube-controller-manager"))
    services = informers.informer(SERVICES)
    scheduler_client = api.client("system:kube-scheduler")
    watched = InformerSet(scheduler_client)
    options = ControllerOptions(
        cluster_cidr=network.cluster_cidr,
        service_cidr=network.service_cidr,
        root_ca_pem=made.pki.server_ca_pem.decode(),
        signing=CertificateSigner(made.pki),
        secret_tokens=api.tokens,
        cloud=PROVIDERS["local"](
            network.load_balancer_cidr,
            lambda: services.cache,
            lambda: simulated.names if simulated is not None else (),
            groups,
        ),
        growth=CachedGrowthPlanner(watched) if groups else None,
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
        running[:] = [Scheduler(scheduler_client, watched, server.scheduling or DEFAULT_CONFIGURATION)]
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
    names = (*(config.node_names if config.container_runtime == "fake" else ()), *config.fake_node_names)
    if not names and config.autoscale_nodes is None:
        return None
    informers = InformerSet(api.client("system:mkube:fake-nodes", MASTERS))
    simulated = FakeNodes(FakeNodesOptions(names=names, client_for=api.node, informers=informers))
    server.nodes.add_source(simulated)
    return simulated


async def _node_groups(server: Server, api: Api, simulated: FakeNodes | None) -> Sequence[NodeGroup]:
    """The groups of simulated nodes that may grow and shrink."""
    if simulated is None or server.config.autoscale_nodes is None:
        return ()
    selection = Selection(label_selector=f"{GROUP_LABEL}={GROUP}")
    existing = (await api.admin().list(NODES, selection)).items
    return (FakeNodeGroup(simulated, NodeGroupLimits(*server.config.autoscale_nodes), existing),)


async def _run_node(server: Server, made: ApiParts, name: str) -> None:
    config, api = server.config, made.api

    async def on_gateway(address: str) -> None:
        """Pods reach the API on their node's bridge; the first node's is what the `kubernetes` Service points to."""
        if config.bind_address in ("0.0.0.0", "::"):
            return
        await server.stack.enter_async_context(api.server.serve_https(address, server.port, server.ssl_context))
        if config.bind_address in ("127.0.0.1", "::1") and name == config.node_names[0]:
            await publish_api_endpoint(api.admin(), address, server.port)

    options = NodeOptions(
        name=name,
        client=api.node(name),
        cluster_id=made.cluster_id,
        data_dir=server.files.node_dir(name),
        docker_host=config.docker_host,
        network=config.network,
        volumes_dir=server.files.volumes_dir,
        on_gateway=on_gateway,
    )
    async with running_node(options) as kubelet:
        with server.nodes.connected(name, kubelet):
            await asyncio.Event().wait()
