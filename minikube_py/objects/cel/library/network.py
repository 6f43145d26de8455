"""URLs, IP addresses and CIDRs as types with methods.

Source: apiserver pkg/cel/library/{urls,ip,cidr}.go. IPv4-mapped IPv6 addresses and zones are refused, as there.
"""

import ipaddress
import re
from typing import Any, TypeAlias
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

from minikube_py.objects.cel.overloads import Overload, overload, traversal, two_traversals
from minikube_py.objects.cel.values import EvaluationError, Opaque

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_OWN = "net.IP net.CIDR kubernetes.URL"


class Ip(Opaque):
    cel_type = "net.IP"
    __slots__ = ("address",)

    def __init__(self, address: Address) -> None:
        self.address = address

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ip) and self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)


class Cidr(Opaque):
    cel_type = "net.CIDR"
    __slots__ = ("address", "network")

    def __init__(self, address: Address, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> None:
        self.address = address
        self.network = network

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cidr) and (self.address, self.network) == (other.address, other.network)

    def __hash__(self) -> int:
        return hash((self.address, self.network))


class Url(Opaque):
    cel_type = "kubernetes.URL"
    __slots__ = ("parts", "text")

    def __init__(self, text: str, parts: SplitResult) -> None:
        self.text = text
        self.parts = parts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Url) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


# --- addresses -------------------------------------------------------------------------------------------------------


def parse_ip(text: str) -> Ip:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise EvaluationError(f'IP Address "{text}" parse error during conversion from string: '
                              f'ParseAddr("{text}"): unable to parse IP') from None  # fmt: skip
    if "%" in text:
        raise EvaluationError(f'IP address "{text}" with zone value is not allowed')
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise EvaluationError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return Ip(address)


def parse_cidr(text: str) -> Cidr:
    address, slash, bits = text.partition("/")
    try:
        if not slash or not re.fullmatch(r"\d|[1-9]\d+", bits):
            raise ValueError(text)
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise EvaluationError(f'network address parse error during conversion from string: '
                              f'netip.ParsePrefix("{text}"): no valid prefix') from None  # fmt: skip
    return Cidr(parse_ip(address).address, network)


def _parses(parse: Any, text: str) -> bool:
    try:
        parse(text)
    except EvaluationError:
        return False
    return True


def _is_local_multicast(ip: Ip) -> bool:
    if isinstance(ip.address, ipaddress.IPv4Address):
        return ip.address in ipaddress.ip_network("224.0.0.0/24")
    return ip.address.packed[0] == 0xFF and ip.address.packed[1] & 0x0F == 2


def _is_global_unicast(ip: Ip) -> bool:
    address = ip.address
    is_broadcast = str(address) == "255.255.255.255"
    is_special = address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    return not is_special and not is_broadcast


def _contains_ip(cidr: Cidr, other: Any) -> bool:
    ip = parse_ip(other) if isinstance(other, str) else other
    return ip.address in cidr.network


def _contains_cidr(cidr: Cidr, other: Any) -> bool:
    inner = parse_cidr(other) if isinstance(other, str) else other
    outer, net = cidr.network, inner.network
    return outer.version == net.version and outer.prefixlen <= net.prefixlen and net.network_address in outer


def _masked(cidr: Cidr) -> Cidr:
    return Cidr(cidr.network.network_address, cidr.network)


# --- URLs ------------------------------------------------------------------------------------------------------------


def parse_url(text: str) -> Url:
    """As Go's ParseRequestURI: absolute, or a path that begins with a slash."""
    try:
        if _CONTROL.search(text) or re.search(r"%(?![0-9A-Fa-f]{2})", text):
            raise ValueError(text)
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise EvaluationError(f'URL parse error during conversion from string: parse "{text}": invalid URI') from None
    if not (parts.scheme or text.startswith("/")):
        raise EvaluationError(f'URL parse error during conversion from string: parse "{text}": invalid URI for request')
    return Url(text, parts)


def _host(url: Url) -> str:
    return url.parts.netloc.rpartition("@")[2]


def _host_name(url: Url) -> str:
    host = _host(url)
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _port(url: Url) -> str:
    found = re.search(r":(\d*)$", _host(url))
    return found[1] if found else ""


def _escaped_path(url: Url) -> str:
    return quote(unquote(url.parts.path), safe="/$&+,:;=@!'()*~-._[]")


OVERLOADS: tuple[Overload, ...] = (
    overload("ip(string) -> net.IP", parse_ip, traversal),
    overload("isIP(string) -> bool", lambda text: _parses(parse_ip, text), traversal),
    overload("ip.isCanonical(string) -> bool", lambda text: str(parse_ip(text).address) == text, two_traversals),
    overload("net.IP.family() -> int", lambda ip: ip.address.version, opaque=_OWN),
    overload("net.IP.isUnspecified() -> bool", lambda ip: ip.address.is_unspecified, opaque=_OWN),
    overload("net.IP.isLoopback() -> bool", lambda ip: ip.address.is_loopback, opaque=_OWN),
    overload("net.IP.isLinkLocalMulticast() -> bool", _is_local_multicast, opaque=_OWN),
    overload("net.IP.isLinkLocalUnicast() -> bool", lambda ip: ip.address.is_link_local, opaque=_OWN),
    overload("net.IP.isGlobalUnicast() -> bool", _is_global_unicast, opaque=_OWN),
    overload("string(net.IP) -> string", lambda ip: str(ip.address)),
    overload("cidr(string) -> net.CIDR", parse_cidr, traversal),
    overload("isCIDR(string) -> bool", lambda text: _parses(parse_cidr, text), traversal),
    overload("net.CIDR.containsIP(string) -> bool", _contains_ip, traversal, opaque=_OWN),
    overload("net.CIDR.containsIP(net.IP) -> bool", _contains_ip, traversal, opaque=_OWN),
    overload("net.CIDR.containsCIDR(string) -> bool", _contains_cidr, traversal, opaque=_OWN),
    overload("net.CIDR.containsCIDR(net.CIDR) -> bool", _contains_cidr, traversal, opaque=_OWN),
    overload("net.CIDR.ip() -> net.IP", lambda cidr: Ip(cidr.address), opaque=_OWN),
    overload("net.CIDR.masked() -> net.CIDR", _masked, opaque=_OWN),
    overload("net.CIDR.prefixLength() -> int", lambda cidr: cidr.network.prefixlen, opaque=_OWN),
    overload("string(net.CIDR) -> string", lambda cidr: f"{cidr.address}/{cidr.network.prefixlen}"),
    overload("url(string) -> kubernetes.URL", parse_url, traversal),
    overload("isURL(string) -> bool", lambda text: _parses(parse_url, text), traversal),
    overload("kubernetes.URL.getScheme() -> string", lambda url: url.parts.scheme, opaque=_OWN),
    overload("kubernetes.URL.getHost() -> string", _host, opaque=_OWN),
    overload("kubernetes.URL.getHostname() -> string", _host_name, opaque=_OWN),
    overload("kubernetes.URL.getPort() -> string", _port, opaque=_OWN),
    overload("kubernetes.URL.getEscapedPath() -> string", _escaped_path, opaque=_OWN),
    overload(
        "kubernetes.URL.getQuery() -> map(string, list(string))",
        lambda url: parse_qs(url.parts.query, keep_blank_values=True),
        opaque=_OWN,
    ),
)
