"""The pod network for root on Linux: one bridge a node and a veth pair a pod, set up by netlink.

Pods have their address as a /32 and send everything through the bridge's own address. So replies of a pod on the same
node pass through the host too, where the Service translation can be undone, and no bridge netfilter module is needed.
"""

import asyncio
import ipaddress
from collections.abc import Mapping

from minikube_py.host_tools import ToolError, run_tool
from minikube_py.kubelet.network import host_names, links
from minikube_py.kubelet.network.address_pool import AddressPool
from minikube_py.kubelet.network.forward_rules import accept_forwarding, remove_forwarding
from minikube_py.kubelet.network.protocol import Attachment, PodNetworkConfig
from minikube_py.kubelet.runtimes.protocol import RuntimeFailure


class NetlinkNetwork:
    """Implements PodNetwork. Needs root and an engine in this machine's own namespaces.

    Netlink calls run in threads with a socket each: they take a few milliseconds, and any event loop will do.
    """

    def __init__(self, config: PodNetworkConfig) -> None:
        self._config = config
        self._pool = AddressPool(config.pod_cidr)
        self._bridge = host_names.bridge_name(config)
        self._mtu = 1500
        self._attached: dict[str, str] = {}

    async def start(self, in_use: Mapping[str, str]) -> None:
        for ip, sandbox_id in in_use.items():
            self._pool.hold(ip)
            self._attached[ip] = sandbox_id
        await self._set_up()

    async def _set_up(self) -> None:
        node = links.NodeLinks(
            bridge=self._bridge,
            bridge_mac=host_names.bridge_mac(self._config),
            gateway=self._pool.gateway,
            prefix_length=self._pool.prefix_length,
            service_device=host_names.service_device(self._config),
            routed=tuple(filter(None, (self._config.service_cidr, self._config.load_balancer_cidr))),
            alias=host_names.owner_text(self._config),
        )
        try:
            self._mtu = await asyncio.to_thread(links.make_node_links, node)
            veths = [host_names.veth_name(sandbox_id) for sandbox_id in self._attached.values()]
            await asyncio.to_thread(links.adopt_pod_links, self._bridge, veths)
            await run_tool(["nft", "-f", "-"], table_text(self._config))
            await accept_forwarding(self._bridge, host_names.owner_text(self._config))
        except (OSError, ToolError) as error:
            raise RuntimeFailure("NetworkNotReady", f"cannot set up the pod network: {error}") from error

    def sandbox_options(self, ip: str) -> dict[str, object]:
        return {"mode": "none", "is_disabled": True}

    async def reserve(self, pod_uid: str, wanted: str = "") -> str:
        return self._pool.reserve(pod_uid, wanted)

    async def attach(self, sandbox_id: str, process_id: int, ip: str) -> Attachment:
        if not links.interface_index(self._bridge):
            await self._set_up()  # somebody has removed it; the other pods want it back as well
        pod = links.PodLink(
            name=host_names.veth_name(sandbox_id),
            bridge=self._bridge,
            mtu=self._mtu,
            process_id=process_id,
            mac=host_names.pod_mac(ip),
            ip=ip,
            gateway=self._pool.gateway,
        )
        try:
            await asyncio.to_thread(links.make_pod_link, pod)
        except OSError as error:
            raise RuntimeFailure("CreatePodSandboxError", f"cannot attach the pod to its network: {error}") from error
        self._attached[ip] = sandbox_id
        return Attachment((ip,), self._pool.gateway)

    async def detach(self, sandbox_id: str, ip: str) -> None:
        if sandbox_id:
            await asyncio.to_thread(links.remove_link, host_names.veth_name(sandbox_id))
        # A newer sandbox of the pod may have taken the address over.
        if self._attached.get(ip, sandbox_id) == sandbox_id:
            self._attached.pop(ip, None)
            self._pool.release(ip)

    async def close(self) -> None:
        return None

    async def destroy(self) -> None:
        table = host_names.pods_table(self._config)
        await asyncio.to_thread(links.remove_links_of, host_names.owner_text(self._config))
        await run_tool(["nft", "-f", "-"], f"add table ip {table}\ndelete table ip {table}\n")
        await remove_forwarding(host_names.owner_text(self._config))


def table_text(config: PodNetworkConfig) -> str:
    """The pod network's own rules: masquerade what leaves the cluster, keep pods off the host's loopback."""
    table, bridge = host_names.pods_table(config), host_names.bridge_name(config)
    inside = ", ".join(_merged(*_inside(config)))
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


def _inside(config: PodNetworkConfig) -> tuple[str, ...]:
    return config.cluster_cidr, config.service_cidr, config.load_balancer_cidr, config.pod_cidr, "224.0.0.0/4"


def _merged(*ranges: str) -> list[str]:
    """Without overlaps, which nft refuses in a set."""
    networks = [ipaddress.IPv4Network(one) for one in ranges if one]
    return [str(one) for one in ipaddress.collapse_addresses(networks)]
