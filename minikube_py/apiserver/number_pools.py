"""Hands out numbers and addresses that only one object may have: node ports and cluster IPs."""

import ipaddress

from minikube_py import ids

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Taken(ValueError):
    """The value belongs to somebody else; the text is Kubernetes'."""


class Full(Exception):
    """Nothing is left."""


class NumberPool:
    """Numbers from `first` to `last`. Those that the server picks come from the upper part as long as it has any left,
    so that users who choose their own find the lower part free."""

    def __init__(self, first: int, last: int, *, lower_part: int) -> None:
        self.first = first
        self.last = last
        self._upper = min(first + lower_part, last)
        self._taken: set[int] = set()

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last

    def is_taken(self, number: int) -> bool:
        return number in self._taken

    def take(self, number: int) -> None:
        self._taken.add(number)

    def release(self, number: int) -> None:
        self._taken.discard(number)

    def pick(self) -> int:
        """Takes a free number. Raises Full."""
        for low, high in ((self._upper, self.last), (self.first, self._upper - 1)):
            size = high - low + 1
            if size <= 0:
                continue
            start = ids.pick(size)
            for step in range(size):
                number = low + (start + step) % size
                if number not in self._taken:
                    self._taken.add(number)
                    return number
        raise Full("range is full")


class PortPool(NumberPool):
    """Node ports."""

    def __init__(self, first: int = 30000, last: int = 32767) -> None:
        size = last - first + 1
        super().__init__(first, last, lower_part=min(max(16, size // 32), 128) if size > 16 else 0)

    def claim(self, port: int) -> None:
        """Takes a port that a user chose. Raises Taken."""
        if port not in self:
            raise Taken(
                f"provided port is not in the valid range. The range of valid ports is {self.first}-{self.last}"
            )
        if self.is_taken(port):
            raise Taken("provided port is already allocated")
        self.take(port)


class AddressPool:
    """Addresses of one network, without the network's own and, for IPv4, the broadcast address."""

    def __init__(self, cidr: str) -> None:
        self.network: Network = ipaddress.ip_network(cidr)
        self.family = f"IPv{self.network.version}"
        base = int(self.network.network_address)
        size = self.network.num_addresses
        last = base + size - (2 if self.network.version == 4 and size > 2 else 1)
        self._numbers = NumberPool(base + 1, last, lower_part=min(max(16, size // 16), 256) if size > 16 else 0)

    def __contains__(self, address: str) -> bool:
        parsed = ipaddress.ip_address(address)
        return parsed.version == self.network.version and int(parsed) in self._numbers

    def pick(self) -> str:
        """Takes a free address. Raises Full."""
        return str(self.network.network_address + (self._numbers.pick() - int(self.network.network_address)))

    def claim(self, address: str) -> None:
        """Takes an address that a user chose. Raises Taken."""
        number = int(ipaddress.ip_address(address))
        if ipaddress.ip_address(address).version != self.network.version or number not in self._numbers:
            raise Taken(
                f"the provided IP ({address}) is not in the valid range. The range of valid IPs is {self.network}"
            )
        if self._numbers.is_taken(number):
            raise Taken("provided IP is already allocated")
        self._numbers.take(number)

    def take(self, address: str) -> None:
        self._numbers.take(int(ipaddress.ip_address(address)))

    def release(self, address: str) -> None:
        self._numbers.release(int(ipaddress.ip_address(address)))
