"""Decides whether the node takes a pod that was bound to it: selector, host ports, resources; pure.

The scheduler has checked the same, but others may bind pods, and what was free then may be taken now.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from minikube_py.kubelet import pod_spec
from minikube_py.kubelet.pod_facts import Ending
from minikube_py.objects.errors import Object

_OS = "linux"
_REJECTED = "Pod was rejected: "
_SAFE_SYSCTLS = frozenset((
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
))  # fmt: skip
"""Settings of a pod's own namespaces that can't harm others. Source: the page "Using sysctls in a cluster"."""


def refusal(
    pod: Object, node: Object | None, others: Iterable[Object], allocatable: Mapping[str, Any]
) -> Ending | None:
    """Why the pod cannot run here, or None. others: the pods that hold this node's resources."""
    if (pod["spec"].get("os") or {}).get("name") not in (None, _OS):
        text = f"{_REJECTED}Failed to admit pod as the OS field doesn't match node OS"
        return Ending("PodOSNotSupported", text, 0)
    if (pod["spec"].get("nodeSelector") or {}).get("kubernetes.io/os") not in (None, _OS):
        text = f"{_REJECTED}Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"
        return Ending("PodOSSelectorNodeLabelDoesNotMatch", text, 0)
    if node is not None and not _selects(pod, node):
        return _predicate("NodeAffinity")
    forbidden = _forbidden_sysctl(pod)
    if forbidden:
        return Ending("SysctlForbidden", f"{_REJECTED}forbidden sysctl: {forbidden}", 0)
    if _asks_for_strict_groups(pod):
        text = f"{_REJECTED}SupplementalGroupsPolicy=Strict is not supported in this node"
        return Ending("SupplementalGroupsPolicyNotSupported", text, 0)
    active = list(others)
    wanted = pod_spec.host_ports(pod)
    if wanted and any(_clash(wanted, pod_spec.host_ports(other)) for other in active):
        return _predicate("NodePorts")
    return _out_of_resources(pod, active, allocatable)


def _forbidden_sysctl(pod: Object) -> str:
    spec = pod["spec"]
    for sysctl in (spec.get("securityContext") or {}).get("sysctls") or ():
        name = str(sysctl["name"]).replace("/", ".")
        if name not in _SAFE_SYSCTLS:
            return f'"{name}" not allowlisted'
        if name.startswith("net.") and spec.get("hostNetwork"):
            return f'"{name}" not allowed with host net enabled'
        if name.startswith("kernel.shm") and spec.get("hostIPC"):
            return f'"{name}" not allowed with host ipc enabled'
    return ""


def _asks_for_strict_groups(pod: Object) -> bool:
    """Docker leaves out the groups of the image's /etc/group only where a container's own group is given."""
    context = pod["spec"].get("securityContext") or {}
    if context.get("supplementalGroupsPolicy") != "Strict" or context.get("runAsGroup") is not None:
        return False
    containers = (*pod_spec.init_containers(pod), *pod_spec.regular_containers(pod))
    return any((c.spec.get("securityContext") or {}).get("runAsGroup") is None for c in containers)


def _predicate(name: str) -> Ending:
    return Ending(name, f"{_REJECTED}Predicate {name} failed", 0)


def _clash(wanted: set[tuple[str, str, int]], taken: set[tuple[str, str, int]]) -> bool:
    for ip, protocol, port in wanted:
        for other_ip, other_protocol, other_port in taken:
            if (protocol, port) == (other_protocol, other_port):
                if ip == other_ip or "0.0.0.0" in (ip, other_ip):
                    return True
    return False


def requests(pod: Object) -> dict[str, int]:
    """What the pod asks for: the larger of its running containers together and each init step, plus overhead.

    What is asked for the pod as a whole takes the place of that.
    """
    return _amounts(pod, "requests")


def memory_limit(pod: Object) -> int:
    """What all containers together may use in bytes; 0 when one of them has no limit, nor the pod itself."""
    containers = (*pod_spec.init_containers(pod), *pod_spec.regular_containers(pod))
    has_all = all(_of(c.spec, "limits").get("memory") for c in containers)
    if not has_all and not _of(pod["spec"], "limits").get("memory"):
        return 0
    return _amounts(pod, "limits").get("memory", 0)


def _amounts(pod: Object, field: str) -> dict[str, int]:
    total: dict[str, int] = {}
    peak: dict[str, int] = {}
    sidecars: dict[str, int] = {}
    for container in pod_spec.regular_containers(pod):
        _add(total, _of(container.spec, field))
    for container in pod_spec.init_containers(pod):
        own = _of(container.spec, field)
        if container.kind == pod_spec.SIDECAR:
            _add(sidecars, own)
            _raise_to(peak, sidecars)
        else:
            step = dict(sidecars)
            _add(step, own)
            _raise_to(peak, step)
    _add(total, sidecars)
    _raise_to(total, peak)
    total.update(_of(pod["spec"], field))
    _add(total, {name: pod_spec.amount(pod["spec"]["overhead"], name) for name in pod["spec"].get("overhead") or {}})
    return total


def _of(spec: Object, field: str) -> dict[str, int]:
    found = (spec.get("resources") or {}).get(field) or {}
    return {name: pod_spec.amount(found, name) for name in found}


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value


def _raise_to(total: dict[str, int], least: Mapping[str, int]) -> None:
    for name, value in least.items():
        total[name] = max(total.get(name, 0), value)


def _out_of_resources(pod: Object, active: list[Object], allocatable: Mapping[str, Any]) -> Ending | None:
    if "pods" in allocatable and len(active) + 1 > int(allocatable["pods"]):
        return _out_of("pods", 1, len(active), int(allocatable["pods"]))
    wanted = requests(pod)
    if not any(wanted.values()):
        return None
    used: dict[str, int] = {}
    for other in active:
        _add(used, requests(other))
    for name in sorted(wanted):
        room = pod_spec.amount(allocatable, name)
        if wanted[name] and name in allocatable and used.get(name, 0) + wanted[name] > room:
            return _out_of(name, wanted[name], used.get(name, 0), room)
    return None


def resize_refusal(pod: Object, others: Iterable[Object], allocatable: Mapping[str, Any]) -> tuple[str, str] | None:
    """(Infeasible | Deferred, message) when the pod's new requests do not fit the node, or do not fit it now."""
    wanted = requests(pod)
    for name in sorted(wanted):
        room = pod_spec.amount(allocatable, name)
        if name in allocatable and wanted[name] > room:
            text = f"Node didn't have enough capacity: {name}, requested: {wanted[name]}, capacity: {room}"
            return "Infeasible", text
    active = list(others)
    found = _out_of_resources(pod, active, {k: v for k, v in allocatable.items() if k != "pods"})
    return ("Deferred", found.message.removeprefix(_REJECTED)) if found is not None else None


def _out_of(name: str, wanted: int, used: int, room: int) -> Ending:
    text = f"Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {room}"
    return Ending(f"OutOf{name}", _REJECTED + text, 0)


def _selects(pod: Object, node: Object) -> bool:
    labels = node["metadata"].get("labels") or {}
    spec = pod["spec"]
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    fields = {"metadata.name": node["metadata"]["name"]}
    return any(
        (term.get("matchExpressions") or term.get("matchFields"))
        and all(_matches(e, labels) for e in term.get("matchExpressions") or ())
        and all(_matches(e, fields) for e in term.get("matchFields") or ())
        for term in required.get("nodeSelectorTerms") or ()
    )


def _matches(expression: Object, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or ()
    match expression.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            if value is None or not value.lstrip("-").isdigit() or not values:
                return False
            return int(value) > int(values[0]) if operator == "Gt" else int(value) < int(values[0])
    return False
