"""CPU and memory use of processes' control groups, read from cgroup v1 or v2 files.

Docker's own statistics do not exist for pods on mkube's bridge: the engine looks for a network of its own first.
"""

import os
from pathlib import Path

from minikube_py import clock

_ROOT = Path("/sys/fs/cgroup")
_NANOSECONDS_PER_MICROSECOND = 1000


def read_numbers(process_id: int, root: Path = _ROOT, processes: Path = Path("/proc")) -> dict[str, float]:
    """time (epoch seconds), cpu_ns (total), memory_bytes, working_set_bytes, rss_bytes, cache_bytes, swap_bytes,
    page_faults, major_page_faults, pids, throttling (periods, throttled_periods, throttled_ns), disks (read_bytes,
    written_bytes, reads, writes) and the counters of the process's network (rx_bytes, rx_packets, rx_errors, rx_dropped
    and the same for tx); {} when the process has ended.

    Blocks for a few file reads: call it in a thread.
    """
    process = processes / str(process_id)
    try:
        groups = parse_groups((process / "cgroup").read_text(encoding="ascii"))
        numbers = _v1(groups, root) if "memory" in groups else _v2(groups.get("", "/"), root)
        return {"time": clock.seconds(), **numbers, **parse_network((process / "net" / "dev").read_text())}
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


def parse_network(text: str) -> dict[str, float]:
    """The sums of a /proc/<pid>/net/dev file over all interfaces but the loopback."""
    totals = dict.fromkeys((name for names in _NETWORK_COLUMNS.values() for name in names), 0.0)
    for line in text.splitlines()[2:]:
        interface, _, counters = line.partition(":")
        if interface.strip() == "lo":
            continue
        values = counters.split()
        for first, names in _NETWORK_COLUMNS.items():
            for name, value in zip(names, values[first:], strict=False):
                totals[name] += int(value)
    return totals


_NETWORK_COLUMNS = {
    0: ("rx_bytes", "rx_packets", "rx_errors", "rx_dropped"),
    8: ("tx_bytes", "tx_packets", "tx_errors", "tx_dropped"),
}


def _v1(groups: dict[str, str], root: Path) -> dict[str, float]:
    memory = _directory(root / "memory", groups["memory"])
    usage, detail = _number(memory / "memory.usage_in_bytes"), _table(memory / "memory.stat")
    quota = _table(_directory(root / "cpu", groups["cpu"]) / "cpu.stat") if "cpu" in groups else {}
    pids = _directory(root / "pids", groups["pids"]) / "pids.current" if "pids" in groups else None
    disks = _directory(root / "blkio", groups["blkio"]) if "blkio" in groups else None
    return {
        "cpu_ns": _number(_directory(root / "cpuacct", groups["cpuacct"]) / "cpuacct.usage"),
        **_memory(usage, detail.get("total_inactive_file", 0)),
        "rss_bytes": detail.get("total_rss", 0),
        "cache_bytes": detail.get("total_cache", 0),
        "swap_bytes": detail.get("total_swap", 0),
        "page_faults": detail.get("total_pgfault", 0),
        "major_page_faults": detail.get("total_pgmajfault", 0),
        "pids": _number(pids) if pids else 0,
        **_throttling(quota, quota.get("throttled_time", 0)),
        **(_disks_v1(disks) if disks is not None else {}),
    }


def _v2(path: str, root: Path) -> dict[str, float]:
    group = _directory(root, path)
    cpu, detail = _table(group / "cpu.stat"), _table(group / "memory.stat")
    swap = group / "memory.swap.current"
    return {
        "cpu_ns": cpu["usage_usec"] * _NANOSECONDS_PER_MICROSECOND,
        **_memory(_number(group / "memory.current"), detail.get("inactive_file", 0)),
        "rss_bytes": detail.get("anon", 0),
        "cache_bytes": detail.get("file", 0),
        "swap_bytes": _number(swap) if swap.exists() else 0,
        "page_faults": detail.get("pgfault", 0),
        "major_page_faults": detail.get("pgmajfault", 0),
        "pids": _number(group / "pids.current"),
        **_throttling(cpu, cpu.get("throttled_usec", 0) * _NANOSECONDS_PER_MICROSECOND),
        **_disks_v2(group / "io.stat"),
    }


def _disks_v1(group: Path) -> dict[str, float]:
    """Lines of `device operation number`, summed over devices."""
    totals = dict.fromkeys(_DISK_NAMES.values(), 0.0)
    for file, names in (("io_service_bytes", ("read_bytes", "written_bytes")), ("io_serviced", ("reads", "writes"))):
        path = group / f"blkio.throttle.{file}"
        for words in (line.split() for line in path.read_text().splitlines()) if path.exists() else ():
            if len(words) == 3 and words[1] in ("Read", "Write"):
                totals[names[words[1] == "Write"]] += int(words[2])
    return totals


def _disks_v2(path: Path) -> dict[str, float]:
    """Lines of `device rbytes=1 wbytes=2 rios=3 wios=4 ...`, summed over devices."""
    totals = dict.fromkeys(_DISK_NAMES.values(), 0.0)
    for line in path.read_text().splitlines() if path.exists() else ():
        for word in line.split()[1:]:
            key, _, number = word.partition("=")
            if key in _DISK_NAMES:
                totals[_DISK_NAMES[key]] += int(number)
    return totals


_DISK_NAMES = {"rbytes": "read_bytes", "wbytes": "written_bytes", "rios": "reads", "wios": "writes"}


def _memory(usage: int, inactive: int) -> dict[str, float]:
    # Kubernetes' working set: what the kernel could not take back at once.
    return {"memory_bytes": usage, "working_set_bytes": max(0, usage - inactive)}


def _throttling(statistics: dict[str, int], throttled_ns: int) -> dict[str, float]:
    return {
        "periods": statistics.get("nr_periods", 0),
        "throttled_periods": statistics.get("nr_throttled", 0),
        "throttled_ns": throttled_ns,
    }


def _directory(mount: Path, path: str) -> Path:
    return mount / path.lstrip("/") if ".." not in path.split(os.sep) else mount


def _number(file: Path) -> int:
    return int(file.read_text())


def _table(file: Path) -> dict[str, int]:
    """A file of `name value` lines."""
    pairs = (line.split() for line in file.read_text().splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}
