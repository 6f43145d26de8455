"""Keeps an APIService for every group version that this server serves itself, so that clients see all in one list.

Source: kube-aggregator pkg/controllers/autoregister (labels), pkg/apiserver of kube-apiserver (priorities).
"""

import asyncio
import logging

from minikube_py.apiserver.admission.protocol import ObjectReader
from minikube_py.apiserver.aggregation.api import API_SERVICES
from minikube_py.client.protocol import Client
from minikube_py.objects.errors import AlreadyExists, ApiError, NotFound, Object
from minikube_py.resources.registry import CUSTOM_PRIORITY, GROUP_PRIORITY, KindRegistry, version_priority

_LOG = logging.getLogger(__name__)

_MANAGED = "kube-aggregator.kubernetes.io/automanaged"
_CORE_PRIORITY = 18000
_VERSION_PRIORITY = {3: 15, 2: 9, 1: 1, 0: 1}
_CUSTOM_VERSION_PRIORITY = 100


def local_service(group: str, version: str) -> Object:
    """The APIService of a group version of this server."""
    is_custom = bool(group) and group not in GROUP_PRIORITY
    spec: Object = {
        "version": version,
        "groupPriorityMinimum": GROUP_PRIORITY.get(group, CUSTOM_PRIORITY) if group else _CORE_PRIORITY,
        "versionPriority": _CUSTOM_VERSION_PRIORITY if is_custom else _VERSION_PRIORITY[version_priority(version)[0]],
    }
    if group:
        spec["group"] = group
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{version}.{group}", "labels": {_MANAGED: "true" if is_custom else "onstart"}},
        "spec": spec,
    }


async def keep_local_services(registry: KindRegistry, reader: ObjectReader, client: Client) -> None:
    """Now, and whenever kinds come or go."""
    changed = asyncio.Event()
    unsubscribe = registry.subscribe(changed.set)
    try:
        while registry.find(API_SERVICES) is not None:
            changed.clear()
            try:
                await _synchronise(registry, reader, client)
            except ApiError as error:
                _LOG.warning("the APIServices of this server's own groups cannot be kept: %s", error)
            await changed.wait()
    finally:
        unsubscribe()


async def _synchronise(registry: KindRegistry, reader: ObjectReader, client: Client) -> None:
    wanted = {f"{version}.{group}": (group, version) for group, version in registry.group_versions()}
    found = {service["metadata"]["name"]: service for service in reader.list(API_SERVICES)}
    for name in wanted.keys() - found.keys():
        try:
            await client.create(API_SERVICES, local_service(*wanted[name]))
        except AlreadyExists:
            continue
    for name in found.keys() - wanted.keys():
        if _MANAGED in (found[name]["metadata"].get("labels") or {}):
            try:
                await client.delete(API_SERVICES, name)
            except NotFound:
                continue
