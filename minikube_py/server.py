"""Runs the whole control plane in one process: `run_server` starts the parts in order and stops them in reverse."""

import asyncio
import gc
import os
import ssl
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from typing import Any

from minikube_py import clock
from minikube_py.api import MASTERS, Api, build_api, proxy_authorities
from minikube_py.apiserver.component_statuses import write_component_statuses
from minikube_py.apiserver.event_retention import EventBounds, EventRetention
from minikube_py.apiserver.keys import index_function
from minikube_py.apiserver.node_paths import node_paths
from minikube_py.bootstrap.address_ranges import host_routes, settle
from minikube_py.bootstrap.certificate_signer import CertificateSigner
from minikube_py.bootstrap.cluster_files import ClusterFiles, ServerRecord, process_start
from minikube_py.bootstrap.first_objects import (
    FirstObjectsOptions,
    keep_api_service,
    publish_api_endpoint,
    write_first_objects,
)
from minikube_py.bootstrap.join import ensure_static_token
from minikube_py.bootstrap.kubeconfig import KubeconfigEntry, write_kubeconfig
from minikube_py.bootstrap.mkube_objects import write_mkube_objects
from minikube_py.bootstrap.pki import Pki, PkiOptions, ensure_pki
from minikube_py.client.connected_nodes import ConnectedNodes
from minikube_py.client.protocol import Selection
from minikube_py.cloud.catalog import PROVIDERS
from minikube_py.cloud.protocol import NodeGroup, NodeGroupLimits
from minikube_py.config import NetworkConfig, ServerConfig
from minikube_py.controllers.context import NODES, SERVICES, ControllerContext, ControllerOptions
from minikube_py.controllers.runner import run_controllers
from minikube_py.kubelet.fake_node_group import GROUP, GROUP_LABEL, FakeNodeGroup
from minikube_py.kubelet.fake_nodes import FakeNodes, FakeNodesOptions
from minikube_py.kubelet.network.host_names import owner_prefix
from minikube_py.node import NodeOptions, host_address, needs_root, running_node
from minikube_py.reconciling.informer import InformerSet
from minikube_py.resources.catalog import built_in_kinds
from minikube_py.resources.registry import KindRegistry
from minikube_py.scheduler.growth import CachedGrowthPlanner
from minikube_py.scheduler.scheduler import Scheduler
from minikube_py.store.catalog import StoreSettings, open_store
from minikube_py.store.soft import heartbeats_are_soft

GC_THRESHOLD = 50_000
"""Container objects between two young collections: the caches are large and hold no cycles."""


class Server:
    """One running server's parts, while `run_server` puts them together."""

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self.files = ClusterFiles(config.data_dir)
        self.nodes = ConnectedNodes()
        self.stack = AsyncExitStack()
        self.port = config.https_listen_port
        self.is_ready = False
        self.ssl_context: ssl.SSLContext | None = None
        self.simulated: FakeNodes | None = None

    @property
    def url(self) -> str:
        address = "127.0.0.1" if self.config.bind_address in ("0.0.0.0", "::") else self.config.bind_address
        return f"https://[{address}]:{self.port}" if ":" in address else f"https://{address}:{self.port}"


async def run_server(config: ServerConfig) -> None:
    """Serve until cancelled. Raises OSError, RuntimeError or ValueError with one sentence when it can't start."""
    started = asyncio.get_running_loop().time()
    if config.container_runtime == "docker" and config.node_names:
        problem = needs_root()
        if problem:
            raise RuntimeError(problem)
        config = replace(config, network=_settled_network(config))
    server = Server(config)
    cluster_id, pki = await asyncio.to_thread(_prepare_files, server)
    registry = built_in_kinds(config.runtime_config)
    async with server.stack as stack:
        settings = StoreSettings(config.data_dir, index_function(registry), is_soft=heartbeats_are_soft)
        store = await stack.enter_async_context(open_store(config.datastore_endpoint, settings))
        api = build_api(store, registry, pki, config, server.nodes)
        stack.push_async_callback(api.close)
        api.feed.load()
        group = await stack.enter_async_context(asyncio.TaskGroup())
        start(group, api.feed.run(), "authorization feed")
        start(group, api.server.custom_kinds.run(), "custom kinds")
        start(group, EventRetention(store, EventBounds(config.event_ttl_seconds)).run(), "event retention")
        await write_component_statuses(store, registry)
        await _listen(server, api, pki, group)
        await write_first_objects(api.admin(), _first_objects(server, pki))
        start(group, keep_api_service(api.admin(), _first_objects(server, pki)), "kubernetes Service")
        await write_mkube_objects(api.admin(), config.network.cluster_dns)
        if config.token:
            await ensure_static_token(api.admin(), config.token)
        groups = await _simulate_nodes(server, api)
        _start_controllers(server, api, pki, registry, group, groups)
        await _report_ready(server, api, pki, started)
        start(group, api.server.aggregated.run(), "aggregated APIs")
        _start_nodes(server, api, cluster_id, group)
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, 20, 100)
        await asyncio.Event().wait()


def _settled_network(config: ServerConfig) -> NetworkConfig:
    files = ClusterFiles(config.data_dir)
    return settle(
        config.network,
        host_routes(),
        is_explicit=config.has_named_ranges,
        file=files.ranges_file,
        own_alias=owner_prefix(files.cluster_id()),
    )


def start(group: asyncio.TaskGroup, part: Coroutine[Any, Any, None], name: str) -> None:
    """Run a part that lives as long as the process: when it ends by itself, so does everything."""

    async def run() -> None:
        await part
        raise RuntimeError(f"the {name} has ended unexpectedly")

    group.create_task(run(), name=name)


def _prepare_files(server: Server) -> tuple[str, Pki]:
    network = server.config.network
    cluster_id = server.files.cluster_id()
    options = PkiOptions(
        server.files.pki_dir, network.api_service_ip, network.cluster_domain, tuple(_certificate_names(server.config))
    )
    return cluster_id, ensure_pki(options)


def _certificate_names(config: ServerConfig) -> Iterator[str]:
    yield from config.tls_sans
    if config.bind_address not in ("127.0.0.1", "::1", "0.0.0.0", "::"):
        yield config.bind_address


async def _listen(server: Server, api: Api, pki: Pki, group: asyncio.TaskGroup) -> None:
    server.ssl_context = pki.server_ssl_context(proxy_authorities(pki, server.config))
    settings = {"network": asdict(server.config.network)}
    for path, handler in node_paths(server.nodes, settings).items():
        api.server.paths.add(path, handler)
    api.server.health.add("first-objects", lambda: "" if server.is_ready else "starting", ready_only=True)
    listener = api.server.serve_https(server.config.bind_address, server.port, server.ssl_context)
    try:
        server.port = await server.stack.enter_async_context(listener)
    except OSError as error:
        raise RuntimeError(
            f"cannot listen on {server.config.bind_address}:{server.port}: {error.strerror or error}; "
            "choose another port with --https-listen-port"
        ) from error
    start(group, pki.keep_fresh(server.ssl_context), "certificate renewal")


def _first_objects(server: Server, pki: Pki) -> FirstObjectsOptions:
    network = server.config.network
    return FirstObjectsOptions(
        service_cidrs=(network.service_cidr,),
        service_ip=network.api_service_ip,
        api_port=server.port,
        client_ca_pem=pki.client_ca_pem,
        request_header_ca_pem=proxy_authorities(pki, server.config),
    )


def _start_controllers(
    server: Server, api: Api, pki: Pki, registry: KindRegistry, group: asyncio.TaskGroup, groups: Sequence[NodeGroup]
) -> None:
    network = server.config.network
    informers = InformerSet(api.client("system:kube-controller-manager"))
    services = informers.informer(SERVICES)
    scheduler_client = api.client("system:kube-scheduler")
    watched = InformerSet(scheduler_client)
    options = ControllerOptions(
        cluster_cidr=network.cluster_cidr,
        service_cidr=network.service_cidr,
        root_ca_pem=pki.server_ca_pem.decode(),
        signing=CertificateSigner(pki),
        secret_tokens=api.tokens,
        cloud=PROVIDERS["local"](
            network.load_balancer_cidr,
            lambda: services.cache,
            lambda: server.simulated.names if server.simulated is not None else (),
            groups,
        ),
        growth=CachedGrowthPlanner(watched) if groups else None,
        scale_down_unneeded_seconds=server.config.scale_down_unneeded_seconds,
    )
    context = ControllerContext(client_for=api.controller, informers=informers, options=options, kinds=registry)
    start(group, informers.run(), "controllers' informers")
    start(group, run_controllers(context), "controllers")
    start(group, watched.run(), "scheduler's informers")
    scheduler = Scheduler(scheduler_client, watched)
    start(group, scheduler.run(), "scheduler")
    api.server.metrics.add(context.queues.families)
    api.server.metrics.add(scheduler.counts.families)


async def _report_ready(server: Server, api: Api, pki: Pki, started: float) -> None:
    """From here on /readyz answers 200: write the kubeconfig, say so in one line."""
    config = server.config
    if config.bind_address not in ("127.0.0.1", "::1"):
        address = host_address() if config.bind_address in ("0.0.0.0", "::") else config.bind_address
        await publish_api_endpoint(api.admin(), address, server.port)
    entry = KubeconfigEntry(server.url, pki.server_ca_pem, token=pki.admin_token)
    record = ServerRecord(
        pid=os.getpid(),
        url=server.url,
        container_runtime=config.container_runtime,
        docker_host=config.docker_host,
        node_names=config.node_names,
        started=clock.seconds(),
        process_start=process_start(os.getpid()),
    )
    write_kubeconfig(config.kubeconfig_path, entry)
    server.files.write_record(record)
    server.is_ready = True
    seconds = asyncio.get_running_loop().time() - started
    print(f"mkube is ready after {seconds:.2f} s: {server.url}  kubeconfig {config.kubeconfig_path}", flush=True)


async def _simulate_nodes(server: Server, api: Api) -> Sequence[NodeGroup]:
    """Prepare the simulated nodes, which start with the others; the groups of them that may grow and shrink."""
    config = server.config
    names = (*(config.node_names if config.container_runtime == "fake" else ()), *config.fake_node_names)
    if not names and config.autoscale_nodes is None:
        return ()
    informers = InformerSet(api.client("system:mkube:fake-nodes", MASTERS))
    server.simulated = FakeNodes(FakeNodesOptions(names=names, client_for=api.node, informers=informers))
    server.nodes.add_source(server.simulated)
    if config.autoscale_nodes is None:
        return ()
    selection = Selection(label_selector=f"{GROUP_LABEL}={GROUP}")
    existing = (await api.admin().list(NODES, selection)).items
    return (FakeNodeGroup(server.simulated, NodeGroupLimits(*config.autoscale_nodes), existing),)


def _start_nodes(server: Server, api: Api, cluster_id: str, group: asyncio.TaskGroup) -> None:
    config = server.config
    if config.container_runtime != "fake":
        for name in config.node_names:
            start(group, _run_node(server, api, cluster_id, name), f"node {name}")
    if server.simulated is not None:
        start(group, server.simulated.options.informers.run(), "fake nodes' informers")
        start(group, server.simulated.run(), "fake nodes")


async def _run_node(server: Server, api: Api, cluster_id: str, name: str) -> None:
    config = server.config

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
        cluster_id=cluster_id,
        data_dir=server.files.node_dir(name),
        docker_host=config.docker_host,
        network=config.network,
        on_gateway=on_gateway,
    )
    async with running_node(options) as kubelet:
        with server.nodes.connected(name, kubelet):
            await asyncio.Event().wait()
