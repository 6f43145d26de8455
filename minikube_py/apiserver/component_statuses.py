"""Puts ComponentStatuses into the store: they are for old clients, and all of a running server's parts are well.

A part of this process that fails ends the process, so there is never an unhealthy one to tell about.
"""

from minikube_py.apiserver.keys import draft_of, key_of
from minikube_py.resources.kind import GVR
from minikube_py.resources.registry import KindRegistry
from minikube_py.store.protocol import Store

COMPONENTS = ("controller-manager", "etcd-0", "scheduler")
_STATUSES = GVR("", "v1", "componentstatuses")


async def write_component_statuses(store: Store, registry: KindRegistry) -> None:
    """Creates those that are missing."""
    kind = registry.find(_STATUSES)
    if kind is None:
        return
    for name in COMPONENTS:
        key = key_of(kind, "", name)
        if store.get(key) is None:
            condition = {"type": "Healthy", "status": "True", "message": "ok"}
            obj = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": {"name": name}}
            await store.create(key, draft_of(kind, {**obj, "conditions": [condition]}, kind))
