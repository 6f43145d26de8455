"""How full the claims' volumes of a node are, under the kubelet's names.

Source: pkg/kubelet/metrics/collectors/volume_stats.go. A directory of the machine shows the file system that it is on.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from minikube_py.objects.errors import Object
from minikube_py.prometheus import Family

Claim = tuple[str, str]
"""Namespace and name."""


def claim_paths(pods: Iterable[Object], path_of: Callable[[str, str], Path | None]) -> dict[Claim, Path]:
    """Where the claims that these pods use are on this machine. path_of takes a pod's uid and a volume's name."""
    found: dict[Claim, Path] = {}
    for pod in pods:
        meta = pod["metadata"]
        for volume in pod["spec"].get("volumes") or ():
            claim: str = (volume.get("persistentVolumeClaim") or {}).get("claimName") or ""
            if volume.get("ephemeral"):
                claim = f"{meta['name']}-{volume['name']}"
            path = path_of(meta["uid"], volume["name"]) if claim else None
            if path is not None:
                found[meta["namespace"], claim] = path
    return found


def volume_families(paths: Mapping[Claim, Path]) -> Iterator[Family]:
    """Blocks for a system call a claim: call it in a thread."""
    labels = ("namespace", "persistentvolumeclaim")
    families = {
        name: Family(f"kubelet_volume_stats_{name}", "gauge", f"Of the claim's volume: {name}.", labels)
        for name in ("capacity_bytes", "available_bytes", "used_bytes", "inodes", "inodes_free", "inodes_used")
    }
    for claim, path in paths.items():
        try:
            found = os.statvfs(path)
        except OSError:
            continue
        numbers = (
            found.f_blocks * found.f_frsize,
            found.f_bavail * found.f_frsize,
            (found.f_blocks - found.f_bfree) * found.f_frsize,
            found.f_files,
            found.f_ffree,
            found.f_files - found.f_ffree,
        )
        for family, number in zip(families.values(), numbers, strict=True):
            family.add(*claim, value=number)
    yield from families.values()
