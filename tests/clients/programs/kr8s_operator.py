"""An operator for sites in kr8s: it watches, makes a Deployment for each site, and keeps its finalizer and status."""

import asyncio
import contextlib
from typing import Any

import kr8s
from kr8s.asyncio.objects import ConfigMap, Deployment, new_class

Site = new_class(kind="Site", version="web.example.com/v1", namespaced=True, scalable=True, plural="sites")
FINALIZER = "web.example.com/kr8s"


def deployment(site: Any) -> dict[str, Any]:
    labels = {"site": site.name}
    containers = [{"name": "site", "image": site.spec.image}]
    owner = {
        "apiVersion": "web.example.com/v1", "kind": "Site", "name": site.name, "uid": site.metadata.uid,
        "controller": True,
    }  # fmt: skip
    return {
        "metadata": {"name": site.name, "namespace": site.namespace, "labels": labels, "ownerReferences": [owner]},
        "spec": {
            "replicas": site.spec.replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    }


async def serve(site: Any) -> None:
    if site.metadata.get("deletionTimestamp"):
        if FINALIZER in (site.metadata.get("finalizers") or ()):
            metadata = {"name": f"{site.name}-farewell", "namespace": site.namespace}
            farewell = await ConfigMap({"metadata": metadata, "data": {"was": site.spec.image}})
            if not await farewell.exists():  # the watch tells of a dying site more than once
                await farewell.create()
            with contextlib.suppress(kr8s.NotFoundError):
                await site.patch({"metadata": {"finalizers": None}})
        return
    if FINALIZER not in (site.metadata.get("finalizers") or ()):
        await site.patch({"metadata": {"finalizers": [FINALIZER]}})
    owned = await Deployment(deployment(site))
    if not await owned.exists():
        await owned.create()
        return
    await owned.refresh()
    if owned.spec.replicas != site.spec.replicas:
        await owned.scale(site.spec.replicas)


async def follow_sites() -> None:
    async for event, site in kr8s.asyncio.watch(Site, namespace="default"):
        if event != "DELETED":
            with contextlib.suppress(kr8s.NotFoundError):  # it went meanwhile
                await serve(site)


async def follow_deployments() -> None:
    async for event, owned in kr8s.asyncio.watch("deployments", namespace="default", label_selector="site"):
        with contextlib.suppress(kr8s.NotFoundError):  # the site went meanwhile
            await count(event, owned)


async def count(event: str, owned: Any) -> None:
    site = await Site({"metadata": {"name": owned.name, "namespace": owned.namespace}})
    if not await site.exists():
        return
    await site.refresh()
    if event == "DELETED":
        await serve(site)
        return
    ready = owned.status.get("readyReplicas", 0)
    condition = {"type": "Ready", "status": str(ready == site.spec.replicas), "reason": "Counted"}
    await site.patch({"status": {"ready": ready, "conditions": [condition]}}, subresource="status")


async def main() -> None:
    await asyncio.gather(follow_sites(), follow_deployments())


asyncio.run(main())
