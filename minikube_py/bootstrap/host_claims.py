"""Remembers which clusters have made something on this machine, so that nothing stays behind of one that is no more.

What a cluster makes outside its data directory (bridges, rules, containers) carries its UID but not the directory's
path: without a claim nobody could tell a cluster that is stopped from one whose directory was removed.
"""

import json
import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from minikube_py.bootstrap.cluster_files import ClusterFiles, process_start
from minikube_py.bootstrap.private_files import make_private_directory, write_private

log = logging.getLogger(__name__)

DIRECTORY = Path("/run/mkube/clusters")
"""Goes with a restart of the machine, as the network does."""


@dataclass(frozen=True)
class HostClaim:
    """device: the file system of the data directory, which may be away when the directory is missing."""

    cluster_id: str
    data_dir: str
    device: int
    docker_host: str
    pid: int
    process_start: str


class HostClaims:
    """A file per cluster. Only what root alone could have written is believed."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self._directory = directory

    def hold(self, files: ClusterFiles, docker_host: str) -> None:
        """This process is about to make things for the cluster."""
        claim = HostClaim(
            cluster_id=files.cluster_id(),
            data_dir=str(files.data_dir.absolute()),
            device=files.data_dir.stat().st_dev,
            docker_host=docker_host,
            pid=os.getpid(),
            process_start=process_start(os.getpid()),
        )
        try:
            make_private_directory(self._directory)
            write_private(self._file(claim.cluster_id), json.dumps(asdict(claim), indent=2).encode())
        except OSError as error:
            log.warning("what this cluster makes on the machine is not noted down: %s", error)

    def drop(self, cluster_id: str) -> None:
        self._file(cluster_id).unlink(missing_ok=True)

    def abandoned(self) -> list[HostClaim]:
        """Claims of clusters that nobody can start again: no process, and the data directory is not theirs any more."""
        return [claim for claim in self._all() if not _is_running(claim) and _is_removed(claim)]

    def _file(self, cluster_id: str) -> Path:
        return self._directory / f"{cluster_id}.json"

    def _all(self) -> Iterator[HostClaim]:
        for file in sorted(self._directory.glob("*.json")):
            try:
                status = file.lstat()
                if status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                    claim = HostClaim(**json.loads(file.read_text()))
                    if file == self._file(claim.cluster_id):
                        yield claim
            except (OSError, ValueError, TypeError):
                continue


def _is_running(claim: HostClaim) -> bool:
    return bool(claim.process_start) and process_start(claim.pid) == claim.process_start


def _is_removed(claim: HostClaim) -> bool:
    """A directory on a file system that is not mounted now is away, not removed."""
    data_dir = Path(claim.data_dir)
    nearest = next(place for place in (data_dir, *data_dir.parents) if place.exists())
    if nearest.stat().st_dev != claim.device:
        return False
    files = ClusterFiles(data_dir)
    try:
        return not files.exists() or files.cluster_id() != claim.cluster_id
    except (OSError, ValueError, KeyError):
        return False
