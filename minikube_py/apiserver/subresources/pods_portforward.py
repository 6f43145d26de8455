"""pods/portforward: TCP connections from the client into a pod."""

from minikube_py.apiserver.call import Answer, ApiCall
from minikube_py.apiserver.streaming.port_forward import serve_port_forward
from minikube_py.apiserver.subresources.pod_target import admit_connection, node_of, pod_of
from minikube_py.client.node_connection import ByteStream
from minikube_py.objects.errors import BadRequest


async def forward(call: ApiCall) -> Answer | None:
    """Takes the connection over until the client goes."""
    pod = pod_of(call)
    phase = (pod.get("status") or {}).get("phase")
    if phase != "Running":
        raise BadRequest(f"unable to forward port because pod is not running. Current status={phase or 'Pending'}")
    await admit_connection(call, {"kind": "PodPortForwardOptions", "apiVersion": "v1"})
    node, uid = await node_of(call, pod), pod["metadata"]["uid"]

    async def dial(port: int) -> ByteStream:
        return await node.dial(uid, port)

    await serve_port_forward(call.http, dial)
    return None
