"""Takes away what clusters whose data directory was removed have left on this machine: pods, network, mounts."""

import asyncio
import logging
from pathlib import Path

from minikube_py.bootstrap.host_claims import HostClaim, HostClaims
from minikube_py.host_tools import ToolError
from minikube_py.kubelet.runtimes.docker_cleanup import remove_everything, remove_host_network
from minikube_py.kubelet.runtimes.protocol import RuntimeFailure
from minikube_py.kubelet.volumes.mounting import unmount_below

log = logging.getLogger(__name__)


async def remove_leftovers(claims: HostClaims) -> list[HostClaim]:
    """What was cleared away. Trouble with one cluster is logged and tried again at the next start."""
    removed = []
    for claim in await asyncio.to_thread(claims.abandoned):
        try:
            await remove_everything(claim.cluster_id, claim.docker_host)
            await remove_host_network(claim.cluster_id)
            await asyncio.to_thread(unmount_below, Path(claim.data_dir) / "nodes")
        except (RuntimeFailure, ToolError, OSError) as error:
            log.warning("what the cluster of %s left behind could not be removed: %s", claim.data_dir, error)
            continue
        claims.drop(claim.cluster_id)
        log.info("removed what the cluster of %s, which is gone, left on this machine", claim.data_dir)
        removed.append(claim)
    return removed
