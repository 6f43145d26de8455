"""pods/log: what a container has written, as text; over a WebSocket when asked for."""

import base64
from collections.abc import AsyncIterator

from minikube_py import clock
from minikube_py.apiserver.call import Answer, ApiCall
from minikube_py.apiserver.request_info import is_true
from minikube_py.apiserver.subresources.pod_target import container_of, node_of, pod_of
from minikube_py.client.node_connection import ContainerAddress, LogRequest
from minikube_py.objects.errors import BadRequest, Invalid
from minikube_py.resources.fields import FieldErrors, Path

_STREAMS = ("All", "Stderr", "Stdout")
_TEXT = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-cache, private"}
_WEBSOCKET = ("binary.k8s.io", "base64.binary.k8s.io")


async def log(call: ApiCall) -> Answer | None:
    """GET. The answer ends with the log, or never with follow."""
    pod = pod_of(call)
    request = _request(call, container_of(call, pod))
    if not (pod.get("spec") or {}).get("nodeName"):
        # A pod that has no node has no log yet.
        stream = await call.http.start(200, _TEXT)
        await stream.finish()
        return None
    node = await node_of(call, pod)
    await _send(call, node.logs(request))
    return None


async def _send(call: ApiCall, chunks: AsyncIterator[bytes]) -> None:
    """The first chunk is awaited before anything is answered, so that a failure can still be a Status."""
    exchange = call.http
    first = await anext(chunks, None)
    if exchange.headers.get("Upgrade", "").lower() == "websocket":
        socket = await exchange.websocket(_WEBSOCKET)
        while first is not None:
            await socket.send(base64.b64encode(first).decode() if "base64" in socket.protocol else first)
            first = await anext(chunks, None)
        await socket.close()
        return
    stream = await exchange.start(200, _TEXT)
    while first is not None:
        await stream.write(first)
        first = await anext(chunks, None)
    await stream.finish()


def _request(call: ApiCall, target: ContainerAddress) -> LogRequest:
    query = call.query
    errors = FieldErrors()
    numbers = {name: _number(call, name) for name in ("sinceSeconds", "tailLines", "limitBytes")}
    since_time = query.get("sinceTime") or None
    stream = query.get("stream") or "All"
    if (tail := numbers["tailLines"]) is not None and tail < 0:
        errors.invalid(Path("tailLines"), tail, "must be greater than or equal to 0")
    if (limit := numbers["limitBytes"]) is not None and limit < 1:
        errors.invalid(Path("limitBytes"), limit, "must be greater than 0")
    if (seconds := numbers["sinceSeconds"]) is not None:
        if since_time is not None:
            errors.forbidden(Path(""), "at most one of `sinceTime` or `sinceSeconds` may be specified")
        elif seconds < 1:
            errors.invalid(Path("sinceSeconds"), seconds, "must be greater than 0")
    if stream not in _STREAMS:
        errors.not_supported(Path("stream"), stream, _STREAMS)
    if tail is not None and stream != "All":
        errors.forbidden(Path("tailLines"), "`tailLines` and specific `stream` are mutually exclusive for now")
    if errors:
        raise Invalid.of("", "PodLogOptions", call.info.name, errors.causes)
    if since_time is not None:
        _check_time(since_time)
    return LogRequest(
        target, is_true(query.get("follow")), is_true(query.get("previous")), is_true(query.get("timestamps")),
        seconds, since_time, tail, limit, stream,
    )  # fmt: skip


def _number(call: ApiCall, name: str) -> int | None:
    text = call.query.get(name)
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def _check_time(text: str) -> None:
    try:
        clock.parse(text)
    except ValueError:
        raise BadRequest(f'parsing time "{text}" as RFC 3339 failed') from None
