"""Forgets UDP flows whose endpoint has gone: the kernel would go on sending a client's packets to it."""

import asyncio
import logging
import socket
from typing import Any

from minikube_py.proxy.backends.protocol import RuleSet

log = logging.getLogger(__name__)

_UDP = socket.IPPROTO_UDP


def stale_udp_targets(old: RuleSet, new: RuleSet) -> set[tuple[str, int, str]]:
    """(address, port, endpoint ip) of flows to forget; endpoint '' means: the flows that were not translated.

    address is '' for node ports.
    """
    before, after = _udp_targets(old), _udp_targets(new)
    stale: set[tuple[str, int, str]] = set()
    for key, endpoints in before.items():
        stale |= {(*key, ip) for ip in endpoints - after.get(key, set())}
    for key, endpoints in after.items():
        # A flow that began while there was no endpoint (or no Service) stays untranslated unless it is forgotten.
        if endpoints and not before.get(key):
            stale.add((*key, ""))
    return stale


def _udp_targets(rules: RuleSet) -> dict[tuple[str, int], set[str]]:
    targets: dict[tuple[str, int], set[str]] = {}
    for service in rules.services:
        if service.protocol != "udp":
            continue
        keys = [(ip, service.port) for ip in (*service.cluster_ips, *service.external_ips, *service.load_balancer_ips)]
        if service.node_port:
            keys.append(("", service.node_port))
        for key in keys:
            targets.setdefault(key, set()).update(one.ip for one in service.endpoints)
    for port in rules.host_ports:
        if port.protocol == "udp":
            targets.setdefault((port.host_ip, port.host_port), set()).add(port.pod_ip)
    return targets


async def forget_udp_flows(stale: set[tuple[str, int, str]]) -> None:
    """Best effort: a kernel without the conntrack netlink interface only makes clients wait for their time-out."""
    try:
        await asyncio.to_thread(_forget, stale)
    except Exception as error:
        log.warning("could not clear stale UDP flows: %s", error)


def _forget(stale: set[tuple[str, int, str]]) -> None:
    from pyroute2.conntrack import Conntrack, NFCTAttrTuple  # noqa: PLC0415 (loaded lazily: 200 ms)

    with Conntrack() as conntrack:
        for flow in list(conntrack.dump_entries(tuple_orig=NFCTAttrTuple(proto=_UDP))):
            if _is_stale(flow, stale):
                conntrack.entry("del", tuple_orig=flow.tuple_orig)


def _is_stale(flow: Any, stale: set[tuple[str, int, str]]) -> bool:
    asked, port = flow.tuple_orig.daddr, flow.tuple_orig.dport
    answers = flow.tuple_reply.saddr
    endpoint = "" if answers == asked else answers
    return (asked, port, endpoint) in stale or ("", port, endpoint) in stale
