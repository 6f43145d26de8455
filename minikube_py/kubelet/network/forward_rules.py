"""The one thing outside mkube's own tables: accept rules for its bridge where the FORWARD policy is DROP."""

import shlex

from minikube_py.host_tools import ToolError, find_tool, run_tool
from minikube_py.kubelet.network.host_names import is_owned

_CHAINS = ("DOCKER-USER", "FORWARD")
_LEGACY_TABLES = "/proc/net/ip_tables_names"


async def accept_forwarding(bridge: str, comment: str) -> None:
    """Insert the labelled pair of rules wherever a DROP policy would stop pod traffic. Safe to repeat."""
    for tool in _variants():
        try:
            policy = (await run_tool([tool, "-w", "-S", "FORWARD"])).splitlines()[0]
        except (ToolError, IndexError):
            continue
        if policy != "-P FORWARD DROP":
            continue
        for chain in _CHAINS:
            if await _insert_pair(tool, chain, bridge, comment):
                break


async def _insert_pair(tool: str, chain: str, bridge: str, comment: str) -> bool:
    """False when the chain does not exist."""
    try:
        await run_tool([tool, "-w", "-S", chain])
    except ToolError:
        return False
    for direction in ("-i", "-o"):
        rule = [direction, bridge, "-m", "comment", "--comment", comment, "-j", "ACCEPT"]
        try:
            await run_tool([tool, "-w", "-C", chain, *rule])
        except ToolError:
            await run_tool([tool, "-w", "-I", chain, *rule])
    return True


async def remove_forwarding(owner: str) -> None:
    """Delete every rule with the comment of a node or, by the owner prefix, of any node of a cluster."""
    for tool in _variants():
        for chain in _CHAINS:
            try:
                listing = await run_tool([tool, "-w", "-S", chain])
            except ToolError:
                continue
            for line in listing.splitlines():
                words = shlex.split(line)
                if words[:1] == ["-A"] and is_owned(_comment(words), owner):
                    await run_tool([tool, "-w", "-D", *words[1:]])


def _comment(words: list[str]) -> str:
    return words[words.index("--comment") + 1] if "--comment" in words else ""


def _variants() -> list[str]:
    """The iptables commands whose rules are in force; the legacy one only where its table is in use."""
    try:
        with open(_LEGACY_TABLES, encoding="ascii") as tables:
            uses_legacy = "filter" in tables.read().split()
    except OSError:
        uses_legacy = False
    named = ["iptables-nft", *(["iptables-legacy"] if uses_legacy else [])]
    return [tool for tool in named if find_tool(tool)] or ["iptables"]
