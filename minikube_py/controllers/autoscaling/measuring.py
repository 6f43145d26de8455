"""Asks the metrics APIs (resource, custom, external) for the figures that an autoscaler needs.

Source: k8s.io/metrics pkg/client, pkg/controller/podautoscaler/metrics/client.go. The last two are served by whoever
brings an adapter along.
"""

from typing import Any
from urllib.parse import quote

from minikube_py import clock
from minikube_py.client.protocol import Client
from minikube_py.controllers.autoscaling.replicas import CannotCalculate, Measurement, Measurements
from minikube_py.objects.errors import ApiError, NotFound, Object
from minikube_py.objects.quantity import milli, parse
from minikube_py.objects.selectors import LabelSelector
from minikube_py.resources.kind import ResourceKind

_RESOURCE = "/apis/metrics.k8s.io/v1beta1"
_CUSTOM = "custom.metrics.k8s.io"
_EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1"
_CUSTOM_VERSIONS = ("v1beta2", "v1beta1")
_CUSTOM_WINDOW_SECONDS = 60.0


class MetricsReader:
    """All calls raise CannotCalculate with the reason when there is no figure."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def resource(self, name: str, namespace: str, selector: str, container: str = "") -> Measurements:
        """A resource's use by each pod, or by one container of each."""
        path = f"{_RESOURCE}/namespaces/{quote(namespace)}/pods?labelSelector={quote(selector)}"
        found = await self._get(path, f"unable to get metrics for resource {name}", "resource metrics API")
        items = found.get("items") or ()
        if not items:
            raise CannotCalculate(
                f"unable to get metrics for resource {name}: no metrics returned from resource metrics API"
            )
        measured: Measurements = {}
        for item in items:
            value = _container_use(item, name, container) if container else _pod_use(item, name)
            if value is not None:
                measured[item["metadata"]["name"]] = Measurement(
                    value, clock.parse(item["timestamp"]).timestamp(), seconds_of(item.get("window", "0s"))
                )
        return measured

    async def pods(self, metric: Object, namespace: str, selector: str) -> Measurements:
        """A custom metric of each pod."""
        path = f"namespaces/{quote(namespace)}/pods/*/{quote(metric['name'])}"
        items = await self._custom(path, metric, selector)
        return {item["describedObject"]["name"]: _measured(item) for item in items}

    async def of_object(self, metric: Object, namespace: str, described: Object, kind: ResourceKind) -> int:
        """A custom metric of one object, in thousandths."""
        where = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
        path = f"{quote(where)}/{quote(described['name'])}/{quote(metric['name'])}"
        if kind.namespaced:
            path = f"namespaces/{quote(namespace)}/{path}"
        elif (kind.group, kind.plural) == ("", "namespaces"):
            path = f"namespaces/{quote(described['name'])}/metrics/{quote(metric['name'])}"
        items = await self._custom(path, metric, "")
        return _measured(items[0]).value

    async def external(self, metric: Object, namespace: str) -> int:
        """The sum of all series of an external metric that the selector matches, in thousandths."""
        selector = selector_text(metric)
        shown = f"{namespace}/{metric['name']}/{selector or 'nil'}"
        path = f"{_EXTERNAL}/namespaces/{quote(namespace)}/{quote(metric['name'])}?labelSelector={quote(selector)}"
        found = await self._get(path, f"unable to get external metric {shown}", "external metrics API")
        items = found.get("items") or ()
        if not items:
            raise CannotCalculate(
                f"unable to get external metric {shown}: no metrics returned from external metrics API"
            )
        return sum(milli(item["value"]) for item in items)

    async def _custom(self, path: str, metric: Object, selector: str) -> list[Object]:
        what = f"unable to get metric {metric['name']}"
        version = await self._custom_version(what)
        query = f"metricLabelSelector={quote(selector_text(metric))}"
        if selector:
            query += f"&labelSelector={quote(selector)}"
        found = await self._get(f"/apis/{_CUSTOM}/{version}/{path}?{query}", what, "custom metrics API")
        items: list[Object] = found.get("items") or []
        if not items:
            raise CannotCalculate(f"{what}: no metrics returned from custom metrics API")
        return items

    async def _custom_version(self, what: str) -> str:
        try:
            group = await self._client.raw("GET", f"/apis/{_CUSTOM}")
        except NotFound:
            raise CannotCalculate(
                f"{what}: unable to fetch metrics from custom metrics API: no custom metrics API ({_CUSTOM}) registered"
            ) from None
        except ApiError as error:
            raise CannotCalculate(f"{what}: unable to fetch metrics from custom metrics API: {error}") from None
        served = [version["version"] for version in group.get("versions") or ()]
        return next((version for version in _CUSTOM_VERSIONS if version in served), _CUSTOM_VERSIONS[0])

    async def _get(self, path: str, what: str, api: str) -> Object:
        try:
            found: Any = await self._client.raw("GET", path)
        except (ApiError, OSError, TimeoutError) as error:
            raise CannotCalculate(f"{what}: unable to fetch metrics from {api}: {error}") from None
        if not isinstance(found, dict):
            raise CannotCalculate(f"{what}: unable to fetch metrics from {api}: unexpected answer")
        return found


def selector_text(metric: Object) -> str:
    """The selector of a metric's series; '' for all of them."""
    selector = metric.get("selector")
    return str(LabelSelector.from_dict(selector)) if selector else ""


def _pod_use(item: Object, resource: str) -> int | None:
    """None when a container's figure is missing."""
    total = parse("0")
    for container in item.get("containers") or ():
        usage = container["usage"].get(resource)
        if usage is None:
            return None
        total = total + parse(usage)
    return total.milli()


def _container_use(item: Object, resource: str, container: str) -> int | None:
    for one in item.get("containers") or ():
        if one["name"] == container:
            usage = one["usage"].get(resource)
            return None if usage is None else milli(usage)
    where = f"{item['metadata'].get('namespace', '')}/{item['metadata']['name']}"
    raise CannotCalculate(f"container {container} not present in metrics for pod {where}")


def _measured(item: Object) -> Measurement:
    window = float(item.get("windowSeconds") or item.get("window") or _CUSTOM_WINDOW_SECONDS)
    return Measurement(milli(item["value"]), clock.parse(item["timestamp"]).timestamp(), window)


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def seconds_of(duration: str) -> float:
    """The seconds of a duration as Go writes it (`1m30.5s`); 0 for anything else."""
    seconds, number, unit = 0.0, "", ""
    for char in duration + "0":
        if char.isdigit() or char == ".":
            if unit:
                seconds += float(number or 0) * _UNITS.get(unit, 0.0)
                number = unit = ""
            number += char
        else:
            unit += char
    return seconds
