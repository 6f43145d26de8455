"""Runs a joined node: gets its identity with a join token once, then kubelet, proxy and DNS over one client."""

import asyncio
import logging
import os
import ssl
from urllib.parse import urlsplit

from minikube_py import clock, ids
from minikube_py.bootstrap.cluster_files import ClusterFiles, ServerRecord, process_start
from minikube_py.bootstrap.host_claims import HostClaims
from minikube_py.bootstrap.join import JoinToken, fetch_server_ca, parse_join_token
from minikube_py.bootstrap.node_identity import NodeIdentity, request_certificate
from minikube_py.client.http import HttpClient, HttpClientOptions
from minikube_py.client.tunnel import Tunnel
from minikube_py.client.tunnel_calls import NodeCalls
from minikube_py.config import AgentConfig, NetworkConfig
from minikube_py.host import needs_root
from minikube_py.kubelet.kubelet import Kubelet
from minikube_py.leftovers import remove_leftovers
from minikube_py.node import NodeOptions, running_node
from minikube_py.objects.errors import ApiError, Forbidden, Unauthorized

log = logging.getLogger(__name__)

CLUSTER_PATH = "/mkube/v1/cluster"
TUNNEL_PATH = "/mkube/v1/tunnel"
_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 0.5, 15.0
_RENEWAL_CHECK_SECONDS = 86_400.0


async def run_agent(config: AgentConfig) -> None:
    """Run the node until cancelled. Raises JoinError, OSError or ApiError with one sentence when it can't join."""
    problem = needs_root() if config.container_runtime == "docker" else ""
    if problem:
        raise RuntimeError(problem)
    files = ClusterFiles(config.data_dir)
    await asyncio.to_thread(files.make)
    if config.container_runtime == "docker":
        await remove_leftovers(HostClaims())
    identity = NodeIdentity(config.data_dir / "agent")
    if not identity.exists():
        await _join(config, identity)
    name = config.node_name or identity.node_name()
    async with HttpClient(_client_options(config.server, identity)) as client:
        settings = await _cluster_settings(client)
        options = NodeOptions(
            name=name,
            client=client,
            cluster_id=await asyncio.to_thread(files.cluster_id),
            data_dir=files.node_dir(name),
            docker_host=config.docker_host,
            network=NetworkConfig(**settings["network"]),
            volumes_dir=files.volumes_dir,
        )
        if config.container_runtime == "docker":
            HostClaims().hold(files, config.docker_host)
        files.write_record(_record(config, name))
        async with running_node(options) as kubelet, asyncio.TaskGroup() as group:
            print(f"mkube agent: node {name} has joined {config.server}", flush=True)
            group.create_task(_keep_tunnel(client, kubelet), name="tunnel")
            group.create_task(_keep_identity(client, identity, name), name="certificate renewal")


async def _join(config: AgentConfig, identity: NodeIdentity) -> None:
    """Pin the server by its CA's hash, then exchange the token for a certificate of this node's own."""
    token = parse_join_token(config.token)
    address = urlsplit(config.server)
    ca_pem = await fetch_server_ca(address.hostname or "", address.port or 443, token)
    identity.save_ca(ca_pem)
    async with HttpClient(_bootstrap_options(config.server, ca_pem, token)) as client:
        try:
            certificate, key = await request_certificate(client, config.name)
        except Unauthorized:
            raise RuntimeError(
                "the server does not know this join token: it has expired or was deleted; make a new one with "
                "`mkube token create`"
            ) from None
        except TimeoutError:
            raise RuntimeError("nobody has signed this node's certificate within a minute") from None
    identity.save(certificate, key)


def _bootstrap_options(server: str, ca_pem: bytes, token: JoinToken) -> HttpClientOptions:
    context = ssl.create_default_context(cadata=ca_pem.decode())
    context.check_hostname = False  # the CA is pinned by the token: an address may change, the authority not
    return HttpClientOptions(server, context, token=token.bearer, user_agent="mkube-agent")


def _client_options(server: str, identity: NodeIdentity) -> HttpClientOptions:
    context = ssl.create_default_context(cafile=str(identity.ca_file))
    context.check_hostname = False
    context.load_cert_chain(identity.certificate_file, identity.key_file)
    return HttpClientOptions(server, context, user_agent="mkube-agent")


async def _cluster_settings(client: HttpClient) -> dict[str, dict[str, str]]:
    """What the server says of the cluster; waits for a server that is away."""
    delay = _FIRST_RETRY_SECONDS
    while True:
        try:
            found: dict[str, dict[str, str]] = await client.raw("GET", CLUSTER_PATH)
            return found
        except (Unauthorized, Forbidden):
            raise
        except ApiError as error:
            log.warning("waiting for the server: %s", error.message)
        await asyncio.sleep(ids.jitter(delay, 0.2))
        delay = min(delay * 2, _LONGEST_RETRY_SECONDS)


async def _keep_tunnel(client: HttpClient, kubelet: Kubelet) -> None:
    """One connection for logs, exec, attach and port-forward, made again whenever it ends."""
    loop = asyncio.get_running_loop()
    delay = _FIRST_RETRY_SECONDS
    while True:
        began = loop.time()
        try:
            async with client.websocket(TUNNEL_PATH) as channel:
                await Tunnel(channel, NodeCalls(kubelet).answer).run()
        except (ApiError, OSError) as error:
            log.info("the tunnel has ended: %s", error)
        if loop.time() - began > _LONGEST_RETRY_SECONDS:
            delay = _FIRST_RETRY_SECONDS
        await asyncio.sleep(ids.jitter(delay, 0.2))
        delay = min(delay * 2, _LONGEST_RETRY_SECONDS)


async def _keep_identity(client: HttpClient, identity: NodeIdentity, name: str) -> None:
    """A new certificate when half of the old one's life is over; it is used from the next start on."""
    while True:
        begins, ends = await asyncio.to_thread(identity.validity)
        if clock.now() > begins + (ends - begins) / 2:
            try:
                identity.save(*await request_certificate(client, name))
            except (ApiError, TimeoutError) as error:
                log.warning("the node's certificate could not be renewed: %s", error)
        await asyncio.sleep(_RENEWAL_CHECK_SECONDS)


def _record(config: AgentConfig, name: str) -> ServerRecord:
    return ServerRecord(
        pid=os.getpid(),
        url=config.server,
        container_runtime=config.container_runtime,
        docker_host=config.docker_host,
        node_names=(name,),
        started=clock.seconds(),
        process_start=process_start(os.getpid()),
    )
