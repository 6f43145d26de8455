"""Use per second from counters: which readings are compared, and when they are taken."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from minikube_py.kubelet.runtimes.container_cgroups import parse_network, read_numbers
from minikube_py.kubelet.stats_summary import summary
from minikube_py.kubelet.usage import UsageReader, with_use
from tests.support.virtual_time import running_loop, virtual_time

SECOND = 1_000_000_000


def numbers(time: float, cpu_seconds: float, started: float = 0.0) -> dict[str, float]:
    return {"time": time, "cpu_ns": cpu_seconds * SECOND, "started_at": started, "working_set_bytes": 5.0}


@pytest.mark.parametrize(
    ("before", "after", "nano_cores", "window"),
    [
        (numbers(100, 10), numbers(110, 15), SECOND / 2, 10),
        (None, numbers(110, 4, started=106), SECOND, 4),  # new since the first reading: from its start on
        (numbers(100, 10), numbers(110, 2, started=105), SECOND * 2 / 5, 5),  # restarted: its counter began anew
        (numbers(100, 1), numbers(110, 2, started=105), SECOND * 2 / 5, 5),  # restarted and already ahead
        (None, numbers(110, 4), None, None),
        (numbers(110, 4), numbers(110, 4), None, None),
    ],
)
def test_use_between_two_readings(before: Any, after: Any, nano_cores: float | None, window: float | None) -> None:
    found = with_use({"pod": {"c": before}} if before else {}, {"pod": {"c": after}})["pod"]["c"]
    assert (found.get("cpu_nano_cores"), found.get("window")) == (nano_cores, window)


class Counting:
    """A runtime whose one container uses a quarter of a core."""

    def __init__(self) -> None:
        self.reads: list[float] = []

    async def read(self) -> dict[str, dict[str, dict[str, float]]]:
        now = running_loop().time()
        self.reads.append(now)
        return {"pod": {"c": {"time": now, "cpu_ns": now * SECOND / 4, "working_set_bytes": 7.0}}}


@virtual_time
async def test_readings_are_taken_only_when_somebody_asks() -> None:
    runtime = Counting()
    usage = UsageReader(runtime.read)
    await asyncio.sleep(1000)
    assert runtime.reads == []
    first = await usage.figures()
    assert first["pod"]["c"]["cpu_nano_cores"] == pytest.approx(SECOND / 4)
    assert first["pod"]["c"]["window"] == 1
    assert runtime.reads == [1000, 1001]
    await asyncio.sleep(2)
    assert await usage.figures() is first  # young enough
    await asyncio.sleep(13)
    later = await usage.figures()
    assert later["pod"]["c"]["window"] == 15
    assert runtime.reads == [1000, 1001, 1016]
    await asyncio.sleep(500)
    assert (await usage.figures())["pod"]["c"]["window"] == 1  # too old to say what is used now
    assert runtime.reads[3:] == [1516, 1517]


@virtual_time
async def test_callers_at_one_time_share_a_reading() -> None:
    runtime = Counting()
    usage = UsageReader(runtime.read)
    answers = await asyncio.gather(*(usage.figures() for _ in range(20)))
    assert len(runtime.reads) == 2
    assert all(answer is answers[0] for answer in answers)


def test_summary_sums_containers_and_leaves_out_strangers() -> None:
    figures = {
        "u1": {
            "a": {**numbers(200, 10), "cpu_nano_cores": 100.0, "window": 15.0, "memory_bytes": 20.0},
            "b": {**numbers(201, 20), "cpu_nano_cores": 50.0, "window": 14.0, "memory_bytes": 30.0},
        },
        "gone": {"a": {**numbers(200, 1), "cpu_nano_cores": 1.0, "window": 15.0}},
    }
    pod = {"metadata": {"name": "p", "namespace": "d"}, "spec": {}, "status": {"startTime": "2026-01-01T00:00:00Z"}}
    found = summary("n", figures, lambda uid: pod if uid == "u1" else None)
    (only,) = found["pods"]
    assert only["podRef"] == {"name": "p", "namespace": "d", "uid": "u1"}
    assert [c["name"] for c in only["containers"]] == ["a", "b"]
    assert (only["cpu"]["usageNanoCores"], only["cpu"]["windowSeconds"]) == (150, 15.0)
    assert (only["memory"]["usageBytes"], only["memory"]["workingSetBytes"]) == (50, 10)
    assert found["node"]["cpu"]["usageNanoCores"] == 151


def test_a_pod_with_an_unmeasured_container_has_no_use() -> None:
    figures = {"u": {"a": {**numbers(1, 1), "cpu_nano_cores": 1.0, "window": 1.0}, "b": numbers(1, 1)}}
    pod = {"metadata": {"name": "p", "namespace": "d"}, "spec": {}}
    (found,) = summary("n", figures, lambda _uid: pod)["pods"]
    assert "usageNanoCores" not in found["cpu"]
    assert found["cpu"]["usageCoreNanoSeconds"] == 2 * SECOND


NET = """Inter-|   Receive                                                |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo: 500 5 0 0 0 0 0 0 500 5 0 0 0 0 0 0
  eth0: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0
  eth1:1 1 0 0 0 0 0 0 2 2 0 0 0 0 0 0
"""


def test_network_counters_without_the_loopback() -> None:
    found = parse_network(NET)
    assert (found["rx_bytes"], found["rx_packets"], found["rx_errors"], found["rx_dropped"]) == (1001, 11, 1, 2)
    assert (found["tx_bytes"], found["tx_packets"], found["tx_errors"], found["tx_dropped"]) == (2002, 22, 3, 4)


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def test_numbers_of_cgroup_v2(tmp_path: Path) -> None:
    write(tmp_path, {
        "proc/7/cgroup": "0::/box/a\n",
        "proc/7/net/dev": NET,
        "cg/box/a/cpu.stat": "usage_usec 1500\nnr_periods 9\nnr_throttled 2\nthrottled_usec 30\n",
        "cg/box/a/memory.current": "1000\n",
        "cg/box/a/memory.stat": "anon 300\nfile 600\ninactive_file 400\npgfault 8\npgmajfault 1\n",
        "cg/box/a/pids.current": "3\n",
        "cg/box/a/io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=9\n8:16 rbytes=1 wbytes=2 rios=3 wios=4\n",
    })  # fmt: skip
    found = read_numbers(7, tmp_path / "cg", tmp_path / "proc")
    assert (found["cpu_ns"], found["memory_bytes"], found["working_set_bytes"]) == (1_500_000, 1000, 600)
    assert (found["rss_bytes"], found["cache_bytes"], found["swap_bytes"], found["pids"]) == (300, 600, 0, 3)
    assert (found["periods"], found["throttled_periods"], found["throttled_ns"]) == (9, 2, 30_000)
    assert (found["read_bytes"], found["written_bytes"], found["reads"], found["writes"]) == (11, 22, 4, 6)
    assert found["tx_bytes"] == 2002
    assert read_numbers(8, tmp_path / "cg", tmp_path / "proc") == {}


def test_numbers_of_cgroup_v1(tmp_path: Path) -> None:
    write(tmp_path, {
        "proc/7/cgroup": "5:blkio:/b\n4:memory:/m\n3:cpuacct,cpu:/c\n2:pids:/p\n",
        "cg/blkio/b/blkio.throttle.io_service_bytes": "8:0 Read 10\n8:0 Write 20\n8:0 Total 30\nTotal 30\n",
        "proc/7/net/dev": NET,
        "cg/memory/m/memory.usage_in_bytes": "1000\n",
        "cg/memory/m/memory.stat": "rss 1\ntotal_rss 300\ntotal_cache 600\ntotal_inactive_file 400\n",
        "cg/cpuacct/c/cpuacct.usage": "1500000\n",
        "cg/cpu/c/cpu.stat": "nr_periods 9\nnr_throttled 2\nthrottled_time 30000\n",
        "cg/pids/p/pids.current": "3\n",
    })  # fmt: skip
    found = read_numbers(7, tmp_path / "cg", tmp_path / "proc")
    assert (found["cpu_ns"], found["memory_bytes"], found["working_set_bytes"]) == (1_500_000, 1000, 600)
    assert (found["rss_bytes"], found["cache_bytes"], found["pids"], found["throttled_ns"]) == (300, 600, 3, 30_000)
    assert (found["read_bytes"], found["written_bytes"], found["reads"]) == (10, 20, 0)
