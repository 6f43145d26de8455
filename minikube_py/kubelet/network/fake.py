"""A pod network that only hands out addresses; for the fake runtime and for tests."""

from collections.abc import Mapping

from minikube_py.kubelet.network.address_pool import AddressPool
from minikube_py.kubelet.network.protocol import Attachment, PodNetworkConfig


class FakeNetwork:
    """Implements PodNetwork without touching the host. `attached` maps sandbox ids to addresses."""

    def __init__(self, config: PodNetworkConfig) -> None:
        self._pool = AddressPool(config.pod_cidr)
        self.attached: dict[str, str] = {}

    async def start(self, in_use: Mapping[str, str]) -> None:
        for ip, sandbox_id in in_use.items():
            self._pool.hold(ip)
            self.attached[sandbox_id] = ip

    def sandbox_options(self, ip: str) -> dict[str, object]:
        return {"mode": "none", "is_disabled": True}

    async def reserve(self, pod_uid: str, wanted: str = "") -> str:
        return self._pool.reserve(pod_uid, wanted)

    async def attach(self, sandbox_id: str, process_id: int, ip: str) -> Attachment:
        self.attached[sandbox_id] = ip
        return Attachment((ip,), self._pool.gateway)

    async def detach(self, sandbox_id: str, ip: str) -> None:
        self.attached.pop(sandbox_id, None)
        # A newer sandbox of the pod may have taken the address over.
        if ip not in self.attached.values():
            self._pool.release(ip)

    async def close(self) -> None:
        return None

    async def destroy(self) -> None:
        self.attached.clear()
