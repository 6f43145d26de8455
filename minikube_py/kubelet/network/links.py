"""Makes and removes network interfaces by netlink; everything here blocks for some milliseconds and runs in threads.

Failures are OSErrors. pyroute2's own socket per call: it is made in under a millisecond, and threads share nothing.
"""

import os
import socket
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minikube_py.kubelet.network.host_names import is_owned
from minikube_py.kubelet.runtimes.namespace_dial import in_network_namespace

_POD_INTERFACE = "eth0"
_LINK_SCOPE = 253
_FIRST_METRIC = 1000
_EEXIST, _ENODEV = 17, 19


@dataclass(frozen=True)
class NodeLinks:
    """A node's side: the pod bridge, and the device that the routes to Service addresses (routed) name."""

    bridge: str
    bridge_mac: str
    gateway: str
    prefix_length: int
    service_device: str
    routed: tuple[str, ...]
    alias: str


@dataclass(frozen=True)
class PodLink:
    """A pod's veth pair. process_id is the sandbox's, whose namespace gets the other end."""

    name: str
    bridge: str
    mtu: int
    process_id: int
    mac: str
    ip: str
    gateway: str


@contextmanager
def _netlink() -> Iterator[Any]:
    """A netlink socket of the current network namespace. Its errors become OSErrors."""
    from pyroute2 import IPRoute, NetlinkError  # noqa: PLC0415 (loaded lazily: 200 ms)

    try:
        with IPRoute() as network:
            yield network
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from error


@contextmanager
def _ignoring(*numbers: int) -> Iterator[None]:
    from pyroute2 import NetlinkError  # noqa: PLC0415 (loaded lazily: 200 ms)

    try:
        yield
    except NetlinkError as error:
        if error.code not in numbers:
            raise


def make_node_links(node: NodeLinks) -> int:
    """Safe to repeat. Returns the MTU that pods should have."""
    with _netlink() as network:
        mtu = _host_mtu(network)
        _make_bridge(network, node, mtu)
        _make_service_route(network, node)
    return mtu


def _host_mtu(network: Any) -> int:
    """The default route's: a smaller one on the way out would otherwise cost pods their large packets."""
    for route in network.get_default_routes(family=socket.AF_INET):
        index = route.get_attr("RTA_OIF")
        if index:
            return int(Path(f"/sys/class/net/{socket.if_indextoname(index)}/mtu").read_text())
    return 1500


def _make_bridge(network: Any, node: NodeLinks, mtu: int) -> None:
    if not interface_index(node.bridge):
        network.link("add", ifname=node.bridge, kind="bridge", address=node.bridge_mac)
    index = interface_index(node.bridge)
    network.link("set", index=index, mtu=mtu, state="up", ifalias=node.alias)
    with _ignoring(_EEXIST):
        network.addr("add", index=index, address=node.gateway, prefixlen=node.prefix_length)
    _set_sysctl("net/ipv4/ip_forward", "1")
    _set_sysctl(f"net/ipv4/conf/{node.bridge}/route_localnet", "1")
    _set_sysctl(f"net/ipv4/conf/{node.bridge}/send_redirects", "0")
    _set_sysctl(f"net/ipv6/conf/{node.bridge}/disable_ipv6", "1")


def _make_service_route(network: Any, node: NodeLinks) -> None:
    """A way out for Service addresses: processes of the host need one before the translation happens, also without
    a default route. Its own device (a bridge without ports, as not every kernel has dummies): packets that leave
    by the way they came make the kernel send redirects, which use up the ICMP budget that refusals need.
    """
    if not interface_index(node.service_device):
        network.link("add", ifname=node.service_device, kind="bridge")
    index = interface_index(node.service_device)
    network.link("set", index=index, state="up", ifalias=node.alias)
    _set_sysctl(f"net/ipv6/conf/{node.service_device}/disable_ipv6", "1")
    # Several nodes on one host have such routes each, told apart by the metric.
    metric = _FIRST_METRIC + zlib.crc32(node.bridge.encode()) % 30_000
    for destination in node.routed:
        with _ignoring(_EEXIST):
            network.route("add", dst=destination, oif=index, scope=_LINK_SCOPE, priority=metric)


def adopt_pod_links(bridge: str, names: Iterable[str]) -> None:
    """Plug the pods' veths that are there into the bridge, which may have been made anew. The others are left out."""
    with _netlink() as network:
        for index in filter(None, map(interface_index, names)):
            network.link("set", index=index, master=interface_index(bridge), state="up")


def make_pod_link(pod: PodLink) -> None:
    """Safe to repeat."""
    bridge = interface_index(pod.bridge)
    if not bridge:
        raise OSError(_ENODEV, f"the pod bridge {pod.bridge} is gone")
    with _netlink() as network:
        if interface_index(pod.name):
            network.link("set", index=interface_index(pod.name), master=bridge, state="up")
        else:
            network.link(
                "add",
                ifname=pod.name,
                kind="veth",
                mtu=pod.mtu,
                master=bridge,
                state="up",
                peer={
                    "ifname": _POD_INTERFACE,
                    "address": pod.mac,
                    "mtu": pod.mtu,
                    "net_ns_pid": pod.process_id,
                },
            )
    # With bridge netfilter a Service can lead a pod back to itself within the bridge, so out of its own port.
    _write_setting(f"/sys/class/net/{pod.name}/brport/hairpin_mode", "1")
    in_network_namespace(pod.process_id, lambda: _set_up_inside(pod))


def _set_up_inside(pod: PodLink) -> None:
    """In the pod's namespace."""
    with _netlink() as network:
        network.link("set", index=interface_index("lo"), state="up")
        index = interface_index(_POD_INTERFACE)
        if not index:
            raise OSError(_ENODEV, f"the pod has no interface {_POD_INTERFACE}")
        # Redirects would send pods of one node to each other directly, around the Service translation.
        _set_sysctl("net/ipv4/conf/all/accept_redirects", "0")
        _set_sysctl(f"net/ipv4/conf/{_POD_INTERFACE}/accept_redirects", "0")
        _set_sysctl(f"net/ipv6/conf/{_POD_INTERFACE}/disable_ipv6", "1")
        network.link("set", index=index, state="up")
        network.addr("replace", index=index, address=pod.ip, prefixlen=32)
        network.route("replace", dst=f"{pod.gateway}/32", oif=index, scope=_LINK_SCOPE)
        network.route("replace", dst="default", gateway=pod.gateway, oif=index)


def remove_link(name: str) -> None:
    """A missing one is fine: a veth goes away with the namespace of its other end."""
    index = interface_index(name)
    if not index:
        return
    with _netlink() as network, _ignoring(_ENODEV):
        network.link("del", index=index)


def remove_links_of(owner: str) -> None:
    """Delete the interfaces of a node or, by the owner prefix, of all nodes of a cluster, and every port of them."""
    for interface in Path("/sys/class/net").iterdir():
        alias = interface / "ifalias"
        if not alias.exists() or not is_owned(alias.read_text().rstrip("\n"), owner):
            continue
        ports = interface / "brif"
        for port in ports.iterdir() if ports.exists() else ():
            remove_link(port.name)
        remove_link(interface.name)


def interface_index(name: str) -> int:
    """0 when there is no such interface in the current network namespace."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def _set_sysctl(name: str, value: str) -> None:
    _write_setting(f"/proc/sys/{name}", value)


def _write_setting(path: str, value: str) -> None:
    if os.path.exists(path):
        with open(path, "r+", encoding="ascii") as file:
            # Some hosts mount it read-only with the right value already in it.
            if file.read().strip() == value:
                return
            file.seek(0)
            file.write(value)
