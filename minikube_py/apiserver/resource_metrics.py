"""Answers metrics.k8s.io from the nodes' own statistics, at the moment somebody asks; nothing is kept here.

Source: metrics-server pkg/api: pods without figures for every running container are left out.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from minikube_py import clock
from minikube_py.apiserver.call import Answer, ApiCall
from minikube_py.apiserver.selecting import parse_selection
from minikube_py.objects import meta
from minikube_py.objects.errors import ApiError, NotFound, Object
from minikube_py.resources.kind import GVR
from minikube_py.resources.metrics.usage import Reading, Usage, node_metrics, pod_metrics

log = logging.getLogger(__name__)

_NODE_SECONDS = 10.0
"""How long one node may take; one that is away must not keep the others' figures back."""

_PODS, _NODES = GVR("", "v1", "pods"), GVR("", "v1", "nodes")


async def read_metrics(call: ApiCall) -> Answer:
    """get and list of NodeMetrics and PodMetrics."""
    is_pods = call.info.resource == "pods"
    sources = _sources(call, _PODS if is_pods else _NODES)
    found = await (_of_pods(call, sources) if is_pods else _of_nodes(call, sources))
    if call.info.verb == "list":
        return Answer(items=found, kind=call.kind)
    if not found:
        raise NotFound.of(call.kind.group, call.kind.plural, call.info.name)
    return Answer(found[0], kind=call.kind)


def _sources(call: ApiCall, gvr: GVR) -> list[Object]:
    """The nodes or pods that the request is about."""
    context, info = call.context, call.info
    kind = context.registry.find(gvr)
    if kind is None:
        return []
    if info.verb != "list":
        one = context.reader.get(gvr, info.name, info.namespace)
        return [one] if one is not None else []
    selection = parse_selection(kind, info.label_selector, info.field_selector)
    records = selection.choose(context.store.list(kind.store_resource, info.namespace).records)
    return [context.records.shared(kind, record) for record in records]


async def _of_nodes(call: ApiCall, nodes: Iterable[Object]) -> list[Object]:
    by_name = {meta.name(node): node for node in nodes}
    summaries = await _summaries(call, by_name)
    return [metrics for name, summary in summaries.items() if (metrics := _node(by_name[name], summary)) is not None]


async def _of_pods(call: ApiCall, pods: Iterable[Object]) -> list[Object]:
    """A node is asked about its own pods only: what it says of others does not count."""
    running = [pod for pod in pods if _is_running(pod)]
    summaries = await _summaries(call, {pod["spec"]["nodeName"] for pod in running})
    by_node = {name: _by_uid(summary) for name, summary in summaries.items()}
    found = []
    for pod in running:
        said = by_node.get(pod["spec"]["nodeName"], {}).get(pod["metadata"]["uid"])
        metrics = _pod(pod, said) if said is not None else None
        if metrics is not None:
            found.append(metrics)
    return found


# A summary may come from another machine, which may say anything.
_NONSENSE = (AttributeError, KeyError, TypeError, ValueError)


def _by_uid(summary: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    try:
        return {str(one["podRef"]["uid"]): one for one in summary.get("pods") or ()}
    except _NONSENSE:
        return {}


def _node(node: Object, summary: Mapping[str, Any]) -> Object | None:
    try:
        figures = summary["node"]
        return node_metrics(node, _usage(figures), _reading([figures])) if "usageNanoCores" in figures["cpu"] else None
    except _NONSENSE:
        return None


def _pod(pod: Object, said: Mapping[str, Any]) -> Object | None:
    """None when a container that runs has no figures."""
    try:
        containers = {one["name"]: one for one in said.get("containers") or ()}
        measured = {name: one for name, one in containers.items() if "usageNanoCores" in one["cpu"]}
        if not measured or not _running_containers(pod) <= set(measured):
            return None
        return pod_metrics(pod, {name: _usage(one) for name, one in measured.items()}, _reading(measured.values()))
    except _NONSENSE:
        return None


def _is_running(pod: Object) -> bool:
    return bool(pod["spec"].get("nodeName")) and (pod.get("status") or {}).get("phase") == "Running"


def _running_containers(pod: Object) -> set[str]:
    """The pod's own containers that run; init and ephemeral ones may come and go without their figures."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return {one["name"] for one in statuses if "running" in (one.get("state") or {})}


async def _summaries(call: ApiCall, names: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """The statistics of each node that answers, by name."""
    wanted = list(names)
    answers = await asyncio.gather(*(_summary(call, name) for name in wanted))
    return {name: answer for name, answer in zip(wanted, answers, strict=True) if answer}


async def _summary(call: ApiCall, name: str) -> Mapping[str, Any]:
    node = call.context.nodes.find(name)
    if node is None:
        return {}
    try:
        async with asyncio.timeout(_NODE_SECONDS):
            return await node.stats()
    except (ApiError, OSError, TimeoutError, ValueError) as error:
        log.info("no statistics of node %s: %s", name, error)
        return {}


def _usage(figures: Mapping[str, Any]) -> Usage:
    cpu, memory = int(figures["cpu"]["usageNanoCores"]), int(figures["memory"]["workingSetBytes"])
    if cpu < 0 or memory < 0:
        raise ValueError("nothing uses less than nothing")
    return Usage(cpu, memory)


def _reading(figures: Iterable[Mapping[str, Any]]) -> Reading:
    """The oldest of the readings, and the longest of the windows: what all of the figures are good for."""
    cpu = [one["cpu"] for one in figures]
    stamp = min(clock.parse(one["time"]) for one in cpu)
    return Reading(clock.rfc3339(stamp), max(float(one.get("windowSeconds") or 0.0) for one in cpu))
