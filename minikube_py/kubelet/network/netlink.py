"""The pod network for root on Linux: one bridge a node and a veth pair a pod, set up by netlink.

Pods have their address as a /32 and send everything through the bridge's own address. So replies of a pod on the same
node pass through the host too, where the Service translation can be undone, and no bridge netfilter module is needed.
"""

import asyncio
import ipaddress
import os
import socket
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minikube_py.host_tools import ToolError, run_tool
from minikube_py.kubelet.network import host_names
from minikube_py.kubelet.network.address_pool import AddressPool
from minikube_py.kubelet.network.forward_rules import accept_forwarding, remove_forwarding
from minikube_py.kubelet.network.protocol import Attachment, PodNetworkConfig
from minikube_py.kubelet.runtimes.namespace_dial import in_network_namespace
from minikube_py.kubelet.runtimes.protocol import RuntimeFailure

_POD_INTERFACE = "eth0"
_LINK_SCOPE = 253
_FIRST_METRIC = 1000


class NetlinkNetwork:
    """Implements PodNetwork. Needs root and an engine in this machine's own namespaces."""

    def __init__(self, config: PodNetworkConfig) -> None:
        self._config = config
        self._pool = AddressPool(config.pod_cidr)
        self._bridge = host_names.bridge_name(config)
        self._mtu = 1500
        self._attached: dict[str, str] = {}
        self._netlink: Any = None

    async def start(self, in_use: Mapping[str, str]) -> None:
        from pyroute2 import AsyncIPRoute  # noqa: PLC0415 (loaded lazily: 200 ms)

        for ip, sandbox_id in in_use.items():
            self._pool.hold(ip)
            self._attached[ip] = sandbox_id
        if self._netlink is None:
            self._netlink = AsyncIPRoute()
        try:
            self._mtu = await self._host_mtu()
            await self._make_bridge()
            await self._make_service_route()
            await run_tool(["nft", "-f", "-"], table_text(self._config))
            await accept_forwarding(self._bridge, host_names.owner_text(self._config))
        except (OSError, ToolError) as error:
            raise RuntimeFailure("NetworkNotReady", f"cannot set up the pod network: {error}") from error

    async def _host_mtu(self) -> int:
        """The default route's: a smaller one on the way out would otherwise cost pods their large packets."""
        async for route in await self._netlink.get_default_routes(family=socket.AF_INET):
            index = route.get_attr("RTA_OIF")
            if index:
                return _interface_mtu(index)
        return 1500

    async def _make_bridge(self) -> None:
        network = self._netlink
        index = interface_index(self._bridge)
        if not index:
            await network.link("add", ifname=self._bridge, kind="bridge", address=host_names.bridge_mac(self._config))
            index = interface_index(self._bridge)
        await network.link("set", index=index, mtu=self._mtu, state="up", ifalias=host_names.owner_text(self._config))
        await _unless_there(
            network.addr("add", index=index, address=self._pool.gateway, prefixlen=self._pool.prefix_length)
        )
        _set_sysctl("net/ipv4/ip_forward", "1")
        _set_sysctl(f"net/ipv4/conf/{self._bridge}/route_localnet", "1")
        _set_sysctl(f"net/ipv4/conf/{self._bridge}/send_redirects", "0")
        _set_sysctl(f"net/ipv6/conf/{self._bridge}/disable_ipv6", "1")

    async def _make_service_route(self) -> None:
        """A way out for Service addresses: processes of the host need one before the translation happens, also without
        a default route. Its own device (a bridge without ports, as not every kernel has dummies): packets that leave
        by the way they came make the kernel send redirects, which use up the ICMP budget that refusals need.
        """
        network, name = self._netlink, host_names.service_device(self._config)
        if not interface_index(name):
            await network.link("add", ifname=name, kind="bridge")
        index = interface_index(name)
        await network.link("set", index=index, state="up", ifalias=host_names.owner_text(self._config))
        # Several nodes on one host have one such route each, told apart by the metric.
        metric = _FIRST_METRIC + zlib.crc32(self._bridge.encode()) % 30_000
        await _unless_there(
            network.route("add", dst=self._config.service_cidr, oif=index, scope=_LINK_SCOPE, priority=metric)
        )

    def sandbox_options(self, ip: str) -> dict[str, object]:
        return {"mode": "none", "is_disabled": True}

    async def reserve(self, pod_uid: str, wanted: str = "") -> str:
        return self._pool.reserve(pod_uid, wanted)

    async def attach(self, sandbox_id: str, process_id: int, ip: str) -> Attachment:
        name = host_names.veth_name(sandbox_id)
        try:
            if not interface_index(name):
                await self._netlink.link(
                    "add",
                    ifname=name,
                    kind="veth",
                    mtu=self._mtu,
                    master=interface_index(self._bridge),
                    state="up",
                    peer={
                        "ifname": _POD_INTERFACE,
                        "address": host_names.pod_mac(ip),
                        "mtu": self._mtu,
                        "net_ns_pid": process_id,
                    },
                )
            # With bridge netfilter a Service can lead a pod back to itself within the bridge, so out of its own port.
            _write_setting(f"/sys/class/net/{name}/brport/hairpin_mode", "1")
            await asyncio.to_thread(in_network_namespace, process_id, lambda: _set_up_pod(ip, self._pool.gateway))
        except Exception as error:
            if not isinstance(error, OSError) and not is_netlink_error(error):
                raise
            raise RuntimeFailure("CreatePodSandboxError", f"cannot attach the pod to its network: {error}") from error
        self._attached[ip] = sandbox_id
        return Attachment((ip,), self._pool.gateway)

    async def detach(self, sandbox_id: str, ip: str) -> None:
        if sandbox_id:
            await self._delete_link(host_names.veth_name(sandbox_id))
        # A newer sandbox of the pod may have taken the address over.
        if self._attached.get(ip, sandbox_id) == sandbox_id:
            self._attached.pop(ip, None)
            self._pool.release(ip)

    async def _delete_link(self, name: str) -> None:
        index = interface_index(name)
        if not index:
            return
        try:
            await self._netlink.link("del", index=index)
        except Exception as error:
            if not is_netlink_error(error):
                raise
            # It went away with the sandbox's namespace in the meantime.

    async def close(self) -> None:
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None

    async def destroy(self) -> None:
        await remove_node_network(host_names.owner_text(self._config), host_names.pods_table(self._config))


def table_text(config: PodNetworkConfig) -> str:
    """The pod network's own rules: masquerade what leaves the cluster, keep pods off the host's loopback."""
    table, bridge = host_names.pods_table(config), host_names.bridge_name(config)
    inside = ", ".join(_merged(config.cluster_cidr, config.service_cidr, config.pod_cidr, "224.0.0.0/4"))
    return f"""
add table ip {table}
delete table ip {table}
table ip {table} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {config.pod_cidr} ip daddr != {{ {inside} }} masquerade
  }}
  chain guard {{
    type filter hook prerouting priority raw; policy accept;
    iifname "{bridge}" ip daddr 127.0.0.0/8 drop
  }}
}}
"""


def _merged(*ranges: str) -> list[str]:
    """Without overlaps, which nft refuses in a set."""
    networks = [ipaddress.IPv4Network(one) for one in ranges if one]
    return [str(one) for one in ipaddress.collapse_addresses(networks)]


async def remove_node_network(owner: str, table: str) -> None:
    """Remove bridges (with their veths) whose alias begins with `owner`, the table and the forward rules."""
    await asyncio.to_thread(remove_interfaces, owner)
    try:
        await run_tool(["nft", "-f", "-"], f"add table ip {table}\ndelete table ip {table}\n")
    except ToolError:
        return  # without nft there was never a table
    await remove_forwarding(owner)


def remove_interfaces(alias_prefix: str) -> None:
    """Delete the interfaces whose alias begins with the prefix, and every port of them. Blocks."""
    from pyroute2 import IPRoute  # noqa: PLC0415 (loaded lazily: 200 ms)

    with IPRoute() as network:
        for bridge in Path("/sys/class/net").iterdir():
            alias = bridge / "ifalias"
            if not alias.exists() or not alias.read_text().startswith(alias_prefix):
                continue
            ports = bridge / "brif"
            for port in ports.iterdir() if ports.exists() else ():
                network.link("del", index=interface_index(port.name))
            network.link("del", index=interface_index(bridge.name))


def _set_up_pod(ip: str, gateway: str) -> None:
    """Inside the pod's namespace, in a thread of its own. Safe to repeat."""
    from pyroute2 import IPRoute  # noqa: PLC0415 (loaded lazily: 200 ms)

    with IPRoute() as network:
        network.link("set", index=interface_index("lo"), state="up")
        index = interface_index(_POD_INTERFACE)
        if not index:
            raise OSError(f"the pod has no interface {_POD_INTERFACE}")
        # Redirects would send pods of one node to each other directly, around the Service translation.
        _set_sysctl("net/ipv4/conf/all/accept_redirects", "0")
        _set_sysctl(f"net/ipv4/conf/{_POD_INTERFACE}/accept_redirects", "0")
        _set_sysctl(f"net/ipv6/conf/{_POD_INTERFACE}/disable_ipv6", "1")
        network.link("set", index=index, state="up")
        network.addr("replace", index=index, address=ip, prefixlen=32)
        network.route("replace", dst=f"{gateway}/32", oif=index, scope=_LINK_SCOPE)
        network.route("replace", dst="default", gateway=gateway, oif=index)


def interface_index(name: str) -> int:
    """0 when there is no such interface in the current network namespace."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def _interface_mtu(index: int) -> int:
    return int(Path(f"/sys/class/net/{socket.if_indextoname(index)}/mtu").read_text())


def is_netlink_error(error: Exception) -> bool:
    from pyroute2 import NetlinkError  # noqa: PLC0415 (loaded lazily: 200 ms)

    return isinstance(error, NetlinkError)


async def _unless_there(request: Any) -> None:
    try:
        await request
    except Exception as error:
        if not is_netlink_error(error) or getattr(error, "code", 0) != 17:  # EEXIST
            raise


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
