"""Where the node keeps files of pods: paths made from UIDs and validated names only."""

import re
from dataclasses import dataclass
from pathlib import Path

# A pod's uid is a UUID; anything else that cannot lead out of a directory is accepted as well.
_PART = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252})")


def safe_part(text: str) -> str:
    """text as one path component. Raises ValueError for what could be more than that."""
    if not _PART.fullmatch(text) or ".." in text:
        raise ValueError(f"{text!r} is not usable in a path")
    return text


@dataclass(frozen=True)
class NodePaths:
    """All paths below <data-dir>/kubelet. Secrets, tokens and downward data are in memory/, a tmpfs where possible."""

    data_dir: Path
    volumes_dir: Path | None = None
    """Where local volumes are, which outlive pods and nodes; None: below root."""

    def local_volume(self, handle: str) -> Path:
        return (self.volumes_dir or self.root / "local-volumes") / safe_part(handle)

    @property
    def root(self) -> Path:
        return self.data_dir / "kubelet"

    @property
    def pods(self) -> Path:
        return self.root / "pods"

    @property
    def memory(self) -> Path:
        return self.root / "memory"

    def pod(self, uid: str) -> Path:
        return self.pods / safe_part(uid)

    def pod_memory(self, uid: str) -> Path:
        return self.memory / safe_part(uid)

    def volume(self, uid: str, kind: str, name: str) -> Path:
        return self.pod(uid) / "volumes" / f"kubernetes.io~{safe_part(kind)}" / safe_part(name)

    def memory_volume(self, uid: str, kind: str, name: str) -> Path:
        return self.pod_memory(uid) / f"kubernetes.io~{safe_part(kind)}" / safe_part(name)

    def sub_paths(self, uid: str) -> Path:
        return self.pod(uid) / "volume-subpaths"

    def sub_path(self, uid: str, volume: str, container: str, index: int) -> Path:
        return self.sub_paths(uid) / safe_part(volume) / safe_part(container) / str(index)
