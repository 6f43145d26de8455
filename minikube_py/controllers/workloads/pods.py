"""Answers questions about pods that every workload controller asks: active, ready, available, which to delete first."""

import math
from collections.abc import Iterable, Sequence

from minikube_py import clock
from minikube_py.objects.conditions import get_condition
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import annotations, controller_of, is_deleting, uid

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
BY_CONTROLLER = "controller"


def phase(pod: Object) -> str:
    return (pod.get("status") or {}).get("phase") or ""


def is_finished(pod: Object) -> bool:
    """Whether all containers ended for good."""
    return phase(pod) in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    """Neither finished nor being deleted."""
    return not is_finished(pod) and not is_deleting(pod)


def ready_condition(pod: Object) -> Object | None:
    return get_condition((pod.get("status") or {}).get("conditions"), "Ready")


def is_ready(pod: Object) -> bool:
    condition = ready_condition(pod)
    return condition is not None and condition.get("status") == "True"


def seconds_until_available(pod: Object, min_ready_seconds: int) -> float | None:
    """0 or less: available. None: not ready, so nothing is known."""
    condition = ready_condition(pod)
    if condition is None or condition.get("status") != "True":
        return None
    if not min_ready_seconds:
        return 0
    since = condition.get("lastTransitionTime")
    if not since:
        return None
    return clock.parse(since).timestamp() + min_ready_seconds - clock.seconds()


def is_available(pod: Object, min_ready_seconds: int) -> bool:
    """Ready for at least min_ready_seconds."""
    left = seconds_until_available(pod, min_ready_seconds)
    return left is not None and left <= 0


def next_availability(pods: Iterable[Object], min_ready_seconds: int) -> float | None:
    """Seconds until the next pod that is ready now becomes available."""
    if not min_ready_seconds:
        return None
    waits = [wait for pod in pods if (wait := seconds_until_available(pod, min_ready_seconds)) is not None and wait > 0]
    return min(waits, default=None)


def controller_index(obj: Object) -> Sequence[str]:
    """Index by the UID of the controlling owner; objects without one under `orphan/<namespace>`."""
    reference = controller_of(obj)
    if reference is not None:
        return (reference["uid"],)
    return (orphans_of(obj["metadata"].get("namespace", "")),)


def orphans_of(namespace: str) -> str:
    """The index value of the orphans of one namespace."""
    return f"orphan/{namespace}"


def restart_counts(pod: Object) -> tuple[int, int]:
    """The highest restart count of the regular containers, and of the restartable init containers."""
    status = pod.get("status") or {}
    regular = max((c.get("restartCount") or 0 for c in status.get("containerStatuses") or ()), default=0)
    sidecars = {c["name"] for c in pod["spec"].get("initContainers") or () if c.get("restartPolicy") == "Always"}
    counts = (
        c.get("restartCount") or 0 for c in status.get("initContainerStatuses") or () if c.get("name") in sidecars
    )
    return regular, max(counts, default=0)


def deletion_order(pods: Iterable[Object], related: Iterable[Object]) -> list[Object]:
    """The pods in the order in which a scale-down takes them.

    Source: pkg/controller ActivePodsWithRanks: unassigned, then pending, not ready, cheap to delete, doubled up on a
    node (counted over `related`), ready for the shortest time, most restarted, newest. Times are compared by their
    logarithm, so that old pods aren't always spared.
    """
    now = clock.seconds()
    on_node: dict[str, int] = {}
    for pod in related:
        if is_active(pod):
            node = pod["spec"].get("nodeName", "")
            on_node[node] = on_node.get(node, 0) + 1
    return sorted(pods, key=lambda pod: _rank(pod, on_node, now))


def _rank(pod: Object, on_node: dict[str, int], now: float) -> tuple[object, ...]:
    node = pod["spec"].get("nodeName", "")
    ready = is_ready(pod)
    condition = ready_condition(pod) or {}
    regular, sidecars = restart_counts(pod)
    return (
        1 if node else 0,
        {"Pending": 0, "": 1, "Unknown": 1, "Running": 2}.get(phase(pod), 2),
        1 if ready else 0,
        deletion_cost(pod),
        -on_node.get(node, 0),
        _log_age(condition.get("lastTransitionTime"), now) if ready else 0,
        -regular,
        -sidecars,
        _log_age(pod["metadata"].get("creationTimestamp"), now),
        uid(pod),
    )


def deletion_cost(pod: Object) -> int:
    try:
        return int(annotations(pod).get(DELETION_COST, "0"))
    except ValueError:
        return 0


def _log_age(timestamp: str | None, now: float) -> int:
    if not timestamp:
        return -1
    age = now - clock.parse(timestamp).timestamp()
    return int(math.log2(age)) if age >= 1 else 0
