"""An operator for sites in lightkube: watches, typed models, server-side apply, and the status as a subresource."""

import asyncio
import contextlib
from typing import Any

from lightkube import ApiError, AsyncClient
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.apps_v1 import DeploymentSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta, OwnerReference
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap
from lightkube.types import PatchType

Site = create_namespaced_resource("web.example.com", "v1", "Site", "sites")
FINALIZER = "web.example.com/lightkube"


def deployment(site: Any) -> Deployment:
    labels = {"site": site.metadata.name}
    owner = OwnerReference("web.example.com/v1", "Site", site.metadata.name, site.metadata.uid, controller=True)
    containers = [Container(name="site", image=site["spec"]["image"])]
    return Deployment(
        apiVersion="apps/v1",
        kind="Deployment",
        metadata=ObjectMeta(
            name=site.metadata.name, namespace=site.metadata.namespace, labels=labels, ownerReferences=[owner]
        ),
        spec=DeploymentSpec(
            replicas=site["spec"]["replicas"],
            selector=LabelSelector(matchLabels=labels),
            template=PodTemplateSpec(metadata=ObjectMeta(labels=labels), spec=PodSpec(containers=containers)),
        ),
    )


async def serve(client: AsyncClient, site: Any) -> None:
    finalizers = site.metadata.finalizers or []
    if site.metadata.deletionTimestamp is not None:
        if FINALIZER in finalizers:
            name, namespace = f"{site.metadata.name}-farewell", site.metadata.namespace
            farewell = ConfigMap(
                apiVersion="v1", kind="ConfigMap", metadata=ObjectMeta(name=name, namespace=namespace),
                data={"was": site["spec"]["image"]},
            )  # fmt: skip
            await client.apply(farewell, field_manager="site-operator")
            released = {"metadata": {"finalizers": None}}
            with contextlib.suppress(ApiError):  # the watch tells of a dying site more than once
                await client.patch(Site, site.metadata.name, released, patch_type=PatchType.MERGE)
        return
    if FINALIZER not in finalizers:
        added = {"metadata": {"finalizers": [FINALIZER]}}
        await client.patch(Site, site.metadata.name, added, patch_type=PatchType.MERGE)
    await client.apply(deployment(site), field_manager="site-operator", force=True)


async def follow_sites(client: AsyncClient) -> None:
    async for event, site in client.watch(Site):
        if event != "DELETED":
            await serve(client, site)


async def follow_deployments(client: AsyncClient) -> None:
    async for event, owned in client.watch(Deployment, labels={"site": None}):  # type: ignore[dict-item]
        try:
            site = await client.get(Site, owned.metadata.name)
        except ApiError as error:
            if error.status.code == 404:
                continue
            raise
        if event == "DELETED":
            await serve(client, site)
            continue
        ready = owned.status.readyReplicas or 0
        condition = {"type": "Ready", "status": str(ready == site["spec"]["replicas"]), "reason": "Counted"}
        change = {"status": {"ready": ready, "conditions": [condition]}}
        await client.patch(Site.Status, owned.metadata.name, change, patch_type=PatchType.MERGE)


async def main() -> None:
    client = AsyncClient(namespace="default")
    await asyncio.gather(follow_sites(client), follow_deployments(client))


asyncio.run(main())
