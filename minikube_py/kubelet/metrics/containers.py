"""/metrics/cadvisor and /metrics/resource: what containers and pods use, under cAdvisor's and the kubelet's names.

Source: cadvisor docs/storage/prometheus.md; kubelet pkg/kubelet/metrics/collectors/resource_metrics.go.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from minikube_py import clock
from minikube_py.kubelet.runtimes.protocol import RuntimeInfo
from minikube_py.kubelet.usage import NANO, Figures, Numbers
from minikube_py.objects import quantity
from minikube_py.objects.errors import Object
from minikube_py.prometheus import Family, single
from minikube_py.resources.core.pod_qos import qos_class

_PERIOD_US = 100_000
_STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
_CONTAINER = ("container", "id", "image", "name", "namespace", "pod")


@dataclass(frozen=True)
class Measured:
    """One container that runs. pod is its object; spec and status are the container's entries in it, perhaps empty."""

    pod: Object
    name: str
    numbers: Numbers
    spec: Object
    status: Object

    @property
    def place(self) -> tuple[str, str, str]:
        meta = self.pod["metadata"]
        return self.name, meta["namespace"], meta["name"]

    @property
    def labels(self) -> tuple[str, ...]:
        """container, id, image, name, namespace, pod."""
        container_id = self.status.get("containerID", "").rpartition("//")[2]
        image = self.status.get("image", "") or self.spec.get("image", "")
        container, namespace, pod = self.place
        return container, f"{pod_group(self.pod)}/{container_id}", image, container_id, namespace, pod


def pod_group(pod: Object) -> str:
    """The pod's place among control groups, as Kubernetes' cgroupfs driver names it."""
    tier = {"Burstable": "/burstable", "BestEffort": "/besteffort"}.get(qos_class(pod["spec"]), "")
    return f"/kubepods{tier}/pod{pod['metadata']['uid']}"


def measured(figures: Figures, pods: Mapping[str, Object]) -> list[Measured]:
    """The figures joined with their pods; those of pods that the node no longer knows are left out.

    A pod that was made anew under its name hides the old one, which may not have ended yet: places are unique.
    """
    found: dict[tuple[str, str, str], Measured] = {}
    for uid, containers in figures.items():
        pod = pods.get(uid)
        if pod is None:
            continue
        specs = {c["name"]: c for key in ("containers", "initContainers") for c in pod["spec"].get(key) or ()}
        status = pod.get("status") or {}
        statuses = {s["name"]: s for key in _STATUSES for s in status.get(key) or ()}
        for name, numbers in sorted(containers.items()):
            one = Measured(pod, name, numbers, specs.get(name, {}), statuses.get(name, {}))
            other = found.get(one.place)
            if other is None or other.numbers.get("started_at", 0) <= numbers.get("started_at", 0):
                found[one.place] = one
    return list(found.values())


# --- /metrics/resource -----------------------------------------------------------------------------------------------


def resource_page(containers: Iterable[Measured]) -> Iterator[Family]:
    containers = list(containers)
    place = ("container", "namespace", "pod")
    cpu = Family("container_cpu_usage_seconds_total", "counter", "CPU time used, in seconds.", place)
    memory = Family("container_memory_working_set_bytes", "gauge", "The working set.", place)
    swap = Family("container_swap_usage_bytes", "gauge", "Swap in use.", place)
    start = Family("container_start_time_seconds", "gauge", "When the container started, in epoch seconds.", place)
    for one in containers:
        numbers, time = one.numbers, one.numbers["time"]
        cpu.add(*one.place, value=numbers["cpu_ns"] / NANO, time=time)
        memory.add(*one.place, value=numbers["working_set_bytes"], time=time)
        swap.add(*one.place, value=numbers.get("swap_bytes", 0), time=time)
        if numbers.get("started_at"):
            start.add(*one.place, value=numbers["started_at"], time=None)
    yield from (cpu, memory, swap, start)
    yield from _pod_totals(containers)
    time = max((one.numbers["time"] for one in containers), default=clock.seconds())
    node_cpu = Family("node_cpu_usage_seconds_total", "counter", "CPU time used by all pods, in seconds.")
    node_cpu.add(value=sum(one.numbers["cpu_ns"] for one in containers) / NANO, time=time)
    node_memory = Family("node_memory_working_set_bytes", "gauge", "The working set of all pods.")
    node_memory.add(value=sum(one.numbers["working_set_bytes"] for one in containers), time=time)
    yield from (node_cpu, node_memory)
    yield single("resource_scrape_error", "gauge", "1 when there was an error while reading, else 0.", 0)


def _pod_totals(containers: Iterable[Measured]) -> Iterator[Family]:
    place = ("namespace", "pod")
    cpu = Family("pod_cpu_usage_seconds_total", "counter", "CPU time used, in seconds.", place)
    memory = Family("pod_memory_working_set_bytes", "gauge", "The working set.", place)
    pods: dict[tuple[str, str], list[Numbers]] = {}
    for one in containers:
        pods.setdefault(one.place[1:], []).append(one.numbers)
    for pod, numbers in pods.items():
        time = max(n["time"] for n in numbers)
        cpu.add(*pod, value=sum(n["cpu_ns"] for n in numbers) / NANO, time=time)
        memory.add(*pod, value=sum(n["working_set_bytes"] for n in numbers), time=time)
    yield from (cpu, memory)


# --- /metrics/cadvisor -----------------------------------------------------------------------------------------------

_AMOUNTS = (
    ("container_memory_usage_bytes", "memory_bytes", "Memory in use, caches included."),
    ("container_memory_working_set_bytes", "working_set_bytes", "The working set."),
    ("container_memory_rss", "rss_bytes", "Memory of the processes themselves."),
    ("container_memory_cache", "cache_bytes", "Page cache."),
    ("container_memory_swap", "swap_bytes", "Swap in use."),
    ("container_processes", "pids", "Processes that run."),
)
_COUNTERS = (
    ("container_cpu_cfs_periods_total", "periods", "Periods in which a CPU limit was enforced."),
    ("container_cpu_cfs_throttled_periods_total", "throttled_periods", "Periods in which it was reached."),
)
_NETWORK = ("bytes", "packets", "errors", "dropped")
_DISK = (
    ("container_fs_reads_bytes_total", "read_bytes", "Bytes read from disks."),
    ("container_fs_writes_bytes_total", "written_bytes", "Bytes written to disks."),
    ("container_fs_reads_total", "reads", "Reads from disks."),
    ("container_fs_writes_total", "writes", "Writes to disks."),
)


def cadvisor_page(containers: Iterable[Measured], machine: RuntimeInfo) -> Iterator[Family]:
    containers = list(containers)
    yield from _cpu(containers)
    for name, key, help_ in _AMOUNTS:
        yield _simple(name, "gauge", help_, key, containers)
    for name, key, help_ in _COUNTERS:
        yield _simple(name, "counter", help_, key, containers)
    throttled = Family("container_cpu_cfs_throttled_seconds_total", "counter", "Time spent waiting.", _CONTAINER)
    for one in containers:
        throttled.add(*one.labels, value=one.numbers.get("throttled_ns", 0) / NANO)
    yield throttled
    yield from _times(containers)
    yield from _limits(containers)
    for name, key, help_ in _DISK:
        family = Family(name, "counter", help_, (*_CONTAINER, "device"))
        for one in containers:
            family.add(*one.labels, "", value=one.numbers.get(key, 0))
        yield family
    yield from _network(containers)
    yield single("machine_cpu_cores", "gauge", "Logical CPUs.", machine.cpus)
    yield single("machine_memory_bytes", "gauge", "Memory of the machine.", machine.memory_bytes)


def _simple(name: str, kind: str, help_: str, key: str, containers: Iterable[Measured]) -> Family:
    family = Family(name, kind, help_, _CONTAINER)
    for one in containers:
        family.add(*one.labels, value=one.numbers.get(key, 0))
    return family


def _cpu(containers: Iterable[Measured]) -> Iterator[Family]:
    family = Family("container_cpu_usage_seconds_total", "counter", "CPU time used, in seconds.", (*_CONTAINER, "cpu"))
    everything = 0.0
    for one in containers:
        everything += one.numbers["cpu_ns"]
        family.add(*one.labels, "total", value=one.numbers["cpu_ns"] / NANO)
    family.add("", "/", "", "", "", "", "total", value=everything / NANO)
    yield family


def _times(containers: Iterable[Measured]) -> Iterator[Family]:
    seen = Family("container_last_seen", "gauge", "When the container was last measured.", _CONTAINER)
    started = Family("container_start_time_seconds", "gauge", "When the container started.", _CONTAINER)
    for one in containers:
        seen.add(*one.labels, value=one.numbers["time"])
        if one.numbers.get("started_at"):
            started.add(*one.labels, value=one.numbers["started_at"])
    yield from (seen, started)


def _limits(containers: Iterable[Measured]) -> Iterator[Family]:
    shares = Family("container_spec_cpu_shares", "gauge", "CPU share.", _CONTAINER)
    period = Family("container_spec_cpu_period", "gauge", "Period of the CPU limit, in microseconds.", _CONTAINER)
    quota = Family("container_spec_cpu_quota", "gauge", "CPU limit a period, in microseconds.", _CONTAINER)
    memory = Family("container_spec_memory_limit_bytes", "gauge", "Memory limit; 0 for none.", _CONTAINER)
    for one in containers:
        resources = one.spec.get("resources") or {}
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        shares.add(*one.labels, value=max(quantity.milli(requests.get("cpu", 0)) * 1024 // 1000, 2))
        period.add(*one.labels, value=_PERIOD_US)
        if "cpu" in limits:
            quota.add(*one.labels, value=quantity.milli(limits["cpu"]) * _PERIOD_US // 1000)
        memory.add(*one.labels, value=quantity.value(limits.get("memory", 0)))
    yield from (shares, period, quota, memory)


def _network(containers: Iterable[Measured]) -> Iterator[Family]:
    """A pod's containers share its network: one of them tells, and the figures are the sandbox's."""
    labels = ("container", "id", "image", "interface", "name", "namespace", "pod")
    pods = {
        one.pod["metadata"]["uid"]: one
        for one in containers
        if "rx_bytes" in one.numbers and not one.pod["spec"].get("hostNetwork")
    }
    for direction, key in (("receive", "rx"), ("transmit", "tx")):
        for what in _NETWORK:
            middle = {"dropped": "packets_dropped"}.get(what, what)
            family = Family(
                f"container_network_{direction}_{middle}_total", "counter", f"Network: {direction}, {what}.", labels
            )
            for one in pods.values():
                _, namespace, pod = one.place
                group = pod_group(one.pod)
                number = one.numbers[f"{key}_{what}"]
                family.add("POD", group, "", "eth0", one.pod["metadata"]["uid"], namespace, pod, value=number)
            yield family
