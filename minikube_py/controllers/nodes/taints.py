"""Knows Kubernetes' node taints: which conditions put them on, and which pods tolerate them; pure functions.

Source: pkg/controller/nodelifecycle and component-helpers scheduling/corev1.
"""

from collections.abc import Iterable, Sequence

from minikube_py.objects.conditions import get_condition
from minikube_py.objects.errors import Object

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
NO_SCHEDULE, NO_EXECUTE = "NoSchedule", "NoExecute"

# Condition, status of it, taint key.
_FROM_CONDITIONS = (
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
)
_MANAGED_NO_SCHEDULE = frozenset((*(key for _, _, key in _FROM_CONDITIONS), UNSCHEDULABLE))
_MANAGED_NO_EXECUTE = frozenset((NOT_READY, UNREACHABLE))


def ready_status(node: Object) -> str:
    """True, False, Unknown, or '' when the kubelet has never said anything."""
    condition = get_condition((node.get("status") or {}).get("conditions"), "Ready")
    return condition["status"] if condition is not None else ""


def taints_of(node: Object) -> Sequence[Object]:
    return (node.get("spec") or {}).get("taints") or ()


def wanted_taints(node: Object, *, may_evict: bool, now: str) -> list[Object]:
    """The node's taints as they should be: foreign ones as they are, those of the conditions recomputed."""
    conditions = (node.get("status") or {}).get("conditions")
    wanted: dict[tuple[str, str], Object] = {}
    for type_, status, key in _FROM_CONDITIONS:
        condition = get_condition(conditions, type_)
        if condition is not None and condition["status"] == status:
            wanted[key, NO_SCHEDULE] = {"key": key, "effect": NO_SCHEDULE}
            if key in _MANAGED_NO_EXECUTE and may_evict:
                wanted[key, NO_EXECUTE] = {"key": key, "effect": NO_EXECUTE, "timeAdded": now}
    if node["spec"].get("unschedulable"):
        wanted[UNSCHEDULABLE, NO_SCHEDULE] = {"key": UNSCHEDULABLE, "effect": NO_SCHEDULE, "timeAdded": now}
    result = []
    for taint in taints_of(node):
        identity = (taint["key"], taint["effect"])
        if identity in wanted:
            del wanted[identity]
        elif _is_managed(taint):
            continue
        result.append(taint)
    result.extend(wanted.values())
    return result


def _is_managed(taint: Object) -> bool:
    if taint["effect"] == NO_EXECUTE:
        return taint["key"] in _MANAGED_NO_EXECUTE
    return taint["effect"] == NO_SCHEDULE and taint["key"] in _MANAGED_NO_SCHEDULE


def tolerates(toleration: Object, taint: Object) -> bool:
    """core/v1 Toleration.ToleratesTaint."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    value, wanted = taint.get("value") or "", toleration.get("value") or ""
    if operator == "Equal":
        return bool(toleration.get("key")) and value == wanted
    if operator in ("Lt", "Gt"):
        return _compares(operator, value, wanted)
    return False


def _compares(operator: str, value: str, wanted: str) -> bool:
    try:
        return int(value) < int(wanted) if operator == "Lt" else int(value) > int(wanted)
    except ValueError:
        return False


def eviction_delay(tolerations: Iterable[Object], taints: Iterable[Object]) -> float | None:
    """Seconds a pod may stay on a node with these NoExecute taints: 0 to go at once, None to stay for good."""
    known = list(tolerations)
    delays: list[float] = []
    for taint in taints:
        matching = [toleration for toleration in known if tolerates(toleration, taint)]
        if not matching:
            return 0
        # As in Kubernetes, every toleration that matches takes part, not the longest one for each taint.
        delays.extend(max(t["tolerationSeconds"], 0) for t in matching if t.get("tolerationSeconds") is not None)
    return min(delays, default=None)
