"""The pod networks, and which one a node uses."""

import os
import sys
from collections.abc import Callable

from minikube_py.host_tools import find_tool
from minikube_py.kubelet.network.docker_network import DockerNetwork
from minikube_py.kubelet.network.fake import FakeNetwork
from minikube_py.kubelet.network.netlink import NetlinkNetwork
from minikube_py.kubelet.network.protocol import PodNetwork, PodNetworkConfig
from minikube_py.kubelet.runtimes.docker_engine import resolve_address

NETWORKS: dict[str, Callable[[PodNetworkConfig, str], PodNetwork]] = {
    "netlink": lambda config, docker_host: NetlinkNetwork(config),
    "docker": DockerNetwork,
    "fake": lambda config, docker_host: FakeNetwork(config),
}


def choose_network(docker_host: str = "") -> str:
    """netlink for root on Linux with an engine on this machine and nft; else a Docker network.

    Reads files: call it in a thread. Raises RuntimeFailure when no engine is found.
    """
    is_possible = sys.platform == "linux" and os.geteuid() == 0 and find_tool("nft") is not None
    return "netlink" if is_possible and resolve_address(docker_host).is_local_engine else "docker"
