"""Creates and starts containers through docker-py; every call is safe to repeat. Runs in threads."""

import os
from collections.abc import Mapping
from typing import Any

from minikube_py.kubelet.runtimes import docker_labels as label
from minikube_py.kubelet.runtimes.docker_engine import DockerEngine, EngineError

# What runc says when it may not lower oom_score_adj (an engine without CAP_SYS_RESOURCE, rootless engines).
_OOM_SCORE_REFUSED = ("oom_score_adj", "final child's PID from pipe")


class DockerLauncher:
    """Starts created configurations, and learns what this engine may not do."""

    def __init__(self, engine: DockerEngine) -> None:
        self._engine = engine
        self._lowest_oom_score = -1000

    async def create(self, name: str, config: dict[str, Any]) -> dict[str, Any]:
        """The inspected container, which may be an older one that the same call made. Raises EngineError."""
        host_config = config["HostConfig"]
        host_config["OomScoreAdj"] = max(host_config["OomScoreAdj"], self._lowest_oom_score)
        return await self._engine.lifecycle(lambda client: create_container(client, name, config))

    async def start(self, name: str, config: dict[str, Any], created: dict[str, Any]) -> dict[str, Any]:
        """Start what `create` gave; the inspected container. Raises EngineError."""
        try:
            return await self._engine.lifecycle(lambda client: start_container(client, created["Id"]))
        except EngineError as error:
            is_refused = any(text in error.message for text in _OOM_SCORE_REFUSED)
            if not is_refused or config["HostConfig"]["OomScoreAdj"] >= 0:
                raise
            self._lowest_oom_score = 0
        await self._engine.lifecycle(lambda client: remove_container(client, created["Id"]))
        return await self.create_and_start(name, config)

    async def create_and_start(self, name: str, config: dict[str, Any]) -> dict[str, Any]:
        created = await self.create(name, config)
        return created if created["State"]["Running"] else await self.start(name, config, created)


def inspect_all(client: Any, filters: list[str]) -> list[dict[str, Any]]:
    from docker.errors import NotFound  # noqa: PLC0415 (docker is loaded lazily)

    found: list[dict[str, Any]] = []
    for one in client.containers(all=True, filters={"label": filters}):
        try:
            found.append(client.inspect_container(one["Id"]))
        except NotFound:
            continue  # removed since the listing
    return found


def create_container(client: Any, name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Create under `name`, or take what the same call made before; anything else of that name is removed."""
    from docker.errors import APIError  # noqa: PLC0415 (docker is loaded lazily)

    for mount in config["HostConfig"].get("Mounts", ()):
        # Kubernetes makes a missing host path a directory; Docker refuses it.
        if mount["Type"] == "bind" and not os.path.lexists(mount["Source"]):
            os.makedirs(mount["Source"], exist_ok=True)
    for _ in range(2):
        try:
            created = client.create_container_from_config(config, name)
            return dict(client.inspect_container(created["Id"]))
        except APIError as error:
            if error.response is None or error.response.status_code != 409:
                raise
        existing = client.inspect_container(name)
        if _is_same(existing, config):
            return dict(existing)
        client.remove_container(existing["Id"], v=True, force=True)
    raise EngineError(409, f'the container name "{name}" is in use')


def _is_same(existing: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    found = existing["Config"]["Labels"]
    identity = (label.CLUSTER, label.NODE, label.POD_UID, label.RESTART_COUNT, label.SPEC_HASH, label.POD_IP)
    return all(found.get(key) == config["Labels"].get(key) for key in identity)


def start_container(client: Any, container_id: str) -> dict[str, Any]:
    client.start(container_id)
    return dict(client.inspect_container(container_id))


def remove_container(client: Any, container_id: str) -> None:
    from docker.errors import APIError  # noqa: PLC0415 (docker is loaded lazily)

    try:
        client.remove_container(container_id, v=True, force=True)
    except APIError as error:
        # 409: its removal is already in progress.
        if error.response is None or error.response.status_code not in (404, 409):
            raise
