"""Finds the pod, the container and the node that a streaming subresource is about."""

from minikube_py.apiserver.call import ApiCall
from minikube_py.apiserver.reads import find
from minikube_py.apiserver.writes import admission_request, admit, mutate
from minikube_py.client.node_connection import ContainerAddress, NodeConnection, reach
from minikube_py.objects.errors import BadRequest, Object, ServiceUnavailable

_KINDS = ("containers", "initContainers", "ephemeralContainers")


def pod_of(call: ApiCall) -> Object:
    """The pod itself. Raises NotFound."""
    return call.context.records.shared(call.kind, find(call))


def container_of(call: ApiCall, pod: Object) -> ContainerAddress:
    """The container of the query, or the pod's only one. Raises BadRequest with Kubernetes' texts."""
    name, metadata = call.query.get("container", ""), pod["metadata"]
    spec = pod.get("spec") or {}
    known = {kind: [c["name"] for c in spec.get(kind) or ()] for kind in _KINDS}
    if not name:
        if len(known["containers"]) != 1:
            raise BadRequest(_choose(metadata["name"], known))
        name = known["containers"][0]
    elif not any(name in names for names in known.values()):
        raise BadRequest(f"container {name} is not valid for pod {metadata['name']}")
    return ContainerAddress(metadata["namespace"], metadata["name"], metadata["uid"], name)


def _choose(pod: str, known: dict[str, list[str]]) -> str:
    text = f"a container name must be specified for pod {pod}, choose one of: [{' '.join(known['containers'])}]"
    if known["initContainers"]:
        text += f" or one of the init containers: [{' '.join(known['initContainers'])}]"
    if known["ephemeralContainers"]:
        text += f" or one of the ephemeral containers: [{' '.join(known['ephemeralContainers'])}]"
    return text


async def node_of(call: ApiCall, pod: Object) -> NodeConnection:
    """The connection to the pod's node. Raises BadRequest for a pod without one, ServiceUnavailable."""
    name = (pod.get("spec") or {}).get("nodeName")
    if not name:
        raise BadRequest(f"pod {pod['metadata']['name']} does not have a host assigned")
    connection = await reach(call.context.nodes, name)
    if connection is None:
        raise ServiceUnavailable(f'node "{name}" is not connected')
    return connection


async def admit_connection(call: ApiCall, options: Object) -> None:
    """CONNECT goes through admission like every other operation; `options` is the kind the URL stands for."""
    request = admission_request(call, "CONNECT", options, None)
    await mutate(call, request)
    await admit(call, request)
