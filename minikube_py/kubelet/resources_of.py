"""Turns a container's resource requirements into cgroup settings, and compares them for in-place resize."""

import hashlib
from typing import Any

from minikube_py.kubelet.pod_spec import amount, qos_class
from minikube_py.kubelet.runtimes.protocol import CgroupLimits
from minikube_py.objects.errors import Object

MINIMUM_SHARES = 2
MAXIMUM_SHARES = 262_144
CFS_PERIOD_US = 100_000
MINIMUM_QUOTA_US = 1_000

_OOM_GUARANTEED, _OOM_BEST_EFFORT = -997, 1000


def spec_hash(container: Object) -> str:
    """A digest of what makes a running container another one: its name and image."""
    return hashlib.sha256(f"{container['name']}\0{container.get('image') or ''}".encode()).hexdigest()[:16]


def cgroup_limits(pod: Object, container: Object, node_memory_bytes: int) -> CgroupLimits:
    """The cgroup settings of one container (kubelet: milliCPU to shares and quota, memory limit, OOM score).

    A container without a limit of its own gets the pod's.
    """
    resources = container.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    limits = ((pod["spec"].get("resources") or {}).get("limits") or {}) | limits
    request_milli, limit_milli = amount(requests, "cpu"), amount(limits, "cpu")
    shares = (request_milli or limit_milli) * 1024 // 1000
    quota = max(limit_milli * CFS_PERIOD_US // 1000, MINIMUM_QUOTA_US) if limit_milli else 0
    return CgroupLimits(
        cpu_shares=min(max(shares, MINIMUM_SHARES), MAXIMUM_SHARES),
        cpu_quota_us=quota,
        cpu_period_us=CFS_PERIOD_US,
        memory_bytes=amount(limits, "memory"),
        oom_score_adj=oom_score(pod, container, node_memory_bytes),
    )


def oom_score(pod: Object, container: Object, node_memory_bytes: int) -> int:
    """oom_score_adj by QoS class: the more of the node a Burstable container requested, the later it is killed."""
    quality = qos_class(pod)
    if quality == "Guaranteed" or (pod["spec"].get("priority") or 0) >= 2_000_000_000:
        return _OOM_GUARANTEED
    if quality == "BestEffort":
        return _OOM_BEST_EFFORT
    requested = amount((container.get("resources") or {}).get("requests") or {}, "memory")
    score = 1000 - (1000 * requested) // max(node_memory_bytes, 1)
    return min(max(score, 1000 + _OOM_GUARANTEED), _OOM_BEST_EFFORT - 1)


def _resizable(resources: Object | None) -> dict[tuple[str, str], int]:
    found = {}
    for kind in ("requests", "limits"):
        for name in ("cpu", "memory"):
            found[kind, name] = amount((resources or {}).get(kind) or {}, name)
    return found


def limits_changed(container: Object, applied: Any) -> bool:
    """Whether cpu or memory differ from what the running container got. applied None: not known, so nothing to do."""
    if applied is None:
        return False
    wanted = container.get("resources") or {}
    return bool(wanted != applied and _resizable(wanted) != _resizable(applied))


def needs_restart(container: Object, applied: Any) -> bool:
    """Whether the container's resize policy asks for a restart for one of the changed resources."""
    wanted, given = _resizable(container.get("resources")), _resizable(applied)
    changed = {name for kind, name in wanted if wanted[kind, name] != given[kind, name]}
    policies = {p["resourceName"]: p.get("restartPolicy") for p in container.get("resizePolicy") or ()}
    return any(policies.get(name) == "RestartContainer" for name in changed)
