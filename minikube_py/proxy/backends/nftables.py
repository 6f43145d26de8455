"""Applies service rules as one nftables table of the node's own, through the `nft` tool."""

import hashlib
import logging
import re

from minikube_py.host_tools import ToolError, run_tool
from minikube_py.proxy.backends.conntrack import forget_udp_flows, stale_udp_targets
from minikube_py.proxy.backends.nft_model import TableModel, TableNames, build_model, change_text, full_text
from minikube_py.proxy.backends.protocol import RuleSet

log = logging.getLogger(__name__)


def table_name(cluster_id: str, node_name: str) -> str:
    """`mkube-<cluster>-<node>`, both as eight characters."""
    cluster = re.sub(r"[^a-z0-9]", "", cluster_id.lower())[:8] or "cluster"
    return f"mkube-{cluster}-{hashlib.sha256(f'{cluster_id}/{node_name}'.encode()).hexdigest()[:8]}"


class NftablesBackend:
    """Implements ProxyBackend. Needs root and the nft tool.

    Small changes are applied as such, which keeps session affinity; anything unexpected leads to a full replacement.
    """

    def __init__(self, cluster_id: str, node_name: str, own_bridge: str = "") -> None:
        self._names = TableNames(table_name(cluster_id, node_name), own_bridge)
        self._applied: TableModel | None = None
        self._rules = RuleSet()

    async def apply(self, rules: RuleSet) -> None:
        """Raises ToolError when the table can't be replaced."""
        model = build_model(rules)
        if not await self._change(model):
            self._applied = None
            await run_tool(["nft", "-f", "-"], full_text(self._names, model))
        self._applied = model
        stale = stale_udp_targets(self._rules, rules)
        self._rules = rules
        if stale:
            await forget_udp_flows(stale)

    async def _change(self, model: TableModel) -> bool:
        if self._applied is None:
            return False
        text = change_text(self._names, self._applied, model)
        if not text:
            return True
        try:
            await run_tool(["nft", "-f", "-"], text)
        except ToolError as error:
            # Somebody else has changed the table, or flushed all of nftables.
            log.warning("the service rules on the host are not what was applied, replacing them: %s", error)
            return False
        return True

    async def destroy(self) -> None:
        self._applied = None
        await run_tool(["nft", "-f", "-"], f"add table ip {self._names.table}\ndelete table ip {self._names.table}\n")
