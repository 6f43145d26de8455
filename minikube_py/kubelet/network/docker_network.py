"""The pod network without root: one Docker network per cluster, with addresses that mkube assigns.

All nodes on one engine share the network (the cluster's whole range), as Docker isolates its networks from each other.
Services have no data path of their own here; host ports are published by Docker.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any

from minikube_py.kubelet.network import host_names
from minikube_py.kubelet.network.address_pool import AddressPool
from minikube_py.kubelet.network.protocol import Attachment, PodNetworkConfig
from minikube_py.kubelet.runtimes import docker_labels as label
from minikube_py.kubelet.runtimes.docker_engine import DockerEngine, EngineError
from minikube_py.kubelet.runtimes.protocol import RuntimeFailure


class DockerNetwork:
    """Implements PodNetwork on any engine, also one in a virtual machine (Docker Desktop)."""

    def __init__(self, config: PodNetworkConfig, docker_host: str = "") -> None:
        self._config = config
        self._engine = DockerEngine(docker_host, threads=1)
        self._pool = AddressPool(config.pod_cidr)
        self._name = f"{host_names.table_prefix(config.cluster_id)}pods"
        self._gateway = str(ipaddress.IPv4Network(config.cluster_cidr)[1])
        self._attached: dict[str, str] = {}

    async def start(self, in_use: Mapping[str, str]) -> None:
        # The first node's range begins with the network's own gateway; no pod of any node may get it.
        self._pool.hold(self._gateway)
        for ip, sandbox_id in in_use.items():
            self._pool.hold(ip)
            self._attached[ip] = sandbox_id
        try:
            await self._engine.lifecycle(self._ensure)
        except EngineError as error:
            raise RuntimeFailure("NetworkNotReady", f"cannot make the pod network: {error.message}") from error

    def _ensure(self, client: Any) -> None:
        if client.networks(names=[f"^{self._name}$"]):
            return
        labels = {label.CLUSTER: self._config.cluster_id, label.KIND: label.KIND_NETWORK}
        pool = {"Subnet": self._config.cluster_cidr, "Gateway": self._gateway}
        client.create_network(
            self._name,
            driver="bridge",
            ipam={"Driver": "default", "Config": [pool]},
            labels=labels,
            check_duplicate=True,
        )

    def sandbox_options(self, ip: str) -> dict[str, object]:
        return {
            "mode": self._name,
            "endpoint": {"IPAMConfig": {"IPv4Address": ip}},
            "publishes_ports": True,
        }

    async def reserve(self, pod_uid: str, wanted: str = "") -> str:
        return self._pool.reserve(pod_uid, wanted)

    async def attach(self, sandbox_id: str, process_id: int, ip: str) -> Attachment:
        self._attached[ip] = sandbox_id
        return Attachment((ip,), self._gateway)

    async def detach(self, sandbox_id: str, ip: str) -> None:
        # Docker lets go of the address when the sandbox stops. A newer sandbox may have taken it over.
        if self._attached.get(ip, sandbox_id) == sandbox_id:
            self._attached.pop(ip, None)
            self._pool.release(ip)

    async def close(self) -> None:
        await self._engine.close()

    async def destroy(self) -> None:
        """Other nodes of the cluster may still use the network; Docker refuses to remove it then."""
        try:
            await self._engine.lifecycle(lambda client: client.remove_network(self._name))
        except EngineError as error:
            if error.status not in (403, 404):
                raise RuntimeFailure("NetworkNotReady", error.message) from error
