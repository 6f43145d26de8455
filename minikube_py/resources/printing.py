"""Builds the cells of server-side tables: ages, containers, labels, selectors, and the columns every kind has.

Source: apimachinery pkg/util/duration, kubernetes pkg/printers/internalversion.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from minikube_py import clock
from minikube_py.objects import meta
from minikube_py.objects.errors import Object
from minikube_py.resources.kind import Column

NONE, UNKNOWN, UNSET = "<none>", "<unknown>", "<unset>"
NAME = Column(
    "Name",
    format="name",
    description="Name must be unique within a namespace. Is required when creating resources, although some resources"
    " may allow a client to request the generation of an appropriate name automatically.",
)
AGE = Column("Age", description="CreationTimestamp is a timestamp representing the server time when it was created.")
CONTAINERS = Column("Containers", description="Names of each container in the template.", priority=1)
IMAGES = Column("Images", description="Images referenced by each container in the template.", priority=1)
SELECTOR = Column("Selector", description="Selector of the pods.", priority=1)


def text(name: str, description: str = "", *, wide: bool = False) -> Column:
    return Column(name, description=description, priority=1 if wide else 0)


def number(name: str, description: str = "", *, wide: bool = False) -> Column:
    return Column(name, type="integer", description=description, priority=1 if wide else 0)


def human_duration(seconds: float) -> str:
    """A duration as kubectl shows it: two units where that is precise enough to matter."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 120:
        return f"{whole}s"
    minutes = whole // 60
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    hours = whole // 3600
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _two(hours // 24, "d", hours % 24, "h")
    days = hours // 24
    if days < 730:
        return f"{days}d"
    if days < 8 * 365:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(big: int, big_unit: str, small: int, small_unit: str) -> str:
    return f"{big}{big_unit}{small}{small_unit}" if small else f"{big}{big_unit}"


def since(timestamp: str | None) -> str:
    """How long ago a moment was; `<unknown>` when there is none."""
    if not timestamp:
        return UNKNOWN
    return human_duration((clock.now() - clock.parse(timestamp)).total_seconds())


def until(timestamp: str | None) -> str:
    """How long it is until a moment."""
    if not timestamp:
        return UNKNOWN
    return human_duration((clock.parse(timestamp) - clock.now()).total_seconds())


def between(start: str, end: str | None) -> str:
    """The time from one moment to another, or to now."""
    stop: datetime = clock.parse(end) if end else clock.now()
    return human_duration((stop - clock.parse(start)).total_seconds())


def age(obj: Object) -> str:
    return since(meta.metadata(obj).get("creationTimestamp"))


def container_cells(pod_spec: Mapping[str, Any]) -> list[str]:
    """Names and images of the containers, for the wide columns."""
    containers = pod_spec.get("containers") or ()
    return [",".join(c.get("name", "") for c in containers), ",".join(c.get("image", "") for c in containers)]


def template_spec(obj: Object) -> Object:
    """The pod spec of a workload's template, or an empty one."""
    template = (obj.get("spec") or {}).get("template") or {}
    spec: Object = template.get("spec") or {}
    return spec


def format_labels(labels: Mapping[str, str] | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


def join(values: Iterable[str], separator: str = ",") -> str:
    return separator.join(values) or NONE


def flag(value: bool | None) -> str:
    """A boolean as Go prints it; unset is shown as such."""
    if value is None:
        return UNSET
    return "true" if value else "false"
