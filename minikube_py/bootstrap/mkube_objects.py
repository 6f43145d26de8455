"""Writes what mkube adds to Kubernetes' own first objects: the DNS Service, a storage class, controllers' roles."""

import asyncio
import contextlib

from minikube_py.bootstrap.rbac_controller_roles import CONTROLLER_ROLES
from minikube_py.client.protocol import Client
from minikube_py.objects.errors import AlreadyExists, NotFound, Object
from minikube_py.resources.kind import GVR
from minikube_py.resources.storage.local_volumes import LOCAL_DRIVER

RBAC = "rbac.authorization.k8s.io"
SERVICES = GVR("", "v1", "services")
STORAGE_CLASSES = GVR("storage.k8s.io", "v1", "storageclasses")
CLUSTER_ROLES = GVR(RBAC, "v1", "clusterroles")
CLUSTER_ROLE_BINDINGS = GVR(RBAC, "v1", "clusterrolebindings")


async def write_mkube_objects(client: Client, cluster_dns: str) -> None:
    """Make what is missing. Needs system:masters."""
    await asyncio.gather(
        *(_ensure(client, CLUSTER_ROLES, role) for role in _controller_roles()),
        *(_ensure(client, CLUSTER_ROLE_BINDINGS, binding) for binding in _controller_bindings()),
        _ensure(client, SERVICES, _dns_service(cluster_dns)),
        _ensure(client, STORAGE_CLASSES, _storage_class()),
    )


async def _ensure(client: Client, gvr: GVR, obj: Object) -> None:
    """Make the object, or bring an older mkube's rules up to date."""
    try:
        found = await client.get(gvr, obj["metadata"]["name"], obj["metadata"].get("namespace", ""))
    except NotFound:
        with contextlib.suppress(AlreadyExists):
            await client.create(gvr, obj)
        return
    if "rules" in obj and found.get("rules") != obj["rules"]:
        await client.update(gvr, {**found, "rules": obj["rules"]})


def _storage_class() -> Object:
    """Where claims that name no class get their volumes: a directory on the node of their first pod."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": LOCAL_DRIVER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def _role(name: str, rules: list[Object]) -> Object:
    return {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}


def _binding(account: str) -> Object:
    """Binds a controller's service account to the role of mkube's own that goes with it."""
    name = f"mkube:controller:{account}"
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": "kube-system"}],
    }


def _patching(account: str) -> list[Object]:
    """mkube's controllers patch where Kubernetes' own update: on the same resources, and only there."""
    return [
        {**rule, "verbs": ["patch"]}
        for rule in CONTROLLER_ROLES[account]
        if "update" in rule["verbs"] and "patch" not in rule["verbs"]
    ]


def _controller_roles() -> list[Object]:
    return [
        _role(f"mkube:controller:{account}", rules) for account in CONTROLLER_ROLES if (rules := _patching(account))
    ]


def _controller_bindings() -> list[Object]:
    return [_binding(account) for account in CONTROLLER_ROLES if _patching(account)]


def _dns_service(cluster_dns: str) -> Object:
    """Without a selector: every node answers its pods' questions itself, at this address."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kube-dns",
            "namespace": "kube-system",
            "labels": {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"},
        },
        "spec": {
            "clusterIP": cluster_dns,
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
            ],
        },
    }
