"""Messages in and out of the node's DNS server: cases that programs meet, and messages that are none."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dnslib import EDNS0, QTYPE, RR, A, DNSRecord

from minikube_py.dns.records import ClusterZone, ZoneConfig
from minikube_py.dns.server import DnsServer
from minikube_py.dns.upstream import Upstream, UpstreamFailure, cacheable_seconds, read_servers
from tests.support.dns_sources import ListSources, endpoint, endpoint_slice, service


class Outside:
    """Stands for the host's resolvers."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bool]] = []

    async def resolve(self, query: bytes, question: DNSRecord, *, over_tcp: bool) -> bytes:
        name = str(question.q.qname)
        self.asked.append((name, over_tcp))
        if name == "gone.test.":
            raise UpstreamFailure("nobody answers")
        reply = question.reply()
        reply.add_answer(RR(name, rdata=A("192.0.2.7"), ttl=60))
        return query[:2] + bytes(reply.pack())[2:]


class Unready(ListSources):
    def is_ready(self) -> bool:
        return False


def server(sources: ListSources | None = None, outside: Outside | None = None) -> DnsServer:
    many = [endpoint(f"10.42.0.{number}") for number in range(2, 120)]
    made = sources or ListSources(
        [
            service("web", clusterIP="10.43.0.20"),
            service("many", clusterIP="None"),
            service("out", type="ExternalName", externalName="example.test"),
            service("alias", type="ExternalName", externalName="web.default.svc.cluster.local"),
        ],
        [endpoint_slice("many", *many)],
    )
    return DnsServer(ClusterZone(ZoneConfig(), made), outside or Outside())  # type: ignore[arg-type]


async def ask(to: DnsServer, name: str, kind: str = "A", *, over_tcp: bool = False, edns: int = 0) -> DNSRecord:
    question = DNSRecord.question(name, kind)
    if edns:
        question.add_ar(EDNS0(udp_len=edns))
    answer = await to.respond(bytes(question.pack()), over_tcp=over_tcp)
    assert answer is not None
    parsed = DNSRecord.parse(answer)
    assert parsed.header.id == question.header.id
    return parsed


def addresses(answer: DNSRecord) -> list[str]:
    return [str(one.rdata) for one in answer.rr if one.rtype == QTYPE.A]


async def test_the_spelling_of_the_question_comes_back() -> None:
    answer = await ask(server(), "WeB.default.svc.CLUSTER.local")
    assert str(answer.rr[0].rname) == "WeB.default.svc.CLUSTER.local."
    assert (answer.header.aa, answer.header.ra, answer.rr[0].ttl) == (1, 1, 5)


async def test_a_missing_name_and_a_missing_kind_carry_the_soa() -> None:
    missing = await ask(server(), "nothing.default.svc.cluster.local")
    assert (missing.header.rcode, missing.auth[0].rtype) == (3, QTYPE.SOA)
    other_kind = await ask(server(), "web.default.svc.cluster.local", "AAAA")
    assert (other_kind.header.rcode, other_kind.rr, other_kind.auth[0].rtype) == (0, [], QTYPE.SOA)


async def test_before_the_caches_are_filled_no_name_is_called_missing() -> None:
    assert (await ask(server(Unready()), "web.default.svc.cluster.local")).header.rcode == 2
    assert (await ask(server(Unready()), "example.test")).header.rcode == 0


async def test_large_answers() -> None:
    name = "many.default.svc.cluster.local"
    plain = await ask(server(), name)
    assert plain.header.tc == 1
    assert 0 < len(plain.rr) < 118
    with_edns = await ask(server(), name, edns=1232)
    assert with_edns.header.tc == 1
    assert len(with_edns.rr) > len(plain.rr)
    assert len(addresses(await ask(server(), name, over_tcp=True))) == 118


async def test_external_names_are_followed() -> None:
    outside = await ask(server(), "out.default.svc.cluster.local")
    assert [one.rtype for one in outside.rr] == [QTYPE.CNAME, QTYPE.A]
    assert addresses(outside) == ["192.0.2.7"]
    assert addresses(await ask(server(), "alias.default.svc.cluster.local")) == ["10.43.0.20"]


async def test_other_names_go_out_with_their_transport() -> None:
    outside = Outside()
    assert addresses(await ask(server(outside=outside), "example.test", over_tcp=True)) == ["192.0.2.7"]
    assert outside.asked == [("example.test.", True)]
    assert (await ask(server(), "gone.test")).header.rcode == 2


@pytest.mark.parametrize("message", [b"", b"short", bytes(11)])
async def test_what_is_no_message_gets_no_answer(message: bytes) -> None:
    assert await server().respond(message, over_tcp=False) is None


async def test_answers_and_odd_operations() -> None:
    answer = DNSRecord.question("web.default.svc.cluster.local").reply()
    assert await server().respond(bytes(answer.pack()), over_tcp=False) is None
    update = DNSRecord.question("web.default.svc.cluster.local")
    update.header.opcode = 5
    reply = await server().respond(bytes(update.pack()), over_tcp=False)
    assert reply is not None
    assert DNSRecord.parse(reply).header.rcode == 4
    garbage = await server().respond(b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xff", over_tcp=False)
    assert garbage is not None
    assert (garbage[:2], garbage[3] & 0x0F) == (b"\x12\x34", 1)


def test_our_own_addresses_are_no_upstream() -> None:
    text = "# comment\nnameserver 10.43.0.10\nnameserver 1.1.1.1\nsearch x\nnameserver 8.8.8.8\n"
    assert read_servers(text, ("10.43.0.10",)) == ["1.1.1.1", "8.8.8.8"]


def test_resolv_conf_is_read_again_after_a_change(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 1.1.1.1\n")
    upstream = Upstream(resolv_conf=file)
    assert upstream.servers() == ["1.1.1.1"]
    replacement = tmp_path / "new"
    replacement.write_text("nameserver 9.9.9.9\n")
    replacement.rename(file)
    assert upstream.servers() == ["9.9.9.9"]
    file.unlink()
    assert upstream.servers() == ["9.9.9.9"]


def test_how_long_answers_are_kept() -> None:
    reply = DNSRecord.question("example.test").reply()
    assert cacheable_seconds(bytes(reply.pack())) == 0
    reply.add_answer(RR("example.test", rdata=A("1.1.1.1"), ttl=7))
    assert cacheable_seconds(bytes(reply.pack())) == 7
    reply.rr[0].ttl = 4000
    assert cacheable_seconds(bytes(reply.pack())) == 30
    reply.header.rcode = 2
    assert cacheable_seconds(bytes(reply.pack())) == 0


@pytest.fixture
async def listening() -> AsyncIterator[tuple[DnsServer, int]]:
    made = server()
    async with made.serve("127.0.0.1", 0) as port:
        yield made, port


async def test_a_taken_port_is_not_the_end(listening: tuple[DnsServer, int]) -> None:
    _, taken = listening
    async with server().serve("127.0.0.1", taken) as other:
        assert other not in (0, taken)
