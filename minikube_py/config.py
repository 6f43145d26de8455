"""Holds the validated settings of a server and of an agent: frozen, checked once, passed on as they are."""

import ipaddress
import os
import re
import socket
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

DEFAULT_HTTPS_PORT = 6443
DEFAULT_EVENT_TTL_SECONDS = 7 * 24 * 3600.0
RUNTIMES = ("docker", "fake")
_STATIC_TOKEN = re.compile(r"[a-z0-9]{6}\.[a-z0-9]{16}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NODE_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


class ConfigError(ValueError):
    """A setting that can't be used; the text is one sentence for the user."""


def default_data_dir() -> Path:
    """`/var/lib/mkube` as root, else `~/.local/share/mkube` (XDG_DATA_HOME is honoured)."""
    if os.geteuid() == 0:
        return Path("/var/lib/mkube")
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "mkube"


def default_node_name() -> str:
    """This machine's host name as a DNS subdomain."""
    name = re.sub(r"[^a-z0-9.-]", "-", socket.gethostname().lower()).strip("-.")
    return name or "node"


def _check_node_name(name: str) -> None:
    if not _NODE_NAME.fullmatch(name):
        raise ConfigError(f"--node-name {name!r} is not a DNS subdomain (lower-case letters, digits, '-' and '.')")


def _network(flag: str, text: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError as error:
        raise ConfigError(f"{flag} {text!r} is not an IPv4 range such as 10.42.0.0/16: {error}") from None


@dataclass(frozen=True)
class NetworkConfig:
    """Cluster-wide addresses and names. Ranges in CIDR form."""

    cluster_cidr: str = "10.42.0.0/16"
    service_cidr: str = "10.43.0.0/16"
    cluster_dns: str = "10.43.0.10"
    cluster_domain: str = "cluster.local"
    load_balancer_cidr: str = "10.44.0.0/24"
    """Where Services of type LoadBalancer get their address; '' gives them none."""

    def __post_init__(self) -> None:
        cluster = _network("--cluster-cidr", self.cluster_cidr)
        service = _network("--service-cidr", self.service_cidr)
        if cluster.overlaps(service):
            raise ConfigError(f"--cluster-cidr {cluster} and --service-cidr {service} overlap")
        if cluster.prefixlen > 24:
            raise ConfigError(f"--cluster-cidr {cluster} has no room for a node's /24")
        if service.prefixlen < 12 or service.prefixlen > 28:
            raise ConfigError(f"--service-cidr {service} must have a prefix of 12 to 28 bits")
        if self.load_balancer_cidr:
            balancers = _network("--load-balancer-cidr", self.load_balancer_cidr)
            for flag, other in (("--cluster-cidr", cluster), ("--service-cidr", service)):
                if balancers.overlaps(other):
                    raise ConfigError(f"--load-balancer-cidr {balancers} and {flag} {other} overlap")
        try:
            dns = ipaddress.IPv4Address(self.cluster_dns)
        except ValueError:
            raise ConfigError(f"--cluster-dns {self.cluster_dns!r} is not an IPv4 address") from None
        if dns not in service:
            raise ConfigError(f"--cluster-dns {dns} is not in --service-cidr {service}")

    @property
    def api_service_ip(self) -> str:
        """The `kubernetes` Service's address: the first of the service range."""
        return str(ipaddress.IPv4Network(self.service_cidr)[1])


@dataclass(frozen=True)
class AuditConfig:
    """Which requests are logged, and where: `--audit-policy-file` and `--audit-log-...`. log_path '-' is stdout."""

    policy_file: Path
    log_path: str
    log_max_megabytes: int = 0
    log_max_backups: int = 0
    log_max_age_days: int = 0

    def __post_init__(self) -> None:
        sizes = (self.log_max_megabytes, self.log_max_backups, self.log_max_age_days)
        for flag, value in zip(("maxsize", "maxbackup", "maxage"), sizes, strict=True):
            if value < 0:
                raise ConfigError(f"--audit-log-{flag} {value} must not be negative")


SIGNING_ALGORITHMS = ("ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512")


@dataclass(frozen=True)
class OidcConfig:
    """An issuer of ID tokens: the flags `--oidc-...`. username_prefix None: the issuer and '#', unless users are known
    by their e-mail address; '-' is none.
    """

    issuer_url: str
    client_id: str
    username_claim: str = "sub"
    username_prefix: str | None = None
    groups_claim: str = ""
    groups_prefix: str = ""
    required_claims: dict[str, str] = field(default_factory=dict)
    ca_file: Path | None = None
    signing_algorithms: tuple[str, ...] = ("RS256",)

    def __post_init__(self) -> None:
        if not self.issuer_url or not self.client_id:
            raise ConfigError("--oidc-issuer-url and --oidc-client-id go together")
        parts = urlsplit(self.issuer_url)
        if parts.scheme != "https" or not parts.hostname:
            raise ConfigError(f"--oidc-issuer-url {self.issuer_url!r} must be an https:// URL")
        if parts.query or parts.fragment or parts.username:
            raise ConfigError(f"--oidc-issuer-url {self.issuer_url!r} must have no user, query or fragment")
        if not self.username_claim:
            raise ConfigError("--oidc-username-claim must not be empty")
        for name in self.signing_algorithms:
            if name not in SIGNING_ALGORITHMS:
                raise ConfigError(f"--oidc-signing-algs {name!r} is not one of {', '.join(SIGNING_ALGORITHMS)}")

    @property
    def username_text(self) -> str:
        """What is put before the user's name."""
        if self.username_prefix is None:
            return "" if self.username_claim == "email" else f"{self.issuer_url}#"
        return "" if self.username_prefix == "-" else self.username_prefix


@dataclass(frozen=True)
class RequestHeaderConfig:
    """Front proxies that name the user in headers: the flags `--requestheader-...`. client_ca_file is a further
    authority beside mkube's own.
    """

    client_ca_file: Path | None = None
    allowed_names: tuple[str, ...] = ("front-proxy-client",)
    username_headers: tuple[str, ...] = ("X-Remote-User",)
    uid_headers: tuple[str, ...] = ("X-Remote-Uid",)
    group_headers: tuple[str, ...] = ("X-Remote-Group",)
    extra_prefixes: tuple[str, ...] = ("X-Remote-Extra-",)

    def __post_init__(self) -> None:
        for header in (*self.username_headers, *self.uid_headers, *self.group_headers, *self.extra_prefixes):
            if not _HEADER.fullmatch(header):
                raise ConfigError(f"--requestheader-...: {header!r} is not a header name")


@dataclass(frozen=True)
class ServerConfig:
    """What `mkube server` was told. Raises ConfigError when the settings don't fit together."""

    data_dir: Path
    bind_address: str = "127.0.0.1"
    https_listen_port: int = DEFAULT_HTTPS_PORT
    node_name: str = ""
    container_runtime: str = "docker"
    docker_host: str = ""
    nodes: int = 1
    fake_nodes: int = 0
    autoscale_nodes: tuple[int, int] | None = None
    """The fewest and the most nodes that the autoscaler keeps beside the others; None switches it off."""
    scale_down_unneeded_seconds: float = 600.0
    load_balancer_address: str = "127.0.0.1"
    """Where the TCP ports of LoadBalancer Services are opened on this machine; '' for nowhere."""
    disable_agent: bool = False
    network: NetworkConfig = NetworkConfig()
    has_named_ranges: bool = False
    """Whether the user named the ranges in `network`; else they are only the first choice."""

    write_kubeconfig: Path | None = None
    token: str = ""
    tls_sans: tuple[str, ...] = ()
    datastore_endpoint: str = ""
    runtime_config: dict[str, bool] = field(default_factory=dict)
    audit: AuditConfig | None = None
    oidc: OidcConfig | None = None
    request_header: RequestHeaderConfig = RequestHeaderConfig()
    enable_admission_plugins: tuple[str, ...] = ()
    disable_admission_plugins: tuple[str, ...] = ()
    admission_config_file: Path | None = None
    kube_scheduler_config: Path | None = None
    event_ttl_seconds: float = DEFAULT_EVENT_TTL_SECONDS

    def __post_init__(self) -> None:
        try:
            ipaddress.ip_address(self.bind_address)
        except ValueError:
            raise ConfigError(f"--bind-address {self.bind_address!r} is not an IP address") from None
        try:
            ipaddress.ip_address(self.load_balancer_address or "127.0.0.1")
        except ValueError:
            raise ConfigError(f"--load-balancer-address {self.load_balancer_address!r} is not an IP address") from None
        if not 0 <= self.https_listen_port <= 65535:
            raise ConfigError(f"--https-listen-port {self.https_listen_port} is not a port number")
        if self.container_runtime not in RUNTIMES:
            raise ConfigError(f"--container-runtime {self.container_runtime!r} is not one of {', '.join(RUNTIMES)}")
        if self.nodes < 1 or self.nodes > 100:
            raise ConfigError(f"--nodes {self.nodes} must be from 1 to 100")
        if self.fake_nodes < 0:
            raise ConfigError(f"--fake-nodes {self.fake_nodes} must not be negative")
        if self.autoscale_nodes is not None:
            fewest, most = self.autoscale_nodes
            if not 0 <= fewest <= most or not most:
                raise ConfigError(f"--autoscale-nodes {fewest}:{most} must be MIN:MAX with 0 <= MIN <= MAX and MAX > 0")
        if self.node_name:
            _check_node_name(self.node_name)
        if self.token and not _STATIC_TOKEN.fullmatch(self.token):
            raise ConfigError("--token must be of the form id.secret: 6 and 16 lower-case letters and digits")

    @property
    def kubeconfig_path(self) -> Path:
        return self.write_kubeconfig or self.data_dir / "kubeconfig"

    @property
    def node_names(self) -> tuple[str, ...]:
        """The names of the nodes that run in this process on `container_runtime`, the first one first."""
        if self.disable_agent:
            return ()
        first = self.node_name or default_node_name()
        return (first, *(f"{first}-{number}" for number in range(2, self.nodes + 1)))

    @property
    def fake_node_names(self) -> tuple[str, ...]:
        """The names of the simulated nodes beside them."""
        return tuple(f"fake-{number}" for number in range(self.fake_nodes))


@dataclass(frozen=True)
class AgentConfig:
    """What `mkube agent` was told."""

    server: str
    token: str
    data_dir: Path
    node_name: str = ""
    container_runtime: str = "docker"
    docker_host: str = ""

    def __post_init__(self) -> None:
        if not self.server.startswith("https://"):
            raise ConfigError(f"--server {self.server!r} must be an https:// URL such as https://10.0.0.1:6443")
        if self.container_runtime not in RUNTIMES:
            raise ConfigError(f"--container-runtime {self.container_runtime!r} is not one of {', '.join(RUNTIMES)}")
        if self.node_name:
            _check_node_name(self.node_name)

    @property
    def name(self) -> str:
        return self.node_name or default_node_name()


def parse_node_limits(text: str) -> tuple[int, int] | None:
    """`MIN:MAX` as numbers, None for ''. Raises ConfigError."""
    if not text:
        return None
    fewest, colon, most = text.partition(":")
    if not colon or not fewest.isdigit() or not most.isdigit():
        raise ConfigError(f"--autoscale-nodes {text!r} is not of the form MIN:MAX, such as 0:10")
    return int(fewest), int(most)


def parse_runtime_config(text: str) -> dict[str, bool]:
    """`GROUP/VERSION=true|false,...` (also `v1` and `api/all`, `api/beta`). Raises ConfigError."""
    switches: dict[str, bool] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, value = part.partition("=")
        if not name or (equals and value not in ("true", "false")):
            raise ConfigError(f"--runtime-config {part!r} is not of the form GROUP/VERSION=true or GROUP/VERSION=false")
        switches[name] = value != "false"
    return switches
