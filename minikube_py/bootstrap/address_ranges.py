"""Chooses the ranges of pod and Service addresses so that clusters, networks and VPNs of one machine don't collide."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from ipaddress import IPv4Network
from itertools import chain
from pathlib import Path

from minikube_py.bootstrap.private_files import write_private
from minikube_py.config import NetworkConfig

_ROUTES = Path("/proc/net/route")
_INTERFACES = Path("/sys/class/net")
# The usual ranges first, then what is left of 10/8 above them, then 172.16/12.
_FIRST = 42


@dataclass(frozen=True)
class Route:
    """A route of this machine, and the alias of its interface ('' for none)."""

    network: IPv4Network
    interface: str
    alias: str = ""


def host_routes() -> list[Route]:
    """The IPv4 routes but the default ones; none where the system has no /proc."""
    try:
        lines = _ROUTES.read_text().splitlines()[1:]
    except OSError:
        return []
    found = []
    for line in lines:
        interface, destination, *_, mask = line.split()[:8]
        prefix = int(mask, 16).bit_count()
        if prefix:
            address = int.from_bytes(bytes.fromhex(destination), "little")
            found.append(Route(IPv4Network((address, prefix)), interface, _alias(interface)))
    return found


def _alias(interface: str) -> str:
    try:
        return (_INTERFACES / interface / "ifalias").read_text().strip()
    except OSError:
        return ""


def clash(network: NetworkConfig, routes: Iterable[Route], own_alias: str) -> str:
    """Which foreign route overlaps the cluster's ranges, as part of a sentence, or ''.

    own_alias: what the aliases of this cluster's own interfaces begin with.
    """
    for text in filter(None, (network.cluster_cidr, network.service_cidr, network.load_balancer_cidr)):
        for route in routes:
            if not route.alias.startswith(own_alias) and route.network.overlaps(IPv4Network(text)):
                owner = ", of another mkube cluster" if route.alias.startswith("mkube ") else ""
                return f"{text} overlaps {route.network}, which this machine reaches by {route.interface}{owner}"
    return ""


def candidates(wanted: NetworkConfig) -> Iterator[NetworkConfig]:
    """The wanted ranges, then what to try instead: for pods, Services and load balancers, side by side."""
    yield wanted
    starts = chain(((10, second) for second in range(_FIRST, 253, 3)), ((172, second) for second in range(16, 30, 3)))
    for first, second in starts:
        service = f"{first}.{second + 1}"
        yield replace(
            wanted,
            cluster_cidr=f"{first}.{second}.0.0/16",
            service_cidr=f"{service}.0.0/16",
            cluster_dns=f"{service}.0.10",
            load_balancer_cidr=f"{first}.{second + 2}.0.0/24" if wanted.load_balancer_cidr else "",
        )


def choose(wanted: NetworkConfig, routes: Sequence[Route], own_alias: str) -> NetworkConfig:
    """The first ranges that are free. Raises RuntimeError when none are."""
    for network in candidates(wanted):
        if not clash(network, routes, own_alias):
            return network
    raise RuntimeError("every range for pod addresses overlaps a route of this machine: name two with --cluster-cidr")


def settle(
    wanted: NetworkConfig, routes: Sequence[Route], *, is_explicit: bool, file: Path, own_alias: str
) -> NetworkConfig:
    """The ranges to use: those the user named, else those of the last start, else free ones; they are remembered.

    Raises RuntimeError with one sentence when ranges that the user named are taken. Those of the last start are not
    looked at again: an agent of this cluster may use a part of them on this machine.
    """
    known = _read(file, wanted)
    if known is not None and (known == wanted or not is_explicit):
        return known
    if is_explicit:
        problem = clash(wanted, routes, own_alias)
        if problem:
            raise RuntimeError(f"{problem}: choose others with --cluster-cidr, --service-cidr and --cluster-dns")
        chosen = wanted
    else:
        chosen = choose(wanted, routes, own_alias)
    fields = asdict(chosen)
    write_private(file, json.dumps({key: fields[key] for key in _REMEMBERED}, indent=2).encode())
    return chosen


_REMEMBERED = ("cluster_cidr", "service_cidr", "cluster_dns", "load_balancer_cidr")


def _read(file: Path, wanted: NetworkConfig) -> NetworkConfig | None:
    """None when nothing is remembered, or nothing that can be used."""
    try:
        fields = json.loads(file.read_text())
        return replace(wanted, **{key: str(fields[key]) for key in _REMEMBERED})
    except (OSError, ValueError, KeyError, TypeError):
        return None
