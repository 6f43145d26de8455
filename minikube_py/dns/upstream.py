"""Forwards questions about other names to the host's own resolvers, with a small cache."""

import asyncio
import os
import struct
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from dnslib import DNSRecord

from minikube_py import ids

RESOLV_CONF = Path("/etc/resolv.conf")
DNS_PORT = 53
_MAX_SERVERS = 3
_TRY_SECONDS = 2.0
_ROUNDS = 2
_MAX_CACHED = 2000
_MAX_TTL_SECONDS = 30
_NEGATIVE_TTL_SECONDS = 5
_TRUNCATED = 0x0200
_SERVFAIL, _REFUSED = 2, 5


class UpstreamFailure(Exception):
    """No resolver of the host gave an answer."""


@dataclass(frozen=True)
class _Cached:
    answer: bytes
    made_at: float
    expires_at: float


def read_servers(text: str, own_addresses: Collection[str] = ()) -> list[str]:
    """The nameserver lines of a resolv.conf. Our own addresses are left out: asking them would never end."""
    servers: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and words[1] not in own_addresses:
            servers.append(words[1])
    return servers[:_MAX_SERVERS]


class Upstream:
    """The host's resolvers, read again when /etc/resolv.conf changes. Answers are raw messages."""

    def __init__(
        self, own_addresses: Collection[str] = (), resolv_conf: Path = RESOLV_CONF, port: int = DNS_PORT
    ) -> None:
        self._own_addresses = own_addresses
        self._resolv_conf = resolv_conf
        self._port = port
        self._servers: list[str] = []
        self._read_at: tuple[int, int] = (0, 0)
        self._cache: OrderedDict[tuple[object, ...], _Cached] = OrderedDict()

    def servers(self) -> list[str]:
        """The resolvers of this moment (one stat call, the file is read only after a change)."""
        try:
            stat = os.stat(self._resolv_conf)
        except OSError:
            return self._servers
        if (stat.st_mtime_ns, stat.st_ino) != self._read_at:
            with open(self._resolv_conf, encoding="utf-8", errors="replace") as file:
                self._servers = read_servers(file.read(), self._own_addresses)
            self._read_at = (stat.st_mtime_ns, stat.st_ino)
        return self._servers

    async def resolve(self, query: bytes, question: DNSRecord, *, over_tcp: bool) -> bytes:
        """The answer to `query` (its parsed form is `question`), with its id. Raises UpstreamFailure."""
        key = _cache_key(question)
        now = asyncio.get_running_loop().time()
        cached = self._cache.get(key)
        if cached is not None and cached.expires_at > now:
            return query[:2] + _aged(cached.answer, int(now - cached.made_at))[2:]
        answer = await self._ask_all(query, over_tcp=over_tcp)
        self._remember(key, answer, now)
        return query[:2] + answer[2:]

    def _remember(self, key: tuple[object, ...], answer: bytes, now: float) -> None:
        seconds = cacheable_seconds(answer)
        if seconds <= 0:
            return
        self._cache[key] = _Cached(answer, now, now + seconds)
        self._cache.move_to_end(key)
        while len(self._cache) > _MAX_CACHED:
            self._cache.popitem(last=False)

    async def _ask_all(self, query: bytes, *, over_tcp: bool) -> bytes:
        servers = self.servers()
        if not servers:
            raise UpstreamFailure("the host has no resolver of its own")
        last = b""
        for _ in range(_ROUNDS):
            for server in servers:
                try:
                    async with asyncio.timeout(_TRY_SECONDS):
                        answer = await self._ask(server, query, over_tcp=over_tcp)
                except (OSError, TimeoutError, asyncio.IncompleteReadError):
                    continue
                last = answer
                if answer[3] & 0x0F not in (_SERVFAIL, _REFUSED):
                    return answer
        if last:
            return last
        raise UpstreamFailure(f"no answer from {', '.join(servers)}")

    async def _ask(self, server: str, query: bytes, *, over_tcp: bool) -> bytes:
        fresh = struct.pack("!H", ids.pick(65_536)) + query[2:]
        answer = await _ask_udp(server, self._port, fresh)
        # A client that came by UDP asks again over TCP by itself when it sees the flag.
        if over_tcp and int.from_bytes(answer[2:4], "big") & _TRUNCATED:
            answer = await _ask_tcp(server, self._port, fresh)
        return answer


class _OneAnswer(asyncio.DatagramProtocol):
    def __init__(self, query_id: bytes) -> None:
        self._query_id = query_id
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if len(data) >= 12 and data[:2] == self._query_id and not self.answer.done():
            self.answer.set_result(data)

    def error_received(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


async def _ask_udp(server: str, port: int, query: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: _OneAnswer(query[:2]), remote_addr=(server, port))
    try:
        transport.sendto(query)
        return await protocol.answer
    finally:
        transport.close()


async def _ask_tcp(server: str, port: int, query: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(server, port)
    try:
        writer.write(struct.pack("!H", len(query)) + query)
        await writer.drain()
        return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
    finally:
        writer.close()


def _cache_key(question: DNSRecord) -> tuple[object, ...]:
    asked = question.q
    options = tuple(sorted(f"{one.rclass}/{one.ttl}" for one in question.ar if one.rtype == 41))
    return (str(asked.qname).lower(), asked.qtype, asked.qclass, question.header.cd, options)


def cacheable_seconds(answer: bytes) -> int:
    """How long an answer may be kept: the smallest TTL in it, at most 30 s; 0 for errors and truncated answers."""
    try:
        parsed = DNSRecord.parse(answer)
    except Exception:
        return 0  # whatever it is, the client shall judge it
    if parsed.header.tc or parsed.header.rcode not in (0, 3):
        return 0
    ttls = [int(one.ttl) for one in (*parsed.rr, *parsed.auth) if one.rtype != 41]
    longest = _MAX_TTL_SECONDS if parsed.rr else _NEGATIVE_TTL_SECONDS
    return min([longest, *ttls]) if ttls else 0


def _aged(answer: bytes, seconds: int) -> bytes:
    if seconds <= 0:
        return answer
    parsed = DNSRecord.parse(answer)
    for one in (*parsed.rr, *parsed.auth, *parsed.ar):
        if one.rtype != 41:
            one.ttl = max(0, one.ttl - seconds)
    return bytes(parsed.pack())
