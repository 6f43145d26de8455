"""Reads, for the allocation of Service addresses, which ranges were added and which addresses are somebody else's.

Source: KEP-1880 (multiple Service CIDRs).
"""

from collections.abc import Iterator

from minikube_py.apiserver.records import StoreReader
from minikube_py.objects.conditions import is_true
from minikube_py.resources.kind import GVR

SERVICE_CIDRS = GVR("networking.k8s.io", "v1", "servicecidrs")
IP_ADDRESSES = GVR("networking.k8s.io", "v1", "ipaddresses")
MANAGED_BY, MANAGER = "ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io"


class ServiceRanges:
    def __init__(self, reader: StoreReader) -> None:
        self._reader = reader

    def ready(self) -> Iterator[str]:
        """The ranges of all ServiceCIDRs that are ready and not on their way out."""
        for one in self._reader.list(SERVICE_CIDRS):
            if not one["metadata"].get("deletionTimestamp") and is_true(
                (one.get("status") or {}).get("conditions"), "Ready"
            ):
                yield from one["spec"].get("cidrs") or ()

    def is_reserved(self, address: str) -> bool:
        """Whether a user has made an IPAddress object of the address."""
        found = self._reader.get(IP_ADDRESSES, address)
        return found is not None and (found["metadata"].get("labels") or {}).get(MANAGED_BY) != MANAGER
