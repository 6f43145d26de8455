"""An nftables table as data: service rules as chains, sets and maps, and the text that applies them. Pure."""

import hashlib
from dataclasses import dataclass, field

from minikube_py.proxy.backends.protocol import Endpoint, HostPort, RuleSet, ServicePort

MASQUERADE_MARK = 0x00800000
_KEEP_OTHER_MARKS = 0xFFFFFFFF ^ MASQUERADE_MARK
_AFFINITY_SET_SIZE = 65_535

SERVICES, NODE_PORTS = "services", "node_ports"
NO_ENDPOINTS, NO_NODE_PORT_ENDPOINTS = "no_endpoints", "no_node_port_endpoints"
HOST_PORTS, HOST_PORTS_OF_IP = "host_ports", "host_ports_of_ip"
HAIRPIN = "hairpin"

_ADDRESS_KEY = "ipv4_addr . inet_proto . inet_service"
_PORT_KEY = "inet_proto . inet_service"
_TARGET = "ipv4_addr . inet_service"
_MAP_TYPES = {
    SERVICES: f"{_ADDRESS_KEY} : verdict",
    NODE_PORTS: f"{_PORT_KEY} : verdict",
    NO_ENDPOINTS: f"{_ADDRESS_KEY} : verdict",
    NO_NODE_PORT_ENDPOINTS: f"{_PORT_KEY} : verdict",
    HOST_PORTS: f"{_PORT_KEY} : {_TARGET}",
    HOST_PORTS_OF_IP: f"{_ADDRESS_KEY} : {_TARGET}",
}


@dataclass(frozen=True)
class TableNames:
    """table is this node's own. own_bridge '' means: there is no pod bridge of ours on this host."""

    table: str
    own_bridge: str = ""
    bridge_pattern: str = "mkube-*"


@dataclass
class TableModel:
    """The changing part of the table. Map and set elements are keyed by their key text."""

    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    affinity_sets: dict[str, int] = field(default_factory=dict)
    maps: dict[str, dict[str, str]] = field(default_factory=lambda: {name: {} for name in _MAP_TYPES})
    hairpin: set[str] = field(default_factory=set)


def build_model(rules: RuleSet) -> TableModel:
    model = TableModel()
    for service in rules.services:
        _add_service(model, service, rules.cluster_cidr)
    for port in rules.host_ports:
        _add_host_port(model, port)
    return model


def _add_service(model: TableModel, service: ServicePort, cluster_cidr: str) -> None:
    digest = _digest(service.namespace, service.name, service.port_name, service.protocol, str(service.port))
    inside = service.local_endpoints if service.internal_local_only else service.endpoints
    outside = service.local_endpoints if service.external_local_only else service.endpoints
    # One port is reachable under several addresses; each leads to the same chain, or to a refusal.
    for ip in service.cluster_ips:
        refusal = "drop" if service.internal_local_only and service.endpoints else "goto refuse"
        _point(model, f"{ip} . {service.protocol} . {service.port}", f"svc-{digest}" if inside else "", refusal)
    external_refusal = "drop" if service.external_local_only and service.endpoints else "goto refuse"
    external_chain = f"ext-{digest}" if outside or (service.external_local_only and service.endpoints) else ""
    for ip in service.external_ips:
        _point(model, f"{ip} . {service.protocol} . {service.port}", external_chain, external_refusal)
    for ip in service.load_balancer_ips:
        chain = f"lb-{digest}" if external_chain and service.source_ranges else external_chain
        _point(model, f"{ip} . {service.protocol} . {service.port}", chain, external_refusal)
    if service.node_port:
        key = f"{service.protocol} . {service.node_port}"
        if external_chain:
            model.maps[NODE_PORTS][key] = f"goto {external_chain}"
        else:
            model.maps[NO_NODE_PORT_ENDPOINTS][key] = external_refusal
    if inside:
        outsiders = f"ip saddr != {cluster_cidr} {_mark()}" if cluster_cidr else _mark()
        model.chains[f"svc-{digest}"] = (outsiders, *_balance(model, service, inside, digest))
    is_external = service.node_port or service.external_ips or service.load_balancer_ips
    if is_external and external_chain:
        _add_external_chains(model, service, digest, cluster_cidr)
    for endpoint in service.endpoints:
        model.hairpin.add(f"{endpoint.ip} . {endpoint.ip}")


def _point(model: TableModel, key: str, chain: str, refusal: str) -> None:
    if chain:
        model.maps[SERVICES][key] = f"goto {chain}"
    else:
        model.maps[NO_ENDPOINTS][key] = refusal


def _add_external_chains(model: TableModel, service: ServicePort, digest: str, cluster_cidr: str) -> None:
    everywhere = f"all-{digest}"
    if not service.external_local_only:
        model.chains[f"ext-{digest}"] = (_mark(), *_balance(model, service, service.endpoints, digest))
    else:
        rules: list[str] = []
        # Pods and the node itself are short-circuited to all endpoints, as if they had used the cluster IP.
        if cluster_cidr:
            rules.append(f"ip saddr {cluster_cidr} goto {everywhere}")
        rules.append(f"fib saddr type local {_mark()}")
        rules.append(f"fib saddr type local goto {everywhere}")
        rules += _balance(model, service, service.local_endpoints, digest) if service.local_endpoints else ["drop"]
        model.chains[f"ext-{digest}"] = tuple(rules)
        model.chains[everywhere] = tuple(_balance(model, service, service.endpoints, digest))
    if service.source_ranges:
        allowed = ", ".join(service.source_ranges)
        model.chains[f"lb-{digest}"] = (f"ip saddr {{ {allowed} }} goto ext-{digest}", "drop")


def _balance(model: TableModel, service: ServicePort, endpoints: tuple[Endpoint, ...], digest: str) -> list[str]:
    """Rules that send a connection to one of the endpoints, picked at random or by the client's last one."""
    if not service.affinity_seconds:
        target = f"{endpoints[0].ip}:{endpoints[0].port}"
        if len(endpoints) > 1:
            choices = ", ".join(f"{at} : {one.ip} . {one.port}" for at, one in enumerate(endpoints))
            target = f"numgen random mod {len(endpoints)} map {{ {choices} }}"
        return [f"meta l4proto {service.protocol} dnat ip to {target}"]
    chains: list[str] = []
    for one in endpoints:
        # The time-out is part of the name: a set's can't be changed while it is in use.
        name = f"{digest}-{_digest(one.ip, str(one.port), str(service.affinity_seconds))[:8]}"
        model.affinity_sets[f"aff-{name}"] = service.affinity_seconds
        model.chains[f"ep-{name}"] = (
            f"update @aff-{name} {{ ip saddr }}",
            f"meta l4proto {service.protocol} dnat ip to {one.ip}:{one.port}",
        )
        chains.append(name)
    choices = ", ".join(f"{at} : goto ep-{name}" for at, name in enumerate(chains))
    return [
        *(f"ip saddr @aff-{name} goto ep-{name}" for name in chains),
        f"numgen random mod {len(chains)} vmap {{ {choices} }}",
    ]


def _add_host_port(model: TableModel, port: HostPort) -> None:
    target = f"{port.pod_ip} . {port.container_port}"
    key = f"{port.protocol} . {port.host_port}"
    if port.host_ip:
        model.maps[HOST_PORTS_OF_IP][f"{port.host_ip} . {key}"] = target
    else:
        model.maps[HOST_PORTS][key] = target
    model.hairpin.add(f"{port.pod_ip} . {port.pod_ip}")


def _mark() -> str:
    return f"meta mark set meta mark | {MASQUERADE_MARK:#010x}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:16]


def full_text(names: TableNames, model: TableModel) -> str:
    """Replaces the whole table in one transaction. Session affinity starts anew."""
    lines = [
        f"add table ip {names.table}",
        f"delete table ip {names.table}",
        f"add table ip {names.table}",
        f"add set ip {names.table} {HAIRPIN} {{ type ipv4_addr . ipv4_addr; }}",
        *(f"add map ip {names.table} {name} {{ type {kind}; }}" for name, kind in _MAP_TYPES.items()),
        f"add chain ip {names.table} refuse",
        f"add rule ip {names.table} refuse reject",
    ]
    for chain, (hook, rules) in _base_chains(names).items():
        lines.append(f"add chain ip {names.table} {chain} {{ type {hook}; policy accept; }}")
        lines += [f"add rule ip {names.table} {chain} {rule}" for rule in rules]
    return "\n".join(lines) + "\n" + change_text(names, TableModel(), model)


def _base_chains(names: TableNames) -> dict[str, tuple[str, list[str]]]:
    # The pods of another node on this host are that node's business: its table knows which endpoints are local.
    others = [f'iifname "{names.bridge_pattern}" iifname != "{names.own_bridge}" return'] if names.own_bridge else []
    port = "meta l4proto . th dport"
    translate = [
        f"ip daddr . {port} vmap @{SERVICES}",
        f"meta l4proto {{ tcp, udp, sctp }} dnat ip to ip daddr . {port} map @{HOST_PORTS_OF_IP}",
        f"fib daddr type local {port} vmap @{NODE_PORTS}",
        f"fib daddr type local meta l4proto {{ tcp, udp, sctp }} dnat ip to {port} map @{HOST_PORTS}",
    ]
    refuse = [f"ct state new ip daddr . {port} vmap @{NO_ENDPOINTS}"]
    refuse_local = [f"ct state new fib daddr type local {port} vmap @{NO_NODE_PORT_ENDPOINTS}"]
    clear_mark = f"meta mark set meta mark & {_KEEP_OTHER_MARKS:#010x}"
    return {
        "prerouting": ("nat hook prerouting priority dstnat", [*others, *translate]),
        "output": ("nat hook output priority -100", translate),
        "postrouting": (
            "nat hook postrouting priority srcnat",
            [
                f"ct status dnat ip saddr . ip daddr @{HAIRPIN} masquerade",
                'ct status dnat ip saddr 127.0.0.0/8 oifname != "lo" masquerade',
                f"meta mark & {MASQUERADE_MARK:#010x} == {MASQUERADE_MARK:#010x} {clear_mark} masquerade",
            ],
        ),
        # Before other tables' filters (priority 0), so that a client is told at once and not left to time out.
        "filter_input": ("filter hook input priority -10", [*refuse, *refuse_local]),
        "filter_forward": ("filter hook forward priority -10", refuse),
        "filter_output": ("filter hook output priority -10", [*refuse, *refuse_local]),
    }


def change_text(names: TableNames, old: TableModel, new: TableModel) -> str:
    """Commands that turn a table made from `old` into one made from `new`; '' if they are equal."""
    table = names.table
    lines: list[str] = []
    for name in _MAP_TYPES:
        gone = [key for key, value in old.maps[name].items() if new.maps[name].get(key) != value]
        if gone:
            lines.append(f"delete element ip {table} {name} {{ {', '.join(gone)} }}")
    if dead := sorted(old.hairpin - new.hairpin):
        lines.append(f"delete element ip {table} {HAIRPIN} {{ {', '.join(dead)} }}")
    lines += _chain_changes(table, old, new)
    for name in _MAP_TYPES:
        added = [f"{key} : {value}" for key, value in new.maps[name].items() if old.maps[name].get(key) != value]
        if added:
            lines.append(f"add element ip {table} {name} {{ {', '.join(added)} }}")
    if fresh := sorted(new.hairpin - old.hairpin):
        lines.append(f"add element ip {table} {HAIRPIN} {{ {', '.join(fresh)} }}")
    return "".join(f"{line}\n" for line in lines)


def _chain_changes(table: str, old: TableModel, new: TableModel) -> list[str]:
    """Chains exist before a rule refers to them, and are unreferenced before they are deleted."""
    lines: list[str] = []
    changed = [name for name, rules in new.chains.items() if old.chains.get(name) != rules]
    for name in changed:
        lines.append(f"add chain ip {table} {name}")
    for name in (*changed, *(one for one in old.chains if one not in new.chains)):
        if name in old.chains:
            lines.append(f"flush chain ip {table} {name}")
    lines += [f"delete chain ip {table} {name}" for name in old.chains if name not in new.chains]
    lines += [f"delete set ip {table} {name}" for name in old.affinity_sets if name not in new.affinity_sets]
    for name, seconds in new.affinity_sets.items():
        if name not in old.affinity_sets:
            lines.append(
                f"add set ip {table} {name} {{ type ipv4_addr; size {_AFFINITY_SET_SIZE}; flags dynamic,timeout; "
                f"timeout {seconds}s; }}"
            )
    for name in changed:
        lines += [f"add rule ip {table} {name} {rule}" for rule in new.chains[name]]
    return lines
