"""Hands out the addresses of a node's pod range: the first is the gateway, freed ones are used again last."""

import ipaddress
from collections import deque

from minikube_py.kubelet.runtimes.protocol import RuntimeFailure


class AddressPool:
    """Addresses of one IPv4 range; synchronous, so no two callers can get the same one."""

    def __init__(self, pod_cidr: str) -> None:
        self._network = ipaddress.IPv4Network(pod_cidr)
        self._first = int(self._network.network_address) + 2
        self._last = int(self._network.broadcast_address) - 1
        self._never_used = self._first
        self._freed: deque[str] = deque()
        self._held: dict[str, str] = {}

    @property
    def gateway(self) -> str:
        return str(self._network.network_address + 1)

    @property
    def prefix_length(self) -> int:
        return self._network.prefixlen

    def hold(self, ip: str, pod_uid: str = "") -> None:
        """Note an address that is in use already. Addresses outside the range are ignored."""
        if ipaddress.IPv4Address(ip) in self._network:
            self._held[ip] = pod_uid

    def reserve(self, pod_uid: str, wanted: str = "") -> str:
        """`wanted` if it is free or the pod's own, else what the pod holds, else the next. Raises RuntimeFailure."""
        if wanted and self._is_available(wanted, pod_uid):
            self._held[wanted] = pod_uid
            return wanted
        for ip, holder in self._held.items():
            if holder == pod_uid:
                return ip
        while self._never_used <= self._last:
            candidate = str(ipaddress.IPv4Address(self._never_used))
            self._never_used += 1
            if candidate not in self._held:
                self._held[candidate] = pod_uid
                return candidate
        while self._freed:
            candidate = self._freed.popleft()
            if candidate not in self._held:
                self._held[candidate] = pod_uid
                return candidate
        raise RuntimeFailure(
            "CreatePodSandboxError", f"no free pod address is left in this node's range {self._network}"
        )

    def _is_available(self, ip: str, pod_uid: str) -> bool:
        try:
            number = int(ipaddress.IPv4Address(ip))
        except ValueError:
            return False
        holder = self._held.get(ip)
        return self._first <= number <= self._last and holder in (None, "", pod_uid)

    def release(self, ip: str) -> None:
        if self._held.pop(ip, None) is not None:
            self._freed.append(ip)
