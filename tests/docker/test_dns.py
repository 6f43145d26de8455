"""Cluster DNS as a container sees it: through the Service address, over its resolv.conf."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from dnslib import RR, A, DNSRecord
from dnslib.server import BaseResolver, DNSServer

from minikube_py.dns.records import ClusterZone, ZoneConfig
from minikube_py.dns.server import DnsServer
from minikube_py.dns.upstream import Upstream
from minikube_py.kubelet.network.host_names import bridge_name
from minikube_py.kubelet.runtimes.protocol import Mount
from minikube_py.proxy.backends.nftables import NftablesBackend
from minikube_py.proxy.backends.protocol import Endpoint
from minikube_py.proxy.rules import NodeView, build_rules
from tests.docker.node import CLUSTER_CIDR, CLUSTER_DNS, SERVICE_CIDR, Node, Pod
from tests.support.dns_sources import ListSources, endpoint, endpoint_slice, service


class OneName(BaseResolver):
    """The outside world: example.test, with an answer that is too large for UDP at big.example.test."""

    def resolve(self, request: DNSRecord, handler: object) -> DNSRecord:
        reply = request.reply()
        name = str(request.q.qname)
        if name == "example.test.":
            reply.add_answer(RR(name, rdata=A("192.0.2.77"), ttl=60))
        elif name == "big.example.test.":
            for number in range(1, 100):
                reply.add_answer(RR(name, rdata=A(f"192.0.2.{number}"), ttl=60))
        else:
            reply.header.rcode = 3
        return reply


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Upstream]:
    servers = [DNSServer(OneName(), address="127.0.0.1", port=5399, tcp=tcp) for tcp in (False, True)]
    for server in servers:
        server.start_thread()
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    yield Upstream(resolv_conf=tmp_path / "resolv.conf", port=5399)
    for server in servers:
        server.stop()
        server.server.server_close()


@pytest.fixture
async def client(node: Node, outside: Upstream, tmp_path: Path) -> AsyncIterator[Pod]:
    """A pod whose resolv.conf is the one that the kubelet writes."""
    services = [
        service("web", clusterIP="10.183.0.20"),
        service("db", clusterIP="None"),
        service("out", type="ExternalName", externalName="example.test"),
    ]
    slices = [endpoint_slice("db", endpoint("10.182.0.9", hostname="db-0"), endpoint("10.182.0.8"))]
    zone = ClusterZone(
        ZoneConfig("cluster.local", (CLUSTER_CIDR, SERVICE_CIDR), CLUSTER_DNS), ListSources(services, slices)
    )
    backend = NftablesBackend(node.owner.cluster_id, node.owner.node_name, bridge_name(node.config))
    async with DnsServer(zone, outside).serve("10.182.0.1") as port:
        listener = Endpoint("10.182.0.1", port)
        view = NodeView(node.owner.node_name, CLUSTER_CIDR, node.config.pod_cidr, (), CLUSTER_DNS, listener)
        await backend.apply(build_rules([], [], [], view))
        config = tmp_path / "pod-resolv.conf"
        domains = "default.svc.cluster.local svc.cluster.local cluster.local"
        config.write_text(f"search {domains}\nnameserver {CLUSTER_DNS}\noptions ndots:5\n")
        mount = Mount("/etc/resolv.conf", str(config), read_only=True)
        yield await node.run("exec sleep 1000", mounts=(mount,))
    await backend.destroy()


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("web", "10.183.0.20"),
        ("web.default", "10.183.0.20"),
        ("web.default.svc.cluster.local", "10.183.0.20"),
        ("db-0.db", "10.182.0.9"),
        ("out", "192.0.2.77"),
        ("example.test", "192.0.2.77"),
    ],
)
async def test_programs_find_names_over_the_search_path(node: Node, client: Pod, name: str, address: str) -> None:
    _, output = await node.execute(client, f"ping -c 1 -W 1 {name}")
    assert f"({address})" in output


async def test_other_kinds_of_records(node: Node, client: Pod) -> None:
    _, output = await node.execute(client, "nslookup -type=srv _http._tcp.db.default.svc.cluster.local")
    assert "db-0.db.default.svc.cluster.local" in output
    _, output = await node.execute(client, "nslookup -type=ptr 20.0.183.10.in-addr.arpa")
    assert "web.default.svc.cluster.local" in output


async def test_missing_names(node: Node, client: Pod) -> None:
    code, output = await node.execute(client, "nslookup -type=a nothing.default.svc.cluster.local")
    assert code == 1
    assert "NXDOMAIN" in output


async def test_the_host_reaches_the_cluster_dns_too_and_large_answers_come_over_tcp(client: Pod) -> None:
    question = DNSRecord.question("big.example.test", "A")
    short = DNSRecord.parse(await asyncio.to_thread(question.send, CLUSTER_DNS, 53, timeout=5))
    assert short.header.rcode == 0
    whole = DNSRecord.parse(await asyncio.to_thread(question.send, CLUSTER_DNS, 53, tcp=True, timeout=5))
    assert len(whole.rr) == 99
