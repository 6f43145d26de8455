"""Knows the layout of a data directory: the cluster's identity, the record of its server, the places of files."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from minikube_py import clock, ids
from minikube_py.bootstrap.private_files import make_private_directory, write_private


@dataclass(frozen=True)
class ServerRecord:
    """A server that runs, or ran, on this data directory. started is seconds since the epoch."""

    pid: int
    url: str
    container_runtime: str
    docker_host: str
    node_names: tuple[str, ...]
    started: float = 0.0
    process_start: str = ""
    """The kernel's start time of the process (clock ticks since boot), which tells it from a later one with its pid."""


class ClusterFiles:
    """One data directory. Directories are made with mode 0700."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    @property
    def pki_dir(self) -> Path:
        return self.data_dir / "pki"

    @property
    def identity_file(self) -> Path:
        return self.data_dir / "cluster.json"

    @property
    def record_file(self) -> Path:
        return self.data_dir / "server.json"

    @property
    def ranges_file(self) -> Path:
        """The address ranges that were chosen at the first start."""
        return self.data_dir / "ranges.json"

    @property
    def volumes_dir(self) -> Path:
        """Where the volumes that claims were given keep their data."""
        return self.data_dir / "volumes"

    @property
    def nodes_dir(self) -> Path:
        """Where every node that ever ran here has its directory."""
        return self.data_dir / "nodes"

    def node_dir(self, node_name: str) -> Path:
        return self.nodes_dir / node_name

    def exists(self) -> bool:
        return self.identity_file.exists()

    def make(self) -> None:
        make_private_directory(self.data_dir)

    def cluster_id(self) -> str:
        """The cluster's UID, made at the first call and kept."""
        if self.identity_file.exists():
            return str(json.loads(self.identity_file.read_text())["clusterUID"])
        self.make()
        uid = ids.uid()
        identity = {"clusterUID": uid, "created": clock.rfc3339()}
        write_private(self.identity_file, json.dumps(identity, indent=2).encode())
        return uid

    def write_record(self, record: ServerRecord) -> None:
        write_private(self.record_file, json.dumps(asdict(record), indent=2).encode())

    def read_record(self) -> ServerRecord | None:
        """None when no server ever ran here, or its record can't be read."""
        try:
            fields = json.loads(self.record_file.read_text())
            fields["node_names"] = tuple(fields["node_names"])
            return ServerRecord(**fields)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def running_record(self) -> ServerRecord | None:
        """The record, when its process lives and is a server on this directory."""
        record = self.read_record()
        if record is None or not _is_alive(record.pid) or process_start(record.pid) != record.process_start:
            return None
        return record


def process_start(pid: int) -> str:
    """When the process began, as text that no later process with the same pid has.

    '' for one that has ended and only waits for its parent, and where the system has no /proc.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The command's name, in parentheses, may hold anything; the state and the start time come after it.
    after_name = fields.rpartition(")")[2].split()
    has_ended = after_name[0] == "Z"
    return "" if has_ended else after_name[19]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
