"""What `mkube down` and `mkube delete` take away, and what they leave alone."""

import asyncio
import subprocess
import uuid

import docker

from minikube_py.kubelet.network.host_names import bridge_name, table_prefix
from minikube_py.kubelet.runtimes.docker_cleanup import remove_everything, remove_host_network, remove_pods
from minikube_py.kubelet.runtimes.pause_image import PAUSE_IMAGE
from minikube_py.proxy.backends.nftables import NftablesBackend
from minikube_py.proxy.backends.protocol import RuleSet
from tests.docker.node import Node, running_node


def _host_state() -> str:
    commands = (["nft", "list", "tables"], ["iptables", "-S"], ["ip", "-o", "link"], ["ip", "route"])
    return "\n".join(subprocess.run(one, capture_output=True, text=True, check=True).stdout for one in commands)


async def test_one_clusters_pods_go_and_anothers_stay(node: Node, docker_client: docker.APIClient) -> None:
    async with running_node(number=3) as other:
        mine, theirs = await node.run("exec sleep 1000"), await other.run("exec sleep 1000")
        stranger = await asyncio.to_thread(
            docker_client.create_container, "mkube-test/busybox:1", "sleep 1000", name=f"mkube_x_{uuid.uuid4().hex}"
        )
        try:
            assert await remove_pods(node.owner.cluster_id) == 2
            assert await node.runtime.pod_state(mine.ref.uid) is None
            assert await other.runtime.pod_state(theirs.ref.uid) is not None
            await asyncio.to_thread(docker_client.inspect_container, stranger["Id"])
            assert await remove_pods(node.owner.cluster_id) == 0
        finally:
            await asyncio.to_thread(docker_client.remove_container, stranger["Id"], force=True)


async def test_nothing_is_left_on_the_host(docker_client: docker.APIClient) -> None:
    cluster_id = uuid.uuid4().hex
    async with running_node(cluster_id, number=5) as node:
        await node.run("exec sleep 1000")
        backend = NftablesBackend(cluster_id, node.owner.node_name, bridge_name(node.config))
        await backend.apply(RuleSet())
        volume = f"mkube-test-{cluster_id[:8]}"
        labels = {"io.mkube.cluster": cluster_id, "io.mkube.kind": "volume"}
        await asyncio.to_thread(docker_client.create_volume, volume, labels=labels)
        before = await asyncio.to_thread(_host_state)
        assert bridge_name(node.config) in before
        assert table_prefix(cluster_id) in before
        await remove_everything(cluster_id)
        await remove_host_network(cluster_id)
        after = await asyncio.to_thread(_host_state)
        for trace in (bridge_name(node.config), table_prefix(cluster_id), cluster_id, "10.182.5."):
            assert trace not in after
        left = await asyncio.to_thread(docker_client.volumes, {"name": volume})
        assert not left["Volumes"]


async def test_the_pause_image_comes_back_when_it_was_removed(node: Node, docker_client: docker.APIClient) -> None:
    first = await node.sandbox()
    await node.runtime.remove_pod(first.pod.uid)
    # Another cluster on the engine may have containers of it, so only its name can be taken away.
    kept = f"mkube-test/kept:{uuid.uuid4().hex[:8]}"
    repository, _, tag = kept.partition(":")
    docker_client.tag(PAUSE_IMAGE, repository, tag)
    docker_client.remove_image(PAUSE_IMAGE)
    try:
        second = await node.sandbox()
    finally:
        docker_client.remove_image(kept)
    assert second.is_running
