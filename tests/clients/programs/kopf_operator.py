"""A kopf operator for sites: handlers for create, update and delete, an owned Deployment, events and a status."""

from typing import Any

import kopf
import kubernetes

GROUP = ("web.example.com", "v1", "sites")


@kopf.on.startup()
def log_in(settings: kopf.OperatorSettings, **_: Any) -> None:
    kubernetes.config.load_kube_config()
    settings.persistence.finalizer = "web.example.com/kopf"


def deployment(name: str, spec: kopf.Spec) -> dict[str, Any]:
    labels = {"site": name}
    container = {"name": "site", "image": spec["image"]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": spec["replicas"], "selector": {"matchLabels": labels}, "template": template},
    }


@kopf.on.create(*GROUP)
@kopf.on.update(*GROUP)
@kopf.on.resume(*GROUP)
def serve(name: str | None, namespace: str | None, spec: kopf.Spec, body: kopf.Body, **_: Any) -> dict[str, Any]:
    assert name is not None
    wanted = deployment(name, spec)
    kopf.adopt(wanted, owner=body)
    apps = kubernetes.client.AppsV1Api()
    try:
        apps.create_namespaced_deployment(namespace, wanted)
        kopf.info(body, reason="Adopted", message=f"took site {name}")
    except kubernetes.client.ApiException as error:
        if error.status != 409:
            raise
        apps.patch_namespaced_deployment(name, namespace, {"spec": {"replicas": spec["replicas"]}})
    return {"image": spec["image"]}


@kopf.on.event("apps", "v1", "deployments", labels={"site": kopf.PRESENT})
def follow(type: str | None, name: str | None, namespace: str | None, status: kopf.Status, **_: Any) -> None:
    """The Deployment's state goes into the site's status; a Deployment that was deleted comes again."""
    sites = kubernetes.client.CustomObjectsApi()
    group, version, plural = GROUP
    try:
        site = sites.get_namespaced_custom_object(group, version, namespace, plural, name)
    except kubernetes.client.ApiException as error:
        if error.status == 404:
            return
        raise
    if type == "DELETED" and "deletionTimestamp" not in site["metadata"]:
        wanted = deployment(site["metadata"]["name"], site["spec"])
        kopf.adopt(wanted, owner=site)
        kubernetes.client.AppsV1Api().create_namespaced_deployment(namespace, wanted)
        return
    ready = status.get("readyReplicas", 0)
    condition = {"type": "Ready", "status": str(ready == site["spec"]["replicas"]), "reason": "Counted"}
    change = {"status": {"ready": ready, "conditions": [condition]}}
    sites.patch_namespaced_custom_object_status(group, version, namespace, plural, name, change)


@kopf.on.delete(*GROUP)
def say_farewell(name: str | None, namespace: str | None, spec: kopf.Spec, **_: Any) -> None:
    farewell = {"metadata": {"name": f"{name}-farewell"}, "data": {"was": spec["image"]}}
    kubernetes.client.CoreV1Api().create_namespaced_config_map(namespace, farewell)
