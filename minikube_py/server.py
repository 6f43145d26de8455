"""Runs the whole control plane in one process: `run_server` starts the parts in order and stops them in reverse."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, replace

from minikube_py import clock
from minikube_py.api import Api, build_api, proxy_authorities
from minikube_py.apiserver.component_statuses import write_component_statuses
from minikube_py.apiserver.event_retention import EventBounds, EventRetention
from minikube_py.apiserver.keys import index_function
from minikube_py.apiserver.node_paths import node_paths
from minikube_py.bootstrap.address_ranges import host_routes, settle
from minikube_py.bootstrap.cluster_files import ClusterFiles, ServerRecord, process_start
from minikube_py.bootstrap.first_objects import (
    FirstObjectsOptions,
    keep_api_service,
    publish_api_endpoint,
    write_first_objects,
)
from minikube_py.bootstrap.host_claims import HostClaims
from minikube_py.bootstrap.join import ensure_static_token
from minikube_py.bootstrap.kubeconfig import KubeconfigEntry, write_kubeconfig
from minikube_py.bootstrap.mkube_objects import write_mkube_objects
from minikube_py.bootstrap.pki import Pki, PkiOptions, ensure_pki
from minikube_py.config import NetworkConfig, ServerConfig
from minikube_py.garbage import GarbageCollection
from minikube_py.host import host_address, needs_root
from minikube_py.kubelet.fake_nodes import FIRST_NODE_ADDRESS
from minikube_py.kubelet.first_nodes import make_nodes
from minikube_py.kubelet.network.host_names import owner_prefix
from minikube_py.resources.catalog import built_in_kinds
from minikube_py.running_server import ApiParts, Server, start
from minikube_py.store.catalog import StoreSettings, is_shared, open_store
from minikube_py.store.soft import heartbeats_are_soft


async def run_server(config: ServerConfig) -> None:
    """Serve until cancelled. Raises OSError, RuntimeError or ValueError with one sentence when it can't start."""
    started = asyncio.get_running_loop().time()
    if config.container_runtime == "docker" and config.node_names:
        problem = needs_root()
        if problem:
            raise RuntimeError(problem)
        await _clear_leftovers()  # before ranges are chosen around them
        config = replace(config, network=_settled_network(config))
    server = Server(config)
    server.nodes.begin()
    server.shares_store = is_shared(config.datastore_endpoint)
    if config.kube_scheduler_config is not None:
        from minikube_py.scheduling_file import read_scheduling  # noqa: PLC0415 (the scheduler is loaded after the API)

        server.scheduling = await asyncio.to_thread(read_scheduling, config.kube_scheduler_config)
    cluster_id, pki = await asyncio.to_thread(_prepare_files, server)
    if config.container_runtime == "docker" and config.node_names:
        HostClaims().hold(server.files, config.docker_host)
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
        await make_nodes(api.node, config.node_names, are_simulated=config.container_runtime == "fake")
        await _report_ready(server, api, pki, started)
        start(group, api.server.aggregated.run(), "aggregated APIs")
        start_parts = await asyncio.to_thread(_load_parts)
        await start_parts(server, ApiParts(api, pki, registry, cluster_id), group)
        with GarbageCollection().in_force():
            await asyncio.Event().wait()


async def _clear_leftovers() -> None:
    """Of clusters whose data directory was removed, so that nobody can delete them any more."""
    claims = HostClaims()
    if await asyncio.to_thread(claims.abandoned):
        from minikube_py.leftovers import remove_leftovers  # noqa: PLC0415 (hardly ever needed)

        await remove_leftovers(claims)


def _load_parts() -> Callable[[Server, ApiParts, asyncio.TaskGroup], Awaitable[None]]:
    """In a thread: requests are answered meanwhile."""
    from minikube_py.parts import start_parts  # noqa: PLC0415 (most of the program, not needed to answer requests)

    return start_parts


def _settled_network(config: ServerConfig) -> NetworkConfig:
    files = ClusterFiles(config.data_dir)
    return settle(
        config.network,
        host_routes(),
        is_explicit=config.has_named_ranges,
        file=files.ranges_file,
        own_alias=owner_prefix(files.cluster_id()),
    )


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


def _api_address(config: ServerConfig) -> str:
    """What the `kubernetes` Service points to; '' when the first node finds an address that its pods can reach."""
    if config.bind_address in ("0.0.0.0", "::"):
        return host_address()
    if config.bind_address not in ("127.0.0.1", "::1"):
        return config.bind_address
    return FIRST_NODE_ADDRESS if config.container_runtime == "fake" else ""


async def _report_ready(server: Server, api: Api, pki: Pki, started: float) -> None:
    """From here on /readyz answers 200: write the kubeconfig, say so in one line."""
    config = server.config
    address = _api_address(config)
    if address:
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
