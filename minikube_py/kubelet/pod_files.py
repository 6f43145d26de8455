"""Writes the files that every pod gets: /etc/hosts, /etc/resolv.conf, /etc/hostname, and knows the pod's host names."""

import asyncio
import ipaddress
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from minikube_py.kubelet.runtimes.protocol import Mount, RuntimeFailure
from minikube_py.kubelet.services import StartedPod
from minikube_py.kubelet.volumes.node_paths import safe_part
from minikube_py.objects.errors import Object

LONGEST_HOSTNAME = 63
LONGEST_FQDN = 64

_HEADER = "# Kubernetes-managed hosts file."
_HOST_NETWORK_HEADER = "# Kubernetes-managed hosts file (host network)."
_LOCAL_NAMES = (
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "fe00::0\tip6-mcastprefix",
    "fe00::1\tip6-allnodes",
    "fe00::2\tip6-allrouters",
)
# systemd-resolved's stub listens on the host's loopback, which pods cannot reach; this file has the real servers.
_RESOLVER_FILES = (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf"))


@dataclass(frozen=True)
class DnsSettings:
    """How pods resolve names. servers is empty when the cluster has no DNS."""

    servers: tuple[str, ...] = ()
    domain: str = "cluster.local"
    host_files: tuple[Path, ...] = _RESOLVER_FILES


@dataclass(frozen=True)
class ResolverConfig:
    """The three kinds of lines of a resolv.conf."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def text(self) -> str:
        lines = []
        if self.searches:
            lines.append("search " + " ".join(self.searches))
        lines += [f"nameserver {server}" for server in self.nameservers]
        if self.options:
            lines.append("options " + " ".join(self.options))
        return "".join(line + "\n" for line in lines)


def host_names(pod: Object, domain: str) -> tuple[str, str]:
    """(host name, fully qualified name or ''). Raises RuntimeFailure for an FQDN that the kernel would not take."""
    spec, meta = pod["spec"], pod["metadata"]
    if spec.get("hostnameOverride"):
        return str(spec["hostnameOverride"]), ""
    host = str(spec.get("hostname") or meta["name"][:LONGEST_HOSTNAME].rstrip("-."))
    subdomain = spec.get("subdomain")
    fqdn = f"{host}.{subdomain}.{meta['namespace']}.svc.{domain}" if subdomain else ""
    if fqdn and spec.get("setHostnameAsFQDN"):
        if len(fqdn) > LONGEST_FQDN:
            raise RuntimeFailure(
                "FailedCreatePodSandBox",
                f"failed to construct FQDN from pod hostname and cluster domain, FQDN {fqdn} is too long "
                f"({LONGEST_FQDN} characters is the max, {len(fqdn)} characters requested)",
            )
        return fqdn, fqdn
    return host, fqdn


def hosts_text(started: StartedPod, domain: str, host_file: str) -> str:
    """/etc/hosts of the pod; host_file is the node's own, for pods on the host network."""
    pod = started.pod
    if pod["spec"].get("hostNetwork"):
        text = f"{_HOST_NETWORK_HEADER}\n{host_file}"
    else:
        host, fqdn = host_names(pod, domain)
        short = host.partition(".")[0] if host == fqdn else host
        names = f"{fqdn}\t{short}" if fqdn else host
        lines = [_HEADER, *_LOCAL_NAMES, *(f"{ip}\t{names}" for ip in started.ips)]
        text = "\n".join(lines) + "\n"
    aliases = pod["spec"].get("hostAliases") or ()
    if aliases:
        text += "\n# Entries added by HostAliases.\n"
        text += "".join(f"{alias['ip']}\t" + "\t".join(alias.get("hostnames") or ()) + "\n" for alias in aliases)
    return text


def resolver_config(pod: Object, dns: DnsSettings, host: ResolverConfig) -> ResolverConfig:
    """The pod's resolv.conf after its dnsPolicy and dnsConfig; host is the node's own."""
    spec = pod["spec"]
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        policy = "Default"
    if policy in ("ClusterFirst", "ClusterFirstWithHostNet") and dns.servers:
        namespace = pod["metadata"]["namespace"]
        own = (f"{namespace}.svc.{dns.domain}", f"svc.{dns.domain}", dns.domain)
        config = ResolverConfig(dns.servers, _unique((*own, *host.searches)), ("ndots:5",))
    elif policy == "None":
        config = ResolverConfig()
    else:
        reachable = tuple(s for s in host.nameservers if spec.get("hostNetwork") or not _is_loopback(s))
        config = ResolverConfig(reachable or dns.servers, host.searches, host.options)
    return _with_dns_config(config, spec.get("dnsConfig") or {})


def _with_dns_config(config: ResolverConfig, wanted: Object) -> ResolverConfig:
    options = {entry.partition(":")[0]: entry for entry in config.options}
    for option in wanted.get("options") or ():
        value = option.get("value")
        options[option["name"]] = option["name"] if value in (None, "") else f"{option['name']}:{value}"
    return ResolverConfig(
        _unique((*config.nameservers, *(wanted.get("nameservers") or ()))),
        _unique((*config.searches, *(wanted.get("searches") or ()))),
        tuple(options.values()),
    )


def parse_resolver(text: str) -> ResolverConfig:
    """The last search line counts, as in the resolver itself."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            searches = [name.rstrip(".") or name for name in words[1:]]
        elif words[0] == "options":
            options += words[1:]
    return ResolverConfig(tuple(servers), tuple(searches), tuple(options))


def _unique(entries: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(entries))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


class PodFiles:
    """Writes the files below the pod's directory and says how containers mount them."""

    def __init__(self, pods_directory: Path, dns: DnsSettings) -> None:
        self._pods = pods_directory
        self._dns = dns

    async def mounts(self, started: StartedPod, taken: Sequence[str]) -> tuple[Mount, ...]:
        """Write what is missing. taken: container paths that volumes claim for themselves."""
        directory = self._pods / safe_part(started.pod["metadata"]["uid"])
        files = await asyncio.to_thread(self._write, started, directory)
        return tuple(
            Mount(container_path=path, host_path=str(directory / name)) for path, name in files if path not in taken
        )

    def _write(self, started: StartedPod, directory: Path) -> list[tuple[str, str]]:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        host_resolver = parse_resolver(next((f.read_text() for f in self._dns.host_files if f.is_file()), ""))
        host_file = Path("/etc/hosts").read_text() if started.pod["spec"].get("hostNetwork") else ""
        texts = {"resolv.conf": resolver_config(started.pod, self._dns, host_resolver).text()}
        if started.ips:
            texts["etc-hosts"] = hosts_text(started, self._dns.domain, host_file)
        if not started.pod["spec"].get("hostNetwork"):
            texts["hostname"] = host_names(started.pod, self._dns.domain)[0] + "\n"
        for name, text in texts.items():
            _write_once(directory / name, text)
        paths = {"resolv.conf": "/etc/resolv.conf", "etc-hosts": "/etc/hosts", "hostname": "/etc/hostname"}
        return [(paths[name], name) for name in texts]


def _write_once(path: Path, text: str) -> None:
    """Containers hold the file by its inode: it is written in place, and only when something differs."""
    if path.is_file() and path.read_text() == text:
        return
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    with os.fdopen(handle, "w") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(text)
