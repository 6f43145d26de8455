"""Puts a real node together: container runtime, pod network, kubelet, Service proxy and DNS."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from minikube_py.client.protocol import Client, Selection
from minikube_py.config import NetworkConfig
from minikube_py.dns.records import ClusterZone, ZoneConfig
from minikube_py.dns.server import DnsServer
from minikube_py.dns.sources import InformerSources
from minikube_py.dns.upstream import Upstream
from minikube_py.kubelet.first_nodes import make_node
from minikube_py.kubelet.kubelet import Kubelet, KubeletOptions
from minikube_py.kubelet.network import host_names
from minikube_py.kubelet.network.netlink import NetlinkNetwork
from minikube_py.kubelet.network.protocol import PodNetworkConfig
from minikube_py.kubelet.pod_volumes import remove_node_files
from minikube_py.kubelet.runtimes.docker import DockerRuntime
from minikube_py.kubelet.runtimes.docker_cleanup import remove_node_pods
from minikube_py.kubelet.runtimes.docker_labels import Owner
from minikube_py.objects.errors import Expired
from minikube_py.proxy.backends.catalog import BACKENDS, ProxyBackendOptions, choose_backend
from minikube_py.proxy.backends.protocol import Endpoint, ProxyBackend
from minikube_py.proxy.proxy import ServiceProxy
from minikube_py.proxy.rules import NodeView
from minikube_py.reconciling.informer import InformerSet
from minikube_py.resources.kind import GVR

NODES = GVR("", "v1", "nodes")


@dataclass(frozen=True)
class NodeOptions:
    """client acts as the node (`system:node:<name>`), for all its parts.

    on_gateway is called once the node's pod bridge is up, with the bridge's own address: what pods can reach.
    """

    name: str
    client: Client
    cluster_id: str
    data_dir: Path
    docker_host: str
    network: NetworkConfig
    volumes_dir: Path | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    on_gateway: Callable[[str], Awaitable[None]] | None = None


@asynccontextmanager
async def running_node(options: NodeOptions) -> AsyncIterator[Kubelet]:
    """The node runs while the block does; its pods go on afterwards. Raises RuntimeFailure without an engine."""
    pod_cidr = await register(options.client, options.name)
    config = _network_config(options, pod_cidr)
    network = NetlinkNetwork(config)
    runtime = DockerRuntime(Owner(options.cluster_id, options.name), network, options.docker_host)
    kubelet = Kubelet(
        KubeletOptions(
            node_name=options.name,
            client=options.client,
            runtime=runtime,
            data_dir=options.data_dir,
            volumes_dir=options.volumes_dir,
            cluster_dns=(options.network.cluster_dns,),
            cluster_domain=options.network.cluster_domain,
            pod_cidr=pod_cidr,
            network=network,
            labels=options.labels,
        )
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(runtime.close)
        stack.push_async_callback(network.close)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [
            group.create_task(kubelet.run(), name=f"kubelet {options.name}"),
            group.create_task(_run_network_parts(options, config, kubelet), name=f"network of {options.name}"),
        ]
        try:
            yield kubelet
        finally:
            for task in tasks:
                task.cancel()


def _network_config(options: NodeOptions, pod_cidr: str) -> PodNetworkConfig:
    return PodNetworkConfig(
        cluster_id=options.cluster_id,
        node_name=options.name,
        pod_cidr=pod_cidr,
        cluster_cidr=options.network.cluster_cidr,
        service_cidr=options.network.service_cidr,
        cluster_dns=options.network.cluster_dns,
        load_balancer_cidr=options.network.load_balancer_cidr,
    )


async def dismantle_node(options: NodeOptions) -> None:
    """Remove what a node that runs no more has left on this machine: containers, network, rules and files."""
    config = _network_config(options, await register(options.client, options.name))
    await remove_node_pods(Owner(options.cluster_id, options.name), options.docker_host)
    await NetlinkNetwork(config).destroy()
    await _proxy_backend(options, config).destroy()
    await asyncio.to_thread(remove_node_files, options.data_dir)


def _proxy_backend(options: NodeOptions, config: PodNetworkConfig) -> ProxyBackend:
    backend_options = ProxyBackendOptions(options.cluster_id, options.name, host_names.bridge_name(config))
    return BACKENDS[choose_backend(backend_options)](backend_options)


async def register(client: Client, name: str) -> str:
    """Make the Node when it is not there, and wait for its pod range, which the node IPAM controller gives it."""
    await make_node(client, name)
    selection = Selection(field_selector=f"metadata.name={name}")
    while True:
        found = await client.list(NODES, selection)
        for node in found.items:
            if node.get("spec", {}).get("podCIDR"):
                return str(node["spec"]["podCIDR"])
        events = client.watch(NODES, selection, resource_version=found.resource_version)
        try:
            async for event in events:
                cidr = event.object.get("spec", {}).get("podCIDR")
                if cidr:
                    return str(cidr)
        except Expired:
            continue


async def _run_network_parts(options: NodeOptions, config: PodNetworkConfig, kubelet: Kubelet) -> None:
    """DNS on the bridge's own address, and the proxy that leads Service addresses to pods."""
    await kubelet.network_started.wait()
    gateway = str(ipaddress.ip_network(config.pod_cidr)[1])
    if options.on_gateway is not None:
        await options.on_gateway(gateway)
    informers = InformerSet(options.client)
    ranges = (options.network.service_cidr, options.network.cluster_cidr)
    zone = ClusterZone(
        ZoneConfig(options.network.cluster_domain, ranges, options.network.cluster_dns), InformerSources(informers)
    )
    dns = DnsServer(zone, Upstream((gateway, options.network.cluster_dns)))
    backend = _proxy_backend(options, config)
    async with dns.serve(gateway) as port, asyncio.TaskGroup() as group:
        view = NodeView(
            name=options.name,
            cluster_cidr=options.network.cluster_cidr,
            pod_cidr=config.pod_cidr,
            addresses=kubelet.status.addresses,
            dns_ip=options.network.cluster_dns,
            dns_endpoint=Endpoint(gateway, port, is_local=True),
            health_address=gateway,
        )
        group.create_task(informers.run(), name=f"informers of the proxy of {options.name}")
        group.create_task(ServiceProxy(informers, backend, view).run(), name=f"proxy of {options.name}")
