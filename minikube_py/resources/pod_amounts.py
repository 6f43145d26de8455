"""Adds up what a pod requests and may use, as scheduler, quota and limit ranges count it.

Source: KEP-753 (sidecar containers), KEP-2837 (pod-level resources), k8s.io/component-helpers resource.
"""

from collections.abc import Mapping

from minikube_py.objects import quantity
from minikube_py.objects.errors import Object
from minikube_py.objects.quantity import Quantity

Amounts = dict[str, Quantity]


def pod_requests(pod: Object) -> Amounts:
    return _total(pod, "requests")


def pod_limits(pod: Object) -> Amounts:
    return _total(pod, "limits")


def parse_amounts(amounts: Mapping[str, str] | None) -> Amounts:
    """A ResourceList with its quantities parsed."""
    return {name: quantity.parse(text) for name, text in (amounts or {}).items()}


def add(total: Amounts, more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total[name] + amount if name in total else amount


def at_least(total: Amounts, floor: Amounts) -> None:
    """Raise every amount in `total` to the one in `floor`."""
    for name, amount in floor.items():
        if name not in total or total[name] < amount:
            total[name] = amount


def _total(pod: Object, part: str) -> Amounts:
    """Containers run together; init containers one by one beside the sidecars that were started before them."""
    spec = pod.get("spec") or {}
    total: Amounts = {}
    for container in spec.get("containers") or []:
        add(total, _of(container, part))
    sidecars: Amounts = {}
    highest: Amounts = {}
    for container in spec.get("initContainers") or []:
        own = _of(container, part)
        if container.get("restartPolicy") == "Always":
            add(total, own)
            add(sidecars, own)
            at_least(highest, sidecars)
        else:
            add(own, sidecars)
            at_least(highest, own)
    at_least(total, highest)
    pod_level = parse_amounts((spec.get("resources") or {}).get(part))
    total.update({n: a for n, a in pod_level.items() if n in ("cpu", "memory") or n.startswith("hugepages-")})
    # What the runtime class adds to every pod counts too; to limits only where there is one already.
    overhead = parse_amounts(spec.get("overhead"))
    add(total, overhead if part == "requests" else {n: a for n, a in overhead.items() if n in total})
    return total


def _of(container: Object, part: str) -> Amounts:
    return parse_amounts((container.get("resources") or {}).get(part))
