"""What objects count as in resource quotas, for admission (one object) and for the controller (all of them).

Source: the "Resource Quotas" page, KEP-1688 (scopes); details as in pkg/quota/v1/evaluator/core.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from minikube_py import clock
from minikube_py.objects.errors import Object
from minikube_py.objects.quantity import Quantity
from minikube_py.resources.core.resource_names import is_extended
from minikube_py.resources.pod_amounts import Amounts, add, parse_amounts, pod_limits, pod_requests
from minikube_py.resources.pod_facts import qos_class

Counted = tuple[str, str]
"""(group, resource) of something that quotas count."""

PODS: Counted = ("", "pods")
SERVICES: Counted = ("", "services")
CLAIMS: Counted = ("", "persistentvolumeclaims")
# Kinds that quotas also know under their bare name, besides `count/<name>`.
_BARE_NAMES = ("pods", "services", "persistentvolumeclaims", "replicationcontrollers", "secrets", "configmaps")
_BARE = (*_BARE_NAMES, "resourcequotas")

_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_POD_NAMES = frozenset(
    ["pods", "count/pods", *_COMPUTE, *(f"requests.{n}" for n in _COMPUTE), *(f"limits.{n}" for n in _COMPUTE)]
)
_SERVICE_NAMES = frozenset(["services", "count/services", "services.nodeports", "services.loadbalancers"])
_CLAIM_NAMES = frozenset(["persistentvolumeclaims", "count/persistentvolumeclaims", "requests.storage"])
_CLASS_MARK = ".storageclass.storage.k8s.io/"
# Quotas on these make every container say what it wants; a design that Kubernetes regrets and keeps.
_MUST_BE_SET = ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
_ONE = Quantity.of(1)


def count_name(counted: Counted) -> str:
    group, resource = counted
    return f"count/{resource}.{group}" if group else f"count/{resource}"


def usage(counted: Counted, obj: Object) -> Amounts:
    """Everything that one object counts as, under every name a quota may use."""
    total: Amounts = {count_name(counted): _ONE}
    if counted == PODS:
        if is_counted_pod(obj):
            add(total, _compute_usage(pod_requests(obj), pod_limits(obj)))
    elif counted == SERVICES:
        total |= _service_usage(obj)
    elif counted == CLAIMS:
        total |= _claim_usage(obj)
    elif counted[0] == "" and counted[1] in _BARE:
        total[counted[1]] = _ONE
    return total


def names_for(counted: Counted, names: Iterable[str]) -> list[str]:
    """Those of a quota's resource names that objects of this kind count towards."""
    return sorted(name for name in names if _is_for(counted, name))


def _is_for(counted: Counted, name: str) -> bool:
    if counted == PODS:
        bare = name.removeprefix("requests.")
        is_device = name.startswith("requests.") and is_extended(bare)
        return name in _POD_NAMES or bare.startswith("hugepages-") or is_device
    if counted == SERVICES:
        return name in _SERVICE_NAMES
    if counted == CLAIMS:
        return name in _CLAIM_NAMES or _CLASS_MARK in name
    return name == count_name(counted) or (counted[0] == "" and counted[1] in _BARE and name == counted[1])


def counted_kinds(names: Iterable[str]) -> set[Counted]:
    """Which kinds have to be listed to work out a quota with these resource names."""
    kinds: set[Counted] = set()
    for name in names:
        if name.startswith("count/"):
            resource, _, group = name.removeprefix("count/").partition(".")
            kinds.add((group, resource))
        elif name in _BARE:
            kinds.add(("", name))
        else:
            kinds |= {kind for kind in (PODS, SERVICES, CLAIMS) if _is_for(kind, name)}
    return kinds


def matches(quota: Object, counted: Counted, obj: Object) -> bool:
    """Whether `quota` is about this object: it limits something of its kind, and its scopes fit."""
    spec = quota.get("spec") or {}
    return bool(names_for(counted, spec.get("hard") or {})) and has_scopes(quota, counted, obj)


def has_scopes(quota: Object, counted: Counted, obj: Object) -> bool:
    spec = quota.get("spec") or {}
    selectors: list[Object] = [{"scopeName": s, "operator": "Exists"} for s in spec.get("scopes") or []]
    selectors += (spec.get("scopeSelector") or {}).get("matchExpressions") or []
    return all(_fits(selector, counted, obj) for selector in selectors)


def total_usage(quota: Object, objects: Mapping[Counted, Iterable[Object]]) -> Amounts:
    """status.used: what all objects of a namespace together count as, for every name in spec.hard."""
    hard = (quota.get("spec") or {}).get("hard") or {}
    total: Amounts = {name: Quantity.of(0, parse_amounts({name: amount})[name].format) for name, amount in hard.items()}
    for counted, found in objects.items():
        for obj in found:
            if has_scopes(quota, counted, obj):
                add(total, {name: amount for name, amount in usage(counted, obj).items() if name in hard})
    return total


def missing_requirements(pod: Object, names: Iterable[str]) -> str:
    """`cpu for: a,b; memory for: a`: what containers must say because a quota limits it; '' when they do."""
    spec = pod.get("spec") or {}
    if spec.get("resources"):
        return ""
    required = sorted(set(names) & set(_MUST_BE_SET))
    lacking: dict[str, set[str]] = {}
    for container in [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]:
        resources = container.get("resources") or {}
        have = _compute_usage(parse_amounts(resources.get("requests")), parse_amounts(resources.get("limits")))
        for name in required:
            if name not in have:
                lacking.setdefault(name, set()).add(container.get("name", ""))
    return "; ".join(f"{name} for: {','.join(sorted(lacking[name]))}" for name in sorted(lacking))


def is_terminating(pod: Object) -> bool:
    """In the sense of the Terminating scope: the pod has a deadline."""
    deadline = (pod.get("spec") or {}).get("activeDeadlineSeconds")
    return deadline is not None and deadline >= 0


def is_counted_pod(pod: Object) -> bool:
    """False once the pod is finished, or stuck past the end of its grace period."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return False
    metadata = pod.get("metadata") or {}
    deleted, grace = metadata.get("deletionTimestamp"), metadata.get("deletionGracePeriodSeconds")
    if not deleted or grace is None:
        return True
    end: datetime = clock.parse(deleted) + timedelta(seconds=grace)
    return clock.now() <= end


def _compute_usage(requests: Amounts, limits: Amounts) -> Amounts:
    result: Amounts = {"pods": _ONE}
    for name in _COMPUTE:
        if name in requests:
            result[name] = result[f"requests.{name}"] = requests[name]
        if name in limits:
            result[f"limits.{name}"] = limits[name]
    for name, amount in requests.items():
        if name.startswith("hugepages-"):
            result[name] = result[f"requests.{name}"] = amount
        elif is_extended(name):
            result[f"requests.{name}"] = amount
    return result


def _service_usage(service: Object) -> Amounts:
    spec = service.get("spec") or {}
    ports = spec.get("ports") or []
    result: Amounts = {"services": _ONE, "services.nodeports": Quantity.of(0), "services.loadbalancers": Quantity.of(0)}
    if spec.get("type") == "NodePort":
        result["services.nodeports"] = Quantity.of(len(ports))
    elif spec.get("type") == "LoadBalancer":
        result["services.loadbalancers"] = _ONE
        if spec.get("allocateLoadBalancerNodePorts") is False:
            ports = [p for p in ports if p.get("nodePort")]
        result["services.nodeports"] = Quantity.of(len(ports))
    return result


def _claim_usage(claim: Object) -> Amounts:
    spec = claim.get("spec") or {}
    annotations = (claim.get("metadata") or {}).get("annotations") or {}
    class_name = annotations.get("volume.beta.kubernetes.io/storage-class") or spec.get("storageClassName")
    result: Amounts = {"persistentvolumeclaims": _ONE}
    if class_name:
        result[f"{class_name}{_CLASS_MARK}persistentvolumeclaims"] = _ONE
    requested = parse_amounts((spec.get("resources") or {}).get("requests")).get("storage")
    allocated = parse_amounts((claim.get("status") or {}).get("allocatedResources")).get("storage")
    if requested is not None and allocated is not None and requested < allocated:
        requested = allocated
    if requested is not None:
        result["requests.storage"] = requested
        if class_name:
            result[f"{class_name}{_CLASS_MARK}requests.storage"] = requested
    return result


def _fits(selector: Object, counted: Counted, obj: Object) -> bool:
    scope = selector.get("scopeName")
    if counted == CLAIMS and scope == "VolumeAttributesClass":
        return _selects(selector, (obj.get("spec") or {}).get("volumeAttributesClassName"))
    if counted != PODS:
        return False
    spec = obj.get("spec") or {}
    if scope == "PriorityClass":
        return _selects(selector, spec.get("priorityClassName"))
    answers = {
        "Terminating": is_terminating(obj),
        "NotTerminating": not is_terminating(obj),
        "BestEffort": qos_class(obj) == "BestEffort",
        "NotBestEffort": qos_class(obj) != "BestEffort",
        "CrossNamespacePodAffinity": _has_cross_namespace_affinity(spec),
    }
    return answers.get(str(scope), False)


def _selects(selector: Object, value: str | None) -> bool:
    operator, values = selector.get("operator"), selector.get("values") or []
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    return bool(value) if operator == "Exists" else not value


def _has_cross_namespace_affinity(spec: Object) -> bool:
    affinity = spec.get("affinity") or {}
    terms: list[Object] = []
    for key in ("podAffinity", "podAntiAffinity"):
        part = affinity.get(key) or {}
        terms += part.get("requiredDuringSchedulingIgnoredDuringExecution") or []
        preferred = part.get("preferredDuringSchedulingIgnoredDuringExecution") or []
        terms += [p.get("podAffinityTerm") or {} for p in preferred]
    return any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms)
