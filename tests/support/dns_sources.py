"""DNS sources made from plain lists of objects."""

from collections.abc import Sequence
from typing import Any

from minikube_py.dns.records import cluster_ips

Object = dict[str, Any]


class ListSources:
    """Implements dns.records.Sources."""

    def __init__(
        self, services: Sequence[Object] = (), slices: Sequence[Object] = (), namespaces: Sequence[str] = ("default",)
    ) -> None:
        self._services = services
        self._slices = slices
        self._namespaces = namespaces

    def is_ready(self) -> bool:
        return True

    def service(self, namespace: str, name: str) -> Object | None:
        wanted = (namespace, name)
        return next((one for one in self._services if _key(one) == wanted), None)

    def slices(self, namespace: str, service: str) -> list[Object]:
        return [
            one
            for one in self._slices
            if one["metadata"]["namespace"] == namespace
            and one["metadata"]["labels"]["kubernetes.io/service-name"] == service
        ]

    def has_namespace(self, name: str) -> bool:
        return name in self._namespaces

    def services_with_ip(self, ip: str) -> list[Object]:
        return [one for one in self._services if ip in cluster_ips(one)]

    def slices_with_ip(self, ip: str) -> list[Object]:
        return [one for one in self._slices if any(ip in point["addresses"] for point in one["endpoints"])]


def _key(obj: Object) -> tuple[str, str]:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def service(name: str, *, namespace: str = "default", **spec: Any) -> Object:
    """A Service; without ports it has one called http on port 80."""
    ports = spec.pop("ports", [{"name": "http", "port": 80, "protocol": "TCP"}])
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"ports": ports, **spec}}


def endpoint_slice(owner: str, *endpoints: Object, namespace: str = "default", ports: Any = None) -> Object:
    """An EndpointSlice of a Service, with one port called http on 8080 unless told otherwise."""
    return {
        "metadata": {
            "name": f"{owner}-abcde",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": owner},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}] if ports is None else ports,
        "endpoints": list(endpoints),
    }


def endpoint(ip: str, *, ready: bool | None = True, **fields: Any) -> Object:
    """One endpoint; serving and terminating go into its conditions."""
    conditions = {name: fields.pop(name) for name in ("serving", "terminating") if name in fields}
    return {"addresses": [ip], "conditions": {"ready": ready, **conditions}, **fields}
