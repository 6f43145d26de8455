"""The proxy backends, and which one a node uses."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from minikube_py.host_tools import find_tool
from minikube_py.proxy.backends.fake import FakeBackend
from minikube_py.proxy.backends.nftables import NftablesBackend
from minikube_py.proxy.backends.protocol import ProxyBackend


@dataclass(frozen=True)
class ProxyBackendOptions:
    """own_bridge is the node's pod bridge, '' when the pod network is not netlink's."""

    cluster_id: str
    node_name: str
    own_bridge: str = ""


BACKENDS: dict[str, Callable[[ProxyBackendOptions], ProxyBackend]] = {
    "nftables": lambda options: NftablesBackend(options.cluster_id, options.node_name, options.own_bridge),
    "fake": lambda options: FakeBackend(),
}


def choose_backend(options: ProxyBackendOptions) -> str:
    """nftables for root on Linux with a bridge of our own and the nft tool; otherwise Services have no data path."""
    is_possible = sys.platform == "linux" and os.geteuid() == 0 and find_tool("nft") is not None
    return "nftables" if is_possible and options.own_bridge else "fake"
