"""Puts a node's figures into the form of the kubelet's /stats/summary.

Source: kubelet pkg/apis/stats/v1alpha1. `windowSeconds` beside a usage is mkube's own: what it was measured over.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from minikube_py import clock
from minikube_py.kubelet.usage import Figures, Numbers
from minikube_py.objects.errors import Object


def summary(node_name: str, figures: Figures, find_pod: Callable[[str], Object | None]) -> dict[str, Any]:
    """figures: what `UsageReader.figures` gives. Pods that the node no longer knows are left out."""
    pods, everything = [], list[Numbers]()
    for uid, containers in figures.items():
        everything += containers.values()
        pod = find_pod(uid)
        if pod is None:
            continue
        meta = pod["metadata"]
        listed = [_container(name, numbers) for name, numbers in sorted(containers.items())]
        reference = {"name": meta["name"], "namespace": meta["namespace"], "uid": uid}
        entry = {"podRef": reference, **_start((pod.get("status") or {}).get("startTime")), "containers": listed}
        pods.append({**entry, **_usage(containers.values()), **_network(pod, containers)})
    return {"node": {"nodeName": node_name, **_usage(everything)}, "pods": pods}


def _container(name: str, numbers: Numbers) -> dict[str, Any]:
    started = numbers.get("started_at")
    return {"name": name, **_start(_stamp(started) if started else None), **_usage([numbers])}


def _start(time: str | None) -> dict[str, str]:
    return {"startTime": time} if time else {}


def _stamp(seconds: float) -> str:
    return clock.rfc3339(datetime.fromtimestamp(seconds, UTC))


def _usage(numbers: Iterable[Numbers]) -> dict[str, Any]:
    """Sums. A use per second is given only where it is known of every one."""
    found = list(numbers)
    stamp = _stamp(max((n.get("time") or 0.0 for n in found), default=0.0) or clock.seconds())

    def total(name: str) -> int:
        return int(sum(n.get(name) or 0 for n in found))

    cpu: dict[str, Any] = {"time": stamp, "usageCoreNanoSeconds": total("cpu_ns")}
    if all("cpu_nano_cores" in n for n in found):
        cpu["usageNanoCores"] = total("cpu_nano_cores")
        cpu["windowSeconds"] = round(max((n["window"] for n in found), default=0.0), 3)
    return {
        "cpu": cpu,
        "memory": {
            "time": stamp,
            "usageBytes": total("memory_bytes"),
            "workingSetBytes": total("working_set_bytes"),
            "rssBytes": total("rss_bytes"),
            "pageFaults": total("page_faults"),
            "majorPageFaults": total("major_page_faults"),
        },
        "process_stats": {"process_count": total("pids")},
    }


def _network(pod: Object, containers: Mapping[str, Numbers]) -> dict[str, Any]:
    """A pod's containers share one network, so any of them tells; host networks are the machine's, not the pod's."""
    numbers = next((n for n in containers.values() if "rx_bytes" in n), None)
    if numbers is None or pod["spec"].get("hostNetwork"):
        return {}
    counted: dict[str, Any] = {"name": "eth0"}
    for direction in ("rx", "tx"):
        counted[f"{direction}Bytes"] = int(numbers[f"{direction}_bytes"])
        counted[f"{direction}Errors"] = int(numbers[f"{direction}_errors"])
    return {"network": {"time": _stamp(numbers["time"]), **counted, "interfaces": [counted]}}
