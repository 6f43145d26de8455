"""The cluster's names, as the DNS-based service discovery specification has them."""

import pytest

from minikube_py.dns.records import Answer, ClusterZone, Record, ZoneConfig, reverse_address
from tests.support.dns_sources import ListSources, endpoint, endpoint_slice, service

NXDOMAIN = Answer(code=3)
NO_DATA = Answer()
ZONE = ".cluster.local"


@pytest.fixture
def zone() -> ClusterZone:
    sources = ListSources(
        services=[
            service("web", clusterIP="10.43.0.20", clusterIPs=["10.43.0.20"]),
            service("db", clusterIP="None", clusterIPs=["None"]),
            service("empty", clusterIP="None"),
            service("out", type="ExternalName", externalName="example.com."),
            service("alias", type="ExternalName", externalName="web.default.svc.cluster.local"),
        ],
        slices=[
            endpoint_slice("web", endpoint("10.42.0.9")),
            endpoint_slice(
                "db",
                endpoint("10.42.0.5", hostname="db-0"),
                endpoint("10.42.0.6"),
                endpoint("10.42.0.7", hostname="db-2", ready=False),
            ),
        ],
        namespaces=("default", "bare"),
    )
    ranges = ("10.42.0.0/16", "10.43.0.0/16")
    return ClusterZone(ZoneConfig("cluster.local", ranges, "10.43.0.10"), sources)


def data(answer: Answer | None) -> list[str]:
    assert answer is not None
    assert answer.code == 0
    return [one.data for one in answer.records]


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("web.default.svc", "A", ["10.43.0.20"]),
        ("WEB.Default.SVC", "A", ["10.43.0.20"]),
        ("web.default.svc", "AAAA", []),
        ("web.default.svc", "TXT", []),
        ("db.default.svc", "A", ["10.42.0.5", "10.42.0.6"]),
        ("db-0.db.default.svc", "A", ["10.42.0.5"]),
        ("10-42-0-6.db.default.svc", "A", ["10.42.0.6"]),
        ("10-42-0-9.web.default.svc", "A", ["10.42.0.9"]),
        ("1-2-3-4.default.pod", "A", ["1.2.3.4"]),
        ("1-2-3-4.default.pod", "AAAA", []),
        ("fd00--5.default.pod", "AAAA", ["fd00::5"]),
        ("dns-version", "TXT", ["1.1.0"]),
        ("ns.dns", "A", ["10.43.0.10"]),
        ("svc", "A", []),
        ("default.svc", "A", []),
        ("pod", "A", []),
    ],
)
def test_names_that_exist(zone: ClusterZone, name: str, kind: str, expected: list[str]) -> None:
    assert data(zone.answer(name + ZONE, kind)) == expected


@pytest.mark.parametrize(
    "name",
    [
        "nothing.default.svc",
        "web.other.svc",
        "other.svc",
        "db-2.db.default.svc",
        "db-9.db.default.svc",
        "a.db-0.db.default.svc",
        "empty.default.svc",
        "x.out.default.svc",
        "_http._udp.web.default.svc",
        "_http.web.default.svc",
        "1-2-3-4.missing.pod",
        "no-address.default.pod",
        "web",
        "example.com",
    ],
)
def test_names_that_do_not_exist(zone: ClusterZone, name: str) -> None:
    assert zone.answer(name + ZONE, "A") == NXDOMAIN


def test_other_names_are_the_upstreams(zone: ClusterZone) -> None:
    assert zone.answer("example.com", "A") is None
    assert zone.answer("notcluster.local", "A") is None
    assert zone.answer("8.8.8.8.in-addr.arpa", "PTR") is None


def test_srv_of_a_cluster_ip_service_names_the_service(zone: ClusterZone) -> None:
    name = "_http._tcp.web.default.svc" + ZONE
    answer = zone.answer(name, "SRV")
    target = "web.default.svc" + ZONE
    assert answer == Answer(
        records=(Record(name, "SRV", target, 80, 0, 100),), extra=(Record(target, "A", "10.43.0.20"),)
    )
    assert zone.answer(name, "A") == NO_DATA


def test_srv_of_a_headless_service_names_each_ready_pod(zone: ClusterZone) -> None:
    answer = zone.answer("_http._tcp.db.default.svc" + ZONE, "SRV")
    assert answer is not None
    assert [(one.data, one.port) for one in answer.records] == [
        ("db-0.db.default.svc.cluster.local", 8080),
        ("10-42-0-6.db.default.svc.cluster.local", 8080),
    ]
    assert [one.data for one in answer.extra] == ["10.42.0.5", "10.42.0.6"]


@pytest.mark.parametrize(
    ("ip", "expected"),
    [
        ("10.43.0.20", ["web.default.svc.cluster.local"]),
        ("10.42.0.5", ["db-0.db.default.svc.cluster.local"]),
        ("10.42.0.6", ["10-42-0-6.db.default.svc.cluster.local"]),
    ],
)
def test_reverse_names(zone: ClusterZone, ip: str, expected: list[str]) -> None:
    name = ".".join(reversed(ip.split("."))) + ".in-addr.arpa"
    assert data(zone.answer(name, "PTR")) == expected


def test_unknown_addresses_of_our_ranges_are_not_asked_elsewhere(zone: ClusterZone) -> None:
    assert zone.answer("99.0.43.10.in-addr.arpa", "PTR") == NXDOMAIN
    assert zone.answer("7.0.42.10.in-addr.arpa", "PTR") == NXDOMAIN


def test_external_name_is_an_alias_to_follow(zone: ClusterZone) -> None:
    answer = zone.answer("out.default.svc" + ZONE, "A")
    assert answer is not None
    assert answer.target == "example.com"
    assert [(one.type, one.data) for one in answer.records] == [("CNAME", "example.com")]


def test_reverse_address_of_partial_names() -> None:
    assert reverse_address("42.10.in-addr.arpa") is None
    assert str(reverse_address("1." + "0." * 30 + "f.ip6.arpa")) == "f000::1"
