"""Answers questions about the cluster's own names from Services, EndpointSlices and namespaces. Pure.

Source: the Kubernetes DNS-based service discovery specification, version 1.1.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from minikube_py.objects.errors import Object

TTL_SECONDS = 5
SPEC_VERSION = "1.1.0"
NOERROR, NXDOMAIN = 0, 3
_SRV_PRIORITY, _SRV_WEIGHT = 0, 100


class Sources(Protocol):
    """What the answers are made from. Objects are shared: read them, never change them."""

    def is_ready(self) -> bool:
        """Whether everything has been seen once: before that, a name that is missing may well exist."""
        ...

    def service(self, namespace: str, name: str) -> Object | None: ...

    def slices(self, namespace: str, service: str) -> Sequence[Object]: ...

    def has_namespace(self, name: str) -> bool: ...

    def services_with_ip(self, ip: str) -> Sequence[Object]: ...

    def slices_with_ip(self, ip: str) -> Sequence[Object]: ...


@dataclass(frozen=True)
class Record:
    """data is an address (A, AAAA), a name (CNAME, PTR, NS, SRV target) or a text (TXT). Names have no final dot."""

    name: str
    type: str
    data: str
    port: int = 0
    priority: int = 0
    weight: int = 0


@dataclass(frozen=True)
class Answer:
    """records answer the question, extra help (addresses of SRV targets); target: a name to follow outside the zone."""

    code: int = NOERROR
    records: tuple[Record, ...] = ()
    extra: tuple[Record, ...] = ()
    target: str = ""


@dataclass(frozen=True)
class ZoneConfig:
    """The cluster's zone and the address ranges whose reverse names are ours."""

    domain: str = "cluster.local"
    ranges: tuple[str, ...] = ()
    dns_ip: str = ""


_NOT_FOUND = Answer(NXDOMAIN)
_NO_DATA = Answer()


@dataclass(frozen=True)
class _Target:
    """One address of a headless Service."""

    hostname: str
    ip: str
    ports: tuple[tuple[str, str, int], ...]


class ZoneNotReady(Exception):
    """It is too early to say which names exist."""


class ClusterZone:
    """The zone of one cluster."""

    def __init__(self, config: ZoneConfig, sources: Sources) -> None:
        self._config = config
        self._sources = sources
        self._suffix = "." + config.domain.strip(".").lower()
        self._ranges = [ipaddress.ip_network(one) for one in config.ranges]

    @property
    def domain(self) -> str:
        return self._suffix[1:]

    def answer(self, name: str, kind: str) -> Answer | None:
        """name without its final dot, kind such as 'A'. None: the name is not in our zone, ask the upstream.

        Raises ZoneNotReady.
        """
        name = name.lower()
        if name.endswith((self._suffix, ".in-addr.arpa", ".ip6.arpa")) and not self._sources.is_ready():
            raise ZoneNotReady(name)
        if name.endswith((".in-addr.arpa", ".ip6.arpa")):
            return self._reverse(name, kind)
        if name == self.domain:
            return self._apex(name, kind)
        if not name.endswith(self._suffix):
            return None
        labels = name.removesuffix(self._suffix).split(".")
        if labels == ["dns-version"]:
            return _of_kind(kind, [Record(name, "TXT", SPEC_VERSION)])
        if labels == ["ns", "dns"]:
            return _of_kind(kind, _addresses(name, [self._config.dns_ip] if self._config.dns_ip else []))
        if labels[-1] == "svc":
            return self._service_name(name, labels[:-1], kind)
        if labels[-1] == "pod":
            return self._pod_name(name, labels[:-1], kind)
        return _NO_DATA if labels == ["dns"] else _NOT_FOUND

    def _apex(self, name: str, kind: str) -> Answer:
        return _of_kind(kind, [Record(name, "NS", f"ns.dns.{self.domain}")])

    def _service_name(self, name: str, labels: list[str], kind: str) -> Answer:
        if len(labels) < 2:
            exists = not labels or self._sources.has_namespace(labels[0])
            return _NO_DATA if exists else _NOT_FOUND
        *rest, service_name, namespace = labels
        service = self._sources.service(namespace, service_name)
        if service is None:
            return _NOT_FOUND
        spec = service.get("spec") or {}
        if spec.get("type") == "ExternalName":
            return self._external(name, rest, spec)
        if rest and rest[0].startswith("_"):
            return self._srv(name, rest, service, kind)
        ips = cluster_ips(service)
        if not rest and ips:
            return _of_kind(kind, _addresses(name, ips))
        return self._endpoints(name, rest, service, kind)

    def _external(self, name: str, rest: list[str], spec: Object) -> Answer:
        target = str(spec.get("externalName", "")).rstrip(".").lower()
        if rest or not target:
            return _NOT_FOUND
        return Answer(records=(Record(name, "CNAME", target),), target=target)

    def _endpoints(self, name: str, rest: list[str], service: Object, kind: str) -> Answer:
        """The name of a headless Service, or of one endpoint of any Service."""
        targets = self._targets(service)
        if rest:
            targets = [one for one in targets if [one.hostname] == rest]
        if not targets:
            return _NOT_FOUND
        return _of_kind(kind, _addresses(name, [one.ip for one in targets]))

    def _srv(self, name: str, rest: list[str], service: Object, kind: str) -> Answer:
        if len(rest) != 2 or not rest[1].startswith("_"):
            return _NOT_FOUND
        wanted = (rest[0][1:], rest[1][1:])
        base = self._service_domain(service)
        records: list[Record] = []
        extra: list[Record] = []
        if ips := cluster_ips(service):
            for port in (service.get("spec") or {}).get("ports") or ():
                if (port.get("name", ""), port.get("protocol", "TCP").lower()) == wanted:
                    records.append(_srv_record(name, base, port["port"]))
                    extra += _addresses(base, ips)
        else:
            for target in self._targets(service):
                for port_name, protocol, number in target.ports:
                    if (port_name, protocol) == wanted:
                        host = f"{target.hostname}.{base}"
                        records.append(_srv_record(name, host, number))
                        extra += _addresses(host, [target.ip])
        if not records:
            return _NOT_FOUND
        return Answer(records=tuple(records), extra=tuple(extra)) if kind in ("SRV", "ANY") else _NO_DATA

    def _targets(self, service: Object) -> list[_Target]:
        """The ready endpoints, each address once."""
        metadata = service["metadata"]
        found: dict[str, _Target] = {}
        for piece in self._sources.slices(metadata["namespace"], metadata["name"]):
            ports = tuple(
                (port.get("name") or "", (port.get("protocol") or "TCP").lower(), port["port"])
                for port in piece.get("ports") or ()
                if port.get("port")
            )
            for endpoint in _ready(piece):
                for ip in endpoint.get("addresses") or ():
                    known = found.get(ip)
                    merged = ports if known is None else tuple(dict.fromkeys((*known.ports, *ports)))
                    found[ip] = _Target(endpoint_hostname(endpoint, ip), ip, merged)
        return [found[ip] for ip in sorted(found)]

    def _pod_name(self, name: str, labels: list[str], kind: str) -> Answer:
        """`10-42-0-5.namespace.pod`: the address is in the name, only the namespace must exist."""
        if len(labels) < 2:
            exists = not labels or self._sources.has_namespace(labels[0])
            return _NO_DATA if exists else _NOT_FOUND
        if len(labels) > 2 or not self._sources.has_namespace(labels[1]):
            return _NOT_FOUND
        for separator in (".", ":"):
            try:
                address = ipaddress.ip_address(labels[0].replace("-", separator))
            except ValueError:
                continue
            return _of_kind(kind, _addresses(name, [str(address)]))
        return _NOT_FOUND

    def _reverse(self, name: str, kind: str) -> Answer | None:
        address = reverse_address(name)
        if address is None:
            return None
        ip = str(address)
        names = [self._service_domain(one) for one in self._sources.services_with_ip(ip)]
        if not names:
            names = self._endpoint_names(ip)
        if names:
            return _of_kind(kind, [Record(name, "PTR", one) for one in sorted(set(names))])
        return _NOT_FOUND if any(address in one for one in self._ranges) else None

    def _endpoint_names(self, ip: str) -> list[str]:
        names: list[str] = []
        for piece in self._sources.slices_with_ip(ip):
            metadata = piece["metadata"]
            owner = (metadata.get("labels") or {}).get("kubernetes.io/service-name", "")
            service = self._sources.service(metadata["namespace"], owner)
            if service is None or cluster_ips(service):
                continue
            names += [
                f"{endpoint_hostname(one, ip)}.{self._service_domain(service)}"
                for one in _ready(piece)
                if ip in one.get("addresses", ())
            ]
        return names

    def _service_domain(self, service: Object) -> str:
        metadata = service["metadata"]
        return f"{metadata['name']}.{metadata['namespace']}.svc.{self.domain}"


def cluster_ips(service: Object) -> list[str]:
    """The Service's virtual addresses; [] for headless and ExternalName."""
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return []
    listed = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return [ip for ip in listed if ip and ip != "None"]


def endpoint_hostname(endpoint: Object, ip: str) -> str:
    """The pod's own host name, else one made from its address."""
    return str(endpoint.get("hostname") or ip.replace(".", "-").replace(":", "-"))


def reverse_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that an in-addr.arpa or ip6.arpa name is about; None when it is not a whole one."""
    labels = name.split(".")[:-2]
    try:
        if name.endswith(".in-addr.arpa"):
            return ipaddress.IPv4Address(".".join(reversed(labels)))
        digits = "".join(reversed(labels))
        return ipaddress.IPv6Address(int(digits, 16)) if len(labels) == 32 else None
    except ValueError:
        return None


def _ready(piece: Object) -> Iterable[Object]:
    for endpoint in piece.get("endpoints") or ():
        ready = (endpoint.get("conditions") or {}).get("ready")
        if ready is None or ready:
            yield endpoint


def _addresses(name: str, ips: Iterable[str]) -> list[Record]:
    return [Record(name, "AAAA" if ":" in ip else "A", ip) for ip in ips]


def _srv_record(name: str, target: str, port: int) -> Record:
    return Record(name, "SRV", target, port, _SRV_PRIORITY, _SRV_WEIGHT)


def _of_kind(kind: str, records: list[Record]) -> Answer:
    """The name exists, so records of another kind only are no data, not a missing name."""
    return Answer(records=tuple(one for one in records if kind in (one.type, "ANY")))
