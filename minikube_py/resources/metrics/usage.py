"""NodeMetrics and PodMetrics: what nodes and pods use now, read only and never stored.

Source: k8s.io/metrics pkg/apis/metrics/v1beta1, and metrics-server's forms of names, units and tables.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.objects.quantity import Quantity, parse
from minikube_py.resources.kind import Column, KindRules
from minikube_py.resources.printing import NAME, text

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
API_VERSION = f"{GROUP}/{VERSION}"


class Usage(NamedTuple):
    """cpu in cores x 10^-9, memory in bytes."""

    cpu_nano_cores: int
    memory_bytes: int

    def to_dict(self) -> Object:
        return {
            "cpu": str(Quantity(self.cpu_nano_cores)),
            "memory": str(Quantity.of(self.memory_bytes, "BinarySI")),
        }


class Reading(NamedTuple):
    """When a measurement ended (RFC 3339) and how many seconds it went over."""

    timestamp: str
    window_seconds: float


def node_metrics(node: Object, usage: Usage, reading: Reading) -> Object:
    return {**_head("NodeMetrics", node, reading), "usage": usage.to_dict()}


def pod_metrics(pod: Object, containers: Mapping[str, Usage], reading: Reading) -> Object:
    listed = [{"name": name, "usage": usage.to_dict()} for name, usage in containers.items()]
    return {**_head("PodMetrics", pod, reading), "containers": listed}


def _head(kind: str, source: Object, reading: Reading) -> Object:
    metadata: Object = {"name": meta.name(source), "creationTimestamp": reading.timestamp}
    if meta.namespace(source):
        metadata["namespace"] = meta.namespace(source)
    if meta.labels(source):
        metadata["labels"] = dict(meta.labels(source))
    return {
        "kind": kind,
        "apiVersion": API_VERSION,
        "metadata": metadata,
        "timestamp": reading.timestamp,
        "window": go_duration(reading.window_seconds),
    }


def go_duration(seconds: float) -> str:
    """A duration as Go prints it, in whole milliseconds: `15s`, `1.25s`, `1m30s`, `250ms`."""
    milliseconds = round(seconds * 1000)
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    tail = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + tail


def _row(metrics: Object, usages: Iterable[Object]) -> list[Any]:
    cpu, memory = Quantity(0), Quantity(0, "BinarySI")
    for usage in usages:
        cpu, memory = cpu + parse(usage.get("cpu", 0)), memory + parse(usage.get("memory", 0))
    return [meta.name(metrics), str(cpu), str(memory), metrics.get("window", "")]


def node_row(metrics: Object) -> list[Any]:
    return _row(metrics, [metrics.get("usage") or {}])


def pod_row(metrics: Object) -> list[Any]:
    return _row(metrics, [container.get("usage") or {} for container in metrics.get("containers") or ()])


_COLUMNS: tuple[Column, ...] = (
    NAME,
    text("cpu", "CPU in use, in cores."),
    text("memory", "The working set, in bytes."),
    text("window", "How long the CPU use was measured for."),
)
RULES = {
    "NodeMetrics": KindRules(columns=_COLUMNS, row=node_row),
    "PodMetrics": KindRules(columns=_COLUMNS, row=pod_row),
}
