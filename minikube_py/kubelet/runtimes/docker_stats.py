"""CPU and memory use of a node's containers: from their cgroups when the engine is local, else from Docker."""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson

from minikube_py.kubelet.runtimes import docker_labels as label
from minikube_py.kubelet.runtimes.container_cgroups import read_numbers
from minikube_py.kubelet.runtimes.docker_engine import DockerEngine, EngineError
from minikube_py.kubelet.runtimes.docker_labels import Owner
from minikube_py.kubelet.runtimes.docker_states import epoch


async def container_stats(engine: DockerEngine, owner: Owner) -> dict[str, dict[str, dict[str, float]]]:
    """{pod uid: {container name: numbers}} of what runs, in the form of `read_numbers`. Sandboxes are not listed."""
    filters = orjson.dumps({"label": [*owner.filters(), f"{label.KIND}={label.KIND_CONTAINER}"]}).decode()
    listed = await engine.request("GET", "/containers/json", {"filters": filters})
    answers = await asyncio.gather(*(_one(engine, one["Id"]) for one in listed))
    pods: dict[str, dict[str, dict[str, float]]] = {}
    for one, numbers in zip(listed, answers, strict=True):
        if numbers:
            labels = one["Labels"]
            pods.setdefault(labels[label.POD_UID], {})[labels[label.CONTAINER]] = numbers
    return pods


async def _one(engine: DockerEngine, container_id: str) -> dict[str, float]:
    try:
        if engine.address.is_local_engine:
            state = (await engine.request("GET", f"/containers/{container_id}/json"))["State"]
            numbers = await asyncio.to_thread(read_numbers, int(state["Pid"])) if state["Pid"] else {}
            return {**numbers, "started_at": epoch(state["StartedAt"])} if numbers else {}
        query = {"stream": "false", "one-shot": "true"}
        return container_numbers(await engine.request("GET", f"/containers/{container_id}/stats", query))
    except EngineError:
        return {}  # it ended meanwhile


def container_numbers(answer: Mapping[str, Any]) -> dict[str, float]:
    """Docker's statistics in the form of `read_numbers`."""
    memory = answer.get("memory_stats") or {}
    usage = int(memory.get("usage") or 0)
    detail = memory.get("stats") or {}
    # cgroup v1 names it total_inactive_file, v2 inactive_file.
    inactive = int(detail.get("total_inactive_file", detail.get("inactive_file", 0)))
    if not usage:
        return {}
    return {
        "time": epoch(answer.get("read", "")),
        "cpu_ns": int(answer["cpu_stats"]["cpu_usage"]["total_usage"]),
        "memory_bytes": usage,
        "working_set_bytes": max(0, usage - inactive),
        "pids": int((answer.get("pids_stats") or {}).get("current") or 0),
    }
