"""pods/proxy, services/proxy and nodes/proxy: HTTP to a pod, to an endpoint of a Service, or to a node's own API.

Source: kubernetes pkg/registry/core/{pod,service,node} (ResourceLocation), apimachinery pkg/util/proxy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import orjson

from minikube_py.apiserver.call import Answer, ApiCall
from minikube_py.apiserver.streaming.proxied_http import (
    BackendConnection,
    ProxiedRequest,
    ProxiedResponse,
    TlsStream,
    pump,
)
from minikube_py.apiserver.streaming.service_dial import Backend, dial_pod, dial_service
from minikube_py.apiserver.subresources.pod_target import admit_connection
from minikube_py.client.node_connection import ByteStream, reach
from minikube_py.objects.errors import BadRequest, NotFound, Object, ServiceUnavailable
from minikube_py.prometheus import CONTENT_TYPE
from minikube_py.resources.kind import GVR

_PODS, _SERVICES, _NODES = GVR("", "v1", "pods"), GVR("", "v1", "services"), GVR("", "v1", "nodes")
_SLICES = GVR("discovery.k8s.io", "v1", "endpointslices")
_SERVICE_LABEL = "kubernetes.io/service-name"
_OPTIONS = {"pods": "PodProxyOptions", "services": "ServiceProxyOptions", "nodes": "NodeProxyOptions"}


@dataclass(frozen=True)
class Reference:
    """`[scheme:]name[:port]` of the URL."""

    name: str
    port: str = ""
    is_tls: bool = False


def parse_reference(text: str) -> Reference:
    """Raises BadRequest."""
    parts = text.split(":")
    if len(parts) == 1:
        return Reference(parts[0])
    if len(parts) == 2:
        return Reference(parts[0], parts[1])
    if len(parts) == 3 and parts[0] in ("", "http", "https"):
        return Reference(parts[1], parts[2], parts[0] == "https")
    raise BadRequest(f'invalid service request "{text}"')


async def proxy(call: ApiCall) -> Answer | None:
    """Any method. The answer is the backend's."""
    kind = _OPTIONS[call.info.resource]
    path = _path(call)
    await admit_connection(call, {"kind": kind, "apiVersion": "v1", "path": path})
    if not path and call.http.method in ("GET", "HEAD"):
        query = f"?{call.http.raw_query}" if call.http.raw_query else ""
        await _finish(call, 301, {"Location": f"{_own_path(call.info.path)}/{query}"}, b"")
        return None
    if call.info.resource == "nodes":
        await _answer_for_node(call, path)
        return None
    reference = parse_reference(call.info.name)
    if call.info.resource == "pods":
        backend = await _dial_named_pod(call, reference)
    else:
        backend = await dial_service(call.context, call.info.namespace, reference.name, reference.port)
    connection = BackendConnection(await _secured(backend, reference))
    try:
        await _pass(call, connection, backend.host, path or "/")
    finally:
        await connection.close()
    return None


def _path(call: ApiCall) -> str:
    """What follows /proxy, as it goes on the request line."""
    rest = call.info.parts[3:]
    path = "/" + "/".join(quote(part, safe="!$&'()*+,;=:@~") for part in rest) if rest else ""
    return path + "/" if call.info.path.endswith("/") and not path.endswith("/") else path


async def _secured(backend: Backend, reference: Reference) -> ByteStream:
    if not reference.is_tls:
        return backend.stream
    secured = TlsStream(backend.stream, "")
    await secured.handshake()
    return secured


# --- passing on ------------------------------------------------------------------------------------------------------


async def _pass(call: ApiCall, connection: BackendConnection, host: str, path: str) -> None:
    exchange = call.http
    headers = exchange.headers
    target = f"{path}?{exchange.raw_query}" if exchange.raw_query else path
    length = headers.get("Content-Length")
    has_body = length not in (None, "0") or "Transfer-Encoding" in headers
    connects = "upgrade" in headers.get("Connection", "").lower()
    request = ProxiedRequest(
        exchange.method,
        target,
        host,
        headers,
        exchange.body_chunks(),
        content_length=int(length) if length is not None and length.isdigit() else None,
        has_body=has_body,
        upgrade=headers.get("Upgrade", "") if connects else "",
    )
    response = await connection.request(request)
    if response.upgrade:
        await pump(await exchange.upgrade(response.upgrade, response.headers), connection)
        return
    _rewrite_location(call, response)
    stream = await exchange.start(response.code, response.headers)
    async for chunk in connection.body():
        await stream.write(chunk)
    await stream.finish()


def _rewrite_location(call: ApiCall, response: ProxiedResponse) -> None:
    """A redirect within the backend has to come back through this path."""
    for name, value in response.headers.items():
        if name.lower() == "location" and value.startswith("/"):
            base = call.info.path.split("/proxy", 1)[0]
            response.headers[name] = f"{_own_path(base)}/proxy{value}"


def _own_path(path: str) -> str:
    """A path of this server as it goes into a header."""
    return quote(path, safe="/:")


async def _finish(call: ApiCall, code: int, headers: Mapping[str, str], body: bytes) -> None:
    stream = await call.http.start(code, {**headers, "Content-Length": str(len(body))})
    if body:
        await stream.write(body)
    await stream.finish()


# --- pods -----------------------------------------------------------------------------------------------


async def _dial_named_pod(call: ApiCall, reference: Reference) -> Backend:
    pod = call.context.reader.get(_PODS, reference.name, call.info.namespace)
    if pod is None:
        raise NotFound.of("", "pods", reference.name)
    port = reference.port or str(_first_port(pod) or (443 if reference.is_tls else 80))
    if not port.isdigit():
        raise BadRequest(f'invalid pod request "{call.info.name}"')
    return await dial_pod(call.context, pod, int(port))


def _first_port(pod: Object) -> int | None:
    ports = (p for c in (pod.get("spec") or {}).get("containers") or () for p in c.get("ports") or ())
    return next((int(port["containerPort"]) for port in ports), None)


# --- nodes -----------------------------------------------------------------------------------------------------------


async def _answer_for_node(call: ApiCall, path: str) -> None:
    """The parts of a kubelet's API that clients read through the server."""
    name = call.info.name.partition(":")[0]
    node = await reach(call.context.nodes, name) if call.context.reader.get(_NODES, name) is not None else None
    if node is None:
        if call.context.reader.get(_NODES, name) is None:
            raise NotFound.of("", "nodes", name)
        raise ServiceUnavailable(f'node "{name}" is not connected')
    if path.rstrip("/") == "/healthz":
        await _finish(call, 200, {"Content-Type": "text/plain; charset=utf-8"}, b"ok")
    elif path.rstrip("/") == "/stats/summary":
        await _finish(call, 200, {"Content-Type": "application/json"}, orjson.dumps(await node.stats()))
    elif path.rstrip("/") == "/pods":
        pods = [p for p in call.context.reader.list(_PODS) if (p.get("spec") or {}).get("nodeName") == name]
        body = orjson.dumps({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods})
        await _finish(call, 200, {"Content-Type": "application/json"}, body)
    else:
        text = await node.page(path)
        await _finish(call, 200, {"Content-Type": CONTENT_TYPE}, text.encode())
