"""Docker's event stream, turned into the UIDs of pods in which something changed."""

import asyncio
from collections.abc import AsyncIterator

import orjson

from minikube_py import ids
from minikube_py.kubelet.runtimes import docker_labels as label
from minikube_py.kubelet.runtimes.docker_engine import DockerEngine, EngineError
from minikube_py.kubelet.runtimes.docker_labels import Owner
from minikube_py.kubelet.runtimes.protocol import RuntimeFailure

# exec_* and health_status are left out: probes would wake the kubelet for nothing.
_ACTIONS = ("start", "die", "oom", "destroy", "pause", "unpause")
_FIRST_RETRY_SECONDS = 0.2
_LAST_RETRY_SECONDS = 10.0


async def pod_events(engine: DockerEngine, owner: Owner) -> AsyncIterator[str]:
    """UIDs of changed pods, for ever. '' whenever the stream was (re)opened: anything may have happened before."""
    filters = orjson.dumps({"type": ["container"], "event": list(_ACTIONS), "label": owner.filters()}).decode()
    delay = _FIRST_RETRY_SECONDS
    while True:
        try:
            async with engine.stream("GET", "/events", {"filters": filters}) as response:
                delay = _FIRST_RETRY_SECONDS
                yield ""
                async for line in response.content:
                    uid = _pod_uid(line)
                    if uid:
                        yield uid
        except (EngineError, RuntimeFailure, OSError):
            # An engine that is away is no error here: the kubelet learns of it from its own calls.
            delay = min(delay * 2, _LAST_RETRY_SECONDS)
        await asyncio.sleep(ids.jitter(delay, 0.1))


def _pod_uid(line: bytes) -> str:
    if not line.strip():
        return ""
    attributes = orjson.loads(line).get("Actor", {}).get("Attributes", {})
    return str(attributes.get(label.POD_UID, ""))
