"""Writes the objects that mkube adds to Kubernetes' own: the DNS Service, and what nodes may read of the network."""

import asyncio
import contextlib

from minikube_py.client.protocol import Client
from minikube_py.objects.errors import AlreadyExists, NotFound, Object
from minikube_py.resources.kind import GVR

SERVICES = GVR("", "v1", "services")
CLUSTER_ROLES = GVR("rbac.authorization.k8s.io", "v1", "clusterroles")
CLUSTER_ROLE_BINDINGS = GVR("rbac.authorization.k8s.io", "v1", "clusterrolebindings")
NODE_NETWORK = "mkube:node-network"


async def write_mkube_objects(client: Client, cluster_dns: str) -> None:
    """Create what is missing. Needs system:masters."""
    await asyncio.gather(
        _create(client, CLUSTER_ROLES, _node_network_role()),
        _create(client, CLUSTER_ROLE_BINDINGS, _node_network_binding()),
        _create(client, SERVICES, _dns_service(cluster_dns)),
    )


async def _create(client: Client, gvr: GVR, obj: Object) -> None:
    try:
        await client.get(gvr, obj["metadata"]["name"], obj["metadata"].get("namespace", ""))
    except NotFound:
        with contextlib.suppress(AlreadyExists):
            await client.create(gvr, obj)


def _node_network_role() -> Object:
    """A node's proxy and DNS are in its own process, so its identity reads what kube-proxy and CoreDNS would."""
    read = ["get", "list", "watch"]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": NODE_NETWORK},
        "rules": [
            {"apiGroups": [""], "resources": ["services", "namespaces"], "verbs": read},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read},
        ],
    }


def _node_network_binding() -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": NODE_NETWORK},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NODE_NETWORK},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:nodes"}],
    }


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
