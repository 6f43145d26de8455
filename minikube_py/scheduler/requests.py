"""Adds up what a pod asks for, with the rules for init containers, sidecars, pod-level resources and overhead.

Source: component-helpers resource.PodRequests (KEP-753, KEP-2837, KEP-688, KEP-1287).
"""

from collections.abc import Mapping
from functools import lru_cache

from minikube_py.objects import quantity
from minikube_py.objects.conditions import get_condition
from minikube_py.objects.errors import Object

# What a container that asks for nothing counts as in scores.
DEFAULT_MILLI_CPU = 100
DEFAULT_MEMORY = 200 * 1024 * 1024

CPU, MEMORY, EPHEMERAL_STORAGE, PODS = "cpu", "memory", "ephemeral-storage", "pods"

Amounts = dict[str, int]
"""Resource name to amount: cpu in thousandths, everything else in units (bytes, counts)."""


@lru_cache(maxsize=4096)
def amount(resource: str, text: str | int) -> int:
    """A quantity as the number the scheduler counts in."""
    return quantity.milli(text) if resource == CPU else quantity.value(text)


def amounts(quantities: Mapping[str, str] | None) -> Amounts:
    return {resource: amount(resource, text) for resource, text in (quantities or {}).items()}


def _add(total: Amounts, more: Amounts) -> None:
    for resource, value in more.items():
        total[resource] = total.get(resource, 0) + value


def _raise(total: Amounts, other: Amounts) -> None:
    for resource, value in other.items():
        if value > total.get(resource, 0):
            total[resource] = value


def pod_requests(pod: Object, defaults: Amounts | None = None) -> Amounts:
    """What the pod takes of a node. defaults stand in for cpu and memory that a container doesn't name."""
    spec = pod["spec"]
    total: Amounts = {}
    for container in spec.get("containers") or ():
        _add(total, _container(pod, container, "containerStatuses", defaults))
    sidecars: Amounts = {}
    initial: Amounts = {}
    for container in spec.get("initContainers") or ():
        own = _container(pod, container, "initContainerStatuses", defaults)
        if container.get("restartPolicy") == "Always":
            _add(total, own)
            _add(sidecars, own)
            own = dict(sidecars)
        else:
            _add(own, sidecars)
        _raise(initial, own)
    _raise(total, initial)
    total.update(amounts((spec.get("resources") or {}).get("requests")))
    _add(total, amounts(spec.get("overhead")))
    return total


def _container(pod: Object, container: Object, statuses: str, defaults: Amounts | None) -> Amounts:
    own = dict(defaults) if defaults else {}
    asked = amounts((container.get("resources") or {}).get("requests"))
    held: Amounts = {}
    for status in (pod.get("status") or {}).get(statuses) or ():
        # A resize that is not carried out yet: the greater of what is asked for and what is held.
        if status.get("name") == container["name"]:
            _raise(held, amounts(status.get("allocatedResources")))
            _raise(held, amounts((status.get("resources") or {}).get("requests")))
    own.update(held if held and _is_infeasible(pod) else asked)
    _raise(own, held)
    return own


def _is_infeasible(pod: Object) -> bool:
    """Whether the node has refused the resize for good: then what is asked for does not count."""
    condition = get_condition((pod.get("status") or {}).get("conditions"), "PodResizePending")
    return condition is not None and condition.get("reason") == "Infeasible"
