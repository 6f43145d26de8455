"""Opens connections to what Services and pods of the cluster serve, from wherever this server runs.

Source: kubernetes pkg/registry/core/service (ResourceLocation).
"""

from dataclasses import dataclass

from minikube_py import ids
from minikube_py.apiserver.context import ServerContext
from minikube_py.apiserver.streaming.proxied_http import dial_address
from minikube_py.client.node_connection import ByteStream, reach
from minikube_py.objects.errors import ApiError, BadRequest, NotFound, Object, ServiceUnavailable
from minikube_py.resources.kind import GVR

_PODS, _SERVICES = GVR("", "v1", "pods"), GVR("", "v1", "services")
_SLICES = GVR("discovery.k8s.io", "v1", "endpointslices")
_SERVICE_LABEL = "kubernetes.io/service-name"


@dataclass(frozen=True)
class Backend:
    """Where a request goes: a stream to it, and the Host header it gets."""

    stream: ByteStream
    host: str


async def dial_pod(context: ServerContext, pod: Object, port: int) -> Backend:
    """A connection from within the pod's network. Raises BadRequest for a pod without a node, ServiceUnavailable."""
    name = (pod.get("spec") or {}).get("nodeName")
    if not name:
        raise BadRequest(f"pod {pod['metadata']['name']} does not have a host assigned")
    node = await reach(context.nodes, name)
    if node is None:
        raise ServiceUnavailable(f'node "{name}" is not connected')
    try:
        stream = await node.dial(pod["metadata"]["uid"], port)
    except (ApiError, OSError) as error:
        raise ServiceUnavailable(f"error trying to reach service: {error}") from None
    address = (pod.get("status") or {}).get("podIP") or pod["metadata"]["name"]
    return Backend(stream, f"[{address}]:{port}" if ":" in address else f"{address}:{port}")


async def dial_service(context: ServerContext, namespace: str, name: str, port: str = "") -> Backend:
    """A ready endpoint of the Service, any one. port: its name or number, '' for the only one.

    Raises NotFound for a missing Service, ServiceUnavailable.
    """
    reader = context.reader
    service = reader.get(_SERVICES, name, namespace)
    if service is None:
        raise NotFound.of("", "services", name)
    port_name = _port_name(service, name, port)
    found: list[tuple[Object, int]] = []
    for part in reader.list(_SLICES, namespace):
        if (part["metadata"].get("labels") or {}).get(_SERVICE_LABEL) != name:
            continue
        numbers = [p["port"] for p in part.get("ports") or () if (p.get("name") or "") == port_name and p.get("port")]
        ready = [e for e in part.get("endpoints") or () if (e.get("conditions") or {}).get("ready") is not False]
        found += [(endpoint, int(number)) for number in numbers[:1] for endpoint in ready]
    if not found:
        raise ServiceUnavailable(f'no endpoints available for service "{name}"')
    endpoint, number = found[ids.pick(len(found))]
    target = endpoint.get("targetRef") or {}
    pod = reader.get(_PODS, target.get("name", ""), namespace) if target.get("kind") == "Pod" else None
    if pod is not None:
        return await dial_pod(context, pod, number)
    address = endpoint["addresses"][0]
    return Backend(await dial_address(address, number), f"{address}:{number}")


def _port_name(service: Object, name: str, wanted: str) -> str:
    """The name of the Service's port that is wanted by name or number; the only one when none is."""
    ports = (service.get("spec") or {}).get("ports") or []
    if not wanted:
        if len(ports) == 1:
            return ports[0].get("name") or ""
        named = next((p for p in ports if not p.get("name")), None)
        if named is not None:
            return ""
    for port in ports:
        if wanted and wanted in (port.get("name"), str(port.get("port"))):
            return port.get("name") or ""
    raise ServiceUnavailable(f'no service port "{wanted}" found for service "{name}"')
