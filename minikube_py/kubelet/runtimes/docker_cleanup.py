"""Takes mkube's things out of Docker and off the host, for `mkube down` and `delete`; nothing of anyone else's."""

import asyncio
from functools import partial
from typing import Any

from minikube_py.host_tools import ToolError, run_tool
from minikube_py.kubelet.network import host_names
from minikube_py.kubelet.network.forward_rules import remove_forwarding
from minikube_py.kubelet.network.links import remove_links_of
from minikube_py.kubelet.runtimes import docker_labels as label
from minikube_py.kubelet.runtimes.docker_engine import DockerEngine, EngineError
from minikube_py.kubelet.runtimes.docker_launch import remove_container
from minikube_py.kubelet.runtimes.protocol import RuntimeFailure


async def remove_pods(cluster_id: str, docker_host: str = "") -> int:
    """Kill and remove every container of the cluster, of all nodes on this engine; how many there were.

    Containers that somebody else made are left alone whatever they are called: only labels count.
    """
    return await _remove_pods([f"{label.CLUSTER}={cluster_id}"], docker_host)


async def remove_node_pods(owner: label.Owner, docker_host: str = "") -> int:
    """The same for one node."""
    return await _remove_pods(owner.filters(), docker_host)


async def _remove_pods(labels: list[str], docker_host: str) -> int:
    engine = DockerEngine(docker_host)
    try:
        return await _remove_containers(engine, labels)
    except EngineError as error:
        raise RuntimeFailure("RuntimeUnavailable", error.message) from error
    finally:
        await engine.close()


async def remove_everything(cluster_id: str, docker_host: str = "") -> None:
    """Containers, volumes, networks and unused images with mkube's labels. Raises RuntimeFailure."""
    engine = DockerEngine(docker_host)
    try:
        await _remove_containers(engine, [f"{label.CLUSTER}={cluster_id}"])
        await engine.lifecycle(lambda client: _remove_volumes_and_networks(client, cluster_id))
        await engine.lifecycle(_remove_images)
    except EngineError as error:
        raise RuntimeFailure("RuntimeUnavailable", error.message) from error
    finally:
        await engine.close()


async def remove_host_network(cluster_id: str) -> None:
    """Bridges, veths, service routes, nftables tables and forward rules of all the cluster's nodes on this host.

    Needs root; does nothing where there is nothing. The pods must be gone.
    """
    owner = host_names.owner_prefix(cluster_id)
    await asyncio.to_thread(remove_links_of, owner)
    await _remove_tables(host_names.table_prefix(cluster_id))
    await remove_forwarding(owner)


async def _remove_tables(prefix: str) -> None:
    try:
        listing = await run_tool(["nft", "list", "tables"])
    except ToolError:
        return  # without nft there were never any
    words = [line.split() for line in listing.splitlines()]
    doomed = [one[2] for one in words if len(one) == 3 and one[1] == "ip" and one[2].startswith(prefix)]
    if doomed:
        await run_tool(["nft", "-f", "-"], "".join(f"delete table ip {name}\n" for name in doomed))


async def _remove_containers(engine: DockerEngine, labels: list[str]) -> int:
    filters = {"label": labels}
    listed = await engine.lifecycle(lambda client: client.containers(all=True, filters=filters))
    # Containers before the sandboxes whose namespaces they use.
    for is_sandbox in (False, True):
        doomed = [one["Id"] for one in listed if (one["Labels"][label.KIND] == label.KIND_SANDBOX) == is_sandbox]
        await asyncio.gather(*(engine.lifecycle(partial(remove_container, container_id=one)) for one in doomed))
    return len(listed)


def _remove_volumes_and_networks(client: Any, cluster_id: str) -> None:
    filters = {"label": f"{label.CLUSTER}={cluster_id}"}
    for volume in client.volumes(filters=filters)["Volumes"] or ():
        client.remove_volume(volume["Name"], force=True)
    for network in client.networks(filters=filters):
        client.remove_network(network["Id"])


def _remove_images(client: Any) -> None:
    """The pause image is shared by all clusters on an engine: it stays while another one has a container of it."""
    from docker.errors import APIError  # noqa: PLC0415 (docker is loaded lazily)

    for image in client.images(filters={"label": f"{label.KIND}={label.KIND_IMAGE}"}):
        try:
            client.remove_image(image["Id"])
        except APIError as error:
            if error.response is None or error.response.status_code not in (404, 409):
                raise
