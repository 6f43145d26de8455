"""Which address ranges a cluster takes beside what a machine already has."""

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from minikube_py.bootstrap.address_ranges import Route, choose, clash, settle
from minikube_py.config import NetworkConfig

OWN = "mkube own-cluster "


def route(text: str, interface: str = "eth0", alias: str = "") -> Route:
    return Route(IPv4Network(text), interface, alias)


@pytest.mark.parametrize(
    ("routes", "cluster", "service", "dns"),
    [
        ([], "10.42.0.0/16", "10.43.0.0/16", "10.43.0.10"),
        ([route("192.168.0.0/24")], "10.42.0.0/16", "10.43.0.0/16", "10.43.0.10"),
        ([route("10.42.0.0/24", "mkube-1", "mkube own-cluster node")], "10.42.0.0/16", "10.43.0.0/16", "10.43.0.10"),
        ([route("10.42.0.0/24", "mkube-2", "mkube other node")], "10.45.0.0/16", "10.46.0.0/16", "10.46.0.10"),
        ([route("10.44.0.128/25")], "10.45.0.0/16", "10.46.0.0/16", "10.46.0.10"),
        ([route("10.43.7.0/24"), route("10.46.0.0/16")], "10.48.0.0/16", "10.49.0.0/16", "10.49.0.10"),
        ([route("10.0.0.0/8", "vpn")], "172.16.0.0/16", "172.17.0.0/16", "172.17.0.10"),
        ([route("10.0.0.0/8", "vpn"), route("172.17.0.0/16")], "172.19.0.0/16", "172.20.0.0/16", "172.20.0.10"),
    ],
)
def test_the_first_free_ranges_are_taken(routes: list[Route], cluster: str, service: str, dns: str) -> None:
    chosen = choose(NetworkConfig(), routes, OWN)
    assert (chosen.cluster_cidr, chosen.service_cidr, chosen.cluster_dns) == (cluster, service, dns)


def test_a_machine_without_a_free_range_is_told_so() -> None:
    with pytest.raises(RuntimeError, match="--cluster-cidr"):
        choose(NetworkConfig(), [route("10.0.0.0/8"), route("172.16.0.0/12")], OWN)


def test_a_clash_names_the_route() -> None:
    found = clash(NetworkConfig(), [route("10.43.1.0/24", "mkube-2", "mkube other node")], OWN)
    text = "10.43.0.0/16 overlaps 10.43.1.0/24, which this machine reaches by mkube-2, of another mkube cluster"
    assert found == text


def test_ranges_are_remembered_and_named_ones_are_checked(tmp_path: Path) -> None:
    taken = [route("10.42.0.0/24", "mkube-2", "mkube other node")]
    file, wanted = tmp_path / "ranges.json", NetworkConfig(cluster_domain="example.org")
    chosen = settle(wanted, taken, is_explicit=False, file=file, own_alias=OWN)
    assert (chosen.cluster_cidr, chosen.cluster_domain) == ("10.45.0.0/16", "example.org")
    assert settle(wanted, [], is_explicit=False, file=file, own_alias=OWN) == chosen
    with pytest.raises(RuntimeError, match=r"10\.42\.0\.0/16 overlaps .* choose others with --cluster-cidr"):
        settle(wanted, taken, is_explicit=True, file=file, own_alias=OWN)
    file.write_text("{}")
    assert settle(wanted, taken, is_explicit=False, file=file, own_alias=OWN).cluster_cidr == "10.45.0.0/16"


def test_ranges_that_were_taken_once_stay_the_clusters(tmp_path: Path) -> None:
    file, wanted = tmp_path / "ranges.json", NetworkConfig()
    assert settle(wanted, [], is_explicit=True, file=file, own_alias=OWN) == wanted
    agents = [route("10.42.1.0/24", "mkube-2", "mkube agent node")]
    assert settle(wanted, agents, is_explicit=True, file=file, own_alias=OWN) == wanted
    assert settle(NetworkConfig(), agents, is_explicit=False, file=file, own_alias=OWN) == wanted
