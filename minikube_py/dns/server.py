"""The node's DNS server: the cluster's names from caches, all others from the host's resolvers, over UDP and TCP."""

import asyncio
import errno
import logging
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from dnslib import AAAA, CNAME, EDNS0, NS, PTR, QTYPE, RR, SOA, SRV, TXT, A, DNSHeader, DNSRecord

from minikube_py.dns.records import TTL_SECONDS, Answer, ClusterZone, Record, ZoneNotReady
from minikube_py.dns.upstream import Upstream, UpstreamFailure

log = logging.getLogger(__name__)

_SERVFAIL, _NOTIMP, _FORMERR = 2, 4, 1
_PLAIN_UDP_BYTES = 512
_MOST_UDP_BYTES = 1232
_TCP_IDLE_SECONDS = 10.0
_MOST_WAITING = 1000
_MOST_CNAMES = 8
_EDNS = 41


class DnsServer:
    """Answers one cluster's pods on one node."""

    def __init__(self, zone: ClusterZone, upstream: Upstream) -> None:
        self._zone = zone
        self._upstream = upstream
        self._tasks: set[asyncio.Task[None]] = set()
        self._serial = 1

    @asynccontextmanager
    async def serve(self, address: str, port: int = 53) -> AsyncIterator[int]:
        """Listen while the block runs; yields the port. Another one is taken when a host program has `port`.

        Clients never see the difference: the proxy leads the cluster DNS address to whatever port it is.
        """
        loop = asyncio.get_running_loop()
        tcp, chosen = await self._listen_tcp(address, port)
        try:
            transport, _ = await loop.create_datagram_endpoint(lambda: _UdpListener(self), local_addr=(address, chosen))
        except OSError:
            tcp.close()
            raise
        try:
            yield chosen
        finally:
            transport.close()
            tcp.close()
            for task in list(self._tasks):
                task.cancel()

    async def _listen_tcp(self, address: str, port: int) -> tuple[asyncio.Server, int]:
        try:
            server = await asyncio.start_server(self._serve_connection, address, port)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES) or port == 0:
                raise
            log.warning("port %d of %s is taken, the cluster DNS listens on another one", port, address)
            server = await asyncio.start_server(self._serve_connection, address, 0)
        return server, int(server.sockets[0].getsockname()[1])

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                async with asyncio.timeout(_TCP_IDLE_SECONDS):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    query = await reader.readexactly(size)
                answer = await self.respond(query, over_tcp=True)
                if answer is None:
                    return
                writer.write(struct.pack("!H", len(answer)) + answer)
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    def take_datagram(self, query: bytes, transport: asyncio.DatagramTransport, sender: tuple[str, int]) -> None:
        if len(self._tasks) >= _MOST_WAITING:
            return  # the client asks again; keeping more would only make all of them late

        async def reply() -> None:
            answer = await self.respond(query, over_tcp=False)
            if answer is not None and not transport.is_closing():
                transport.sendto(answer, sender)

        task = asyncio.get_running_loop().create_task(reply())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def respond(self, query: bytes, *, over_tcp: bool) -> bytes | None:
        """The answer message, or None for what is no question at all."""
        try:
            request = DNSRecord.parse(query)
            asked = request.q
        except Exception:  # dnslib raises many kinds for malformed messages
            return _error_for(query, _FORMERR)
        if request.header.qr:
            return None
        if request.header.opcode != 0 or len(request.questions) != 1:
            return _error_for(query, _NOTIMP)
        name = str(asked.qname).rstrip(".")
        try:
            answer = self._zone.answer(name, QTYPE.get(asked.qtype))
            if answer is None:
                return await self._upstream.resolve(query, request, over_tcp=over_tcp)
            reply = self._message(request, name, answer)
            if answer.target:
                await self._follow(reply, request, answer.target)
        except (UpstreamFailure, ZoneNotReady) as failure:
            log.debug("%s: %s", name, failure)
            return _error_for(query, _SERVFAIL)
        return _fitted(reply, request, over_tcp=over_tcp)

    def _message(self, request: DNSRecord, asked_name: str, answer: Answer) -> DNSRecord:
        header = DNSHeader(id=request.header.id, qr=1, aa=1, rd=request.header.rd, ra=1, rcode=answer.code)
        reply = DNSRecord(header, q=request.q)
        for record in answer.records:
            # Some resolvers vary the case of the name and check that it comes back.
            is_asked = record.name == asked_name.lower()
            reply.add_answer(to_rr(record, asked_name if is_asked else record.name))
        for record in answer.extra:
            reply.add_ar(to_rr(record, record.name))
        if not answer.records:
            reply.add_auth(self._soa())
        return reply

    def _soa(self) -> RR:
        domain = self._zone.domain
        times = (self._serial, 7200, 1800, 86_400, TTL_SECONDS)
        data = SOA(f"ns.dns.{domain}", f"hostmaster.{domain}", times)
        return RR(domain, QTYPE.SOA, ttl=TTL_SECONDS, rdata=data)

    async def _follow(self, reply: DNSRecord, request: DNSRecord, target: str) -> None:
        """Add what an ExternalName's target resolves to, inside the zone or out of it."""
        kind = request.q.qtype
        if kind == QTYPE.CNAME:
            return
        for _ in range(_MOST_CNAMES):
            inside = self._zone.answer(target, QTYPE.get(kind))
            if inside is None:
                question = DNSRecord.question(target, QTYPE.get(kind))
                raw = await self._upstream.resolve(bytes(question.pack()), question, over_tcp=True)
                reply.add_answer(*DNSRecord.parse(raw).rr)
                return
            reply.add_answer(*(to_rr(record, record.name) for record in inside.records))
            if not inside.target:
                return
            target = inside.target


class _UdpListener(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None:
            self._server.take_datagram(data, self._transport, addr)


def to_rr(record: Record, name: str) -> RR:
    """A record in dnslib's form."""
    data = {
        "A": lambda: A(record.data),
        "AAAA": lambda: AAAA(record.data),
        "CNAME": lambda: CNAME(record.data),
        "NS": lambda: NS(record.data),
        "PTR": lambda: PTR(record.data),
        "TXT": lambda: TXT(record.data),
        "SRV": lambda: SRV(record.priority, record.weight, record.port, record.data),
    }[record.type]()
    return RR(name, getattr(QTYPE, record.type), ttl=TTL_SECONDS, rdata=data)


def _fitted(reply: DNSRecord, request: DNSRecord, *, over_tcp: bool) -> bytes:
    edns = next((one for one in request.ar if one.rtype == _EDNS), None)
    if edns is not None:
        reply.add_ar(EDNS0(udp_len=_MOST_UDP_BYTES))
    packed = bytes(reply.pack())
    limit = min(max(edns.rclass, _PLAIN_UDP_BYTES), _MOST_UDP_BYTES) if edns is not None else _PLAIN_UDP_BYTES
    if over_tcp or len(packed) <= limit:
        return packed
    # Without the additional records it may still fit; they are only a help.
    reply.ar = [one for one in reply.ar if one.rtype == _EDNS]
    packed = bytes(reply.pack())
    if len(packed) <= limit:
        return packed
    reply.header.tc = 1
    while reply.rr and len(packed) > limit:
        reply.rr.pop()
        packed = bytes(reply.pack())
    return packed


def _error_for(query: bytes, code: int) -> bytes | None:
    """An answer without records, made from the header alone."""
    if len(query) < 12:
        return None
    flags = int.from_bytes(query[2:4], "big")
    answer_flags = 0x8080 | (flags & 0x7900) | code
    try:
        question = DNSRecord.parse(query).q
        header = DNSHeader(id=int.from_bytes(query[:2], "big"), bitmap=answer_flags)
        return bytes(DNSRecord(header, q=question).pack())
    except Exception:
        return query[:2] + struct.pack("!HHHHH", answer_flags, 0, 0, 0, 0)
