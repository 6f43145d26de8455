"""CPU and memory use of processes' control groups, read from cgroup v1 or v2 files.

Docker's own statistics do not exist for pods on mkube's bridge: the engine looks for a network of its own first.
"""

import os
from pathlib import Path

from minikube_py import clock

_ROOT = Path("/sys/fs/cgroup")
_NANOSECONDS_PER_MICROSECOND = 1000


def read_numbers(process_id: int, root: Path = _ROOT) -> dict[str, float]:
    """time (epoch seconds), cpu_ns (total), memory_bytes, working_set_bytes, pids; {} when the process has ended.

    Blocks for a few file reads: call it in a thread.
    """
    try:
        with open(f"/proc/{process_id}/cgroup", encoding="ascii") as file:
            groups = parse_groups(file.read())
        return _v1(groups, root) if "memory" in groups else _v2(groups.get("", "/"), root)
    except (OSError, ValueError):
        return {}


def parse_groups(text: str) -> dict[str, str]:
    """{controller: path} of a /proc/<pid>/cgroup file; cgroup v2's single hierarchy is under ''."""
    groups: dict[str, str] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            groups[controller] = path
    return groups


def _v1(groups: dict[str, str], root: Path) -> dict[str, float]:
    memory = _directory(root / "memory", groups["memory"])
    usage = _number(memory / "memory.usage_in_bytes")
    inactive = _statistic(memory / "memory.stat", "total_inactive_file")
    pids = _directory(root / "pids", groups["pids"]) / "pids.current" if "pids" in groups else None
    return _numbers(
        cpu_ns=_number(_directory(root / "cpuacct", groups["cpuacct"]) / "cpuacct.usage"),
        usage=usage,
        inactive=inactive,
        pids=_number(pids) if pids else 0,
    )


def _v2(path: str, root: Path) -> dict[str, float]:
    group = _directory(root, path)
    return _numbers(
        cpu_ns=_statistic(group / "cpu.stat", "usage_usec") * _NANOSECONDS_PER_MICROSECOND,
        usage=_number(group / "memory.current"),
        inactive=_statistic(group / "memory.stat", "inactive_file"),
        pids=_number(group / "pids.current"),
    )


def _numbers(*, cpu_ns: int, usage: int, inactive: int, pids: int) -> dict[str, float]:
    return {
        "time": clock.seconds(),
        "cpu_ns": cpu_ns,
        "memory_bytes": usage,
        # Kubernetes' working set: what the kernel could not take back at once.
        "working_set_bytes": max(0, usage - inactive),
        "pids": pids,
    }


def _directory(mount: Path, path: str) -> Path:
    return mount / path.lstrip("/") if ".." not in path.split(os.sep) else mount


def _number(file: Path) -> int:
    return int(file.read_text())


def _statistic(file: Path, name: str) -> int:
    for line in file.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0
