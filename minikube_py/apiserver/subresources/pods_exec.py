"""pods/exec and pods/attach: a command in a container, or the container's own process, with the client's terminal."""

from minikube_py.apiserver.call import Answer, ApiCall
from minikube_py.apiserver.request_info import is_true
from minikube_py.apiserver.streaming.remote_command import serve_command
from minikube_py.apiserver.subresources.pod_target import admit_connection, container_of, node_of, pod_of
from minikube_py.client.node_connection import StreamRequest
from minikube_py.objects.errors import BadRequest


async def run_command(call: ApiCall) -> Answer | None:
    """Takes the connection over until the command ends."""
    command = tuple(call.http.query_values("command"))
    if not command:
        raise BadRequest("you must specify at least 1 command for the container")
    await _serve(call, command, "PodExecOptions")
    return None


async def attach(call: ApiCall) -> Answer | None:
    await _serve(call, (), "PodAttachOptions")
    return None


async def _serve(call: ApiCall, command: tuple[str, ...], kind: str) -> None:
    query = call.query
    stdin, stdout, stderr, tty = (is_true(query.get(name)) for name in ("stdin", "stdout", "stderr", "tty"))
    if not (stdin or stdout or stderr):
        raise BadRequest("you must specify at least one of stdin, stdout, stderr")
    if tty and stderr:
        # A terminal has one output; clients that ask for both get it there.
        stderr = False
    pod = pod_of(call)
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed") and command:
        raise BadRequest(f"cannot exec into a container in a completed pod; current phase is {pod['status']['phase']}")
    target = container_of(call, pod)
    options = {
        "kind": kind, "apiVersion": "v1", "stdin": stdin, "stdout": stdout, "stderr": stderr, "tty": tty,
        "container": target.container,
    }  # fmt: skip
    if command:
        options["command"] = list(command)
    await admit_connection(call, options)
    request = StreamRequest(target, command, stdin, stdout, stderr, tty)
    node = await node_of(call, pod)
    await serve_command(call.http, request, node.open_stream)
