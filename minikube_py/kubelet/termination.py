"""Reads what a container left as its termination message: its file, or the end of its log where the spec says so."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import cast

from minikube_py.client.node_connection import ContainerAddress, LogRequest
from minikube_py.kubelet.pod_spec import PodContainer
from minikube_py.kubelet.runtimes.protocol import ContainerState, RuntimeFailure
from minikube_py.kubelet.services import PodServices
from minikube_py.kubelet.volumes.node_paths import safe_part
from minikube_py.objects.errors import Object

FILE_LIMIT_BYTES = 4096
LOG_LIMIT_BYTES = 2048
LOG_LIMIT_LINES = 80


def message_file(pods_directory: Path, pod_uid: str, container: str, restart_count: int) -> Path:
    """Where one attempt of a container writes its message."""
    return pods_directory / safe_part(pod_uid) / "containers" / safe_part(container) / str(restart_count)


async def termination_message(
    services: PodServices, pod: Object, container: PodContainer, state: ContainerState
) -> str:
    """At most 4096 bytes of the message file; with FallbackToLogsOnError the last lines of a failed container's log."""
    text = ""
    if services.pods_directory is not None:
        path = message_file(services.pods_directory, state.pod.uid, state.name, state.restart_count)
        text = await asyncio.to_thread(_read, path)
    if text or state.exit_code == 0 or container.spec.get("terminationMessagePolicy") != "FallbackToLogsOnError":
        return text
    meta = pod["metadata"]
    target = ContainerAddress(meta["namespace"], meta["name"], meta["uid"], state.name)
    request = LogRequest(target, tail_lines=LOG_LIMIT_LINES)
    data = b""
    try:
        stream = cast(AsyncGenerator[bytes, None], services.runtime.logs(state, request))
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                data = (data + chunk)[-LOG_LIMIT_BYTES:]
    except RuntimeFailure:
        return ""
    return data.decode(errors="replace")


def _read(path: Path) -> str:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(handle, "rb") as file:
        return file.read(FILE_LIMIT_BYTES).decode(errors="replace")
