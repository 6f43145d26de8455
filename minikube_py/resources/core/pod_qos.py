"""Tells a pod's quality of service class from its requests and limits.

Source: kubernetes pkg/apis/core/helper/qos.
"""

from minikube_py.objects import quantity
from minikube_py.objects.errors import Object

_COUNTED = ("cpu", "memory")


def qos_class(spec: Object) -> str:
    """Guaranteed, Burstable or BestEffort."""
    pod_level = spec.get("resources")
    if pod_level and (pod_level.get("requests") or pod_level.get("limits")):
        holders = [pod_level]
    else:
        containers = (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
        holders = [container.get("resources") or {} for container in containers]
    requests: dict[str, int] = {}
    limits: dict[str, int] = {}
    is_guaranteed = True
    for holder in holders:
        _add(requests, holder.get("requests"))
        limited = _add(limits, holder.get("limits"))
        is_guaranteed = is_guaranteed and limited == set(_COUNTED)
    if not requests and not limits:
        return "BestEffort"
    if is_guaranteed and requests == limits:
        return "Guaranteed"
    return "Burstable"


def _add(totals: dict[str, int], amounts: Object | None) -> set[str]:
    found = set()
    for name, amount in (amounts or {}).items():
        nanos = quantity.parse(amount).nanos
        if name in _COUNTED and nanos > 0:
            totals[name] = totals.get(name, 0) + nanos
            found.add(name)
    return found
