"""Makes sure the objects that every cluster starts with are there: written together once, only looked at afterwards."""

import asyncio
import json
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass

from minikube_py.bootstrap.flow_control_objects import flow_schemas, priority_levels
from minikube_py.bootstrap.rbac_policy import reconcile_policy
from minikube_py.client.protocol import Client, PatchType, Selection, WriteOptions
from minikube_py.objects.errors import AlreadyExists, Expired, NotFound, Object
from minikube_py.resources.kind import GVR

NAMESPACES = GVR("", "v1", "namespaces")
SERVICES = GVR("", "v1", "services")
ENDPOINTS = GVR("", "v1", "endpoints")
CONFIG_MAPS = GVR("", "v1", "configmaps")
ENDPOINT_SLICES = GVR("discovery.k8s.io", "v1", "endpointslices")
PRIORITY_CLASSES = GVR("scheduling.k8s.io", "v1", "priorityclasses")
FLOW_SCHEMAS = GVR("flowcontrol.apiserver.k8s.io", "v1", "flowschemas")
PRIORITY_LEVELS = GVR("flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations")
SERVICE_CIDRS = GVR("networking.k8s.io", "v1", "servicecidrs")

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


@dataclass(frozen=True)
class FirstObjectsOptions:
    """service_cidrs in CIDR form; service_ip is the `kubernetes` Service's. CA certificates as PEM."""

    service_cidrs: tuple[str, ...]
    service_ip: str
    api_port: int
    client_ca_pem: bytes
    request_header_ca_pem: bytes


async def write_first_objects(client: Client, options: FirstObjectsOptions) -> int:
    """Create what is missing and add what the default policy lacks; the number of writes. Needs system:masters."""
    written = await _create_missing(client, NAMESPACES, [_namespace(name) for name in SYSTEM_NAMESPACES])
    counts = await asyncio.gather(
        reconcile_policy(client),
        _create_missing(client, PRIORITY_CLASSES, _priority_classes()),
        _create_missing(client, PRIORITY_LEVELS, priority_levels()),
        _create_missing(client, FLOW_SCHEMAS, flow_schemas()),
        _service_cidr(client, options),
        _authentication_config(client, options),
        _create_missing(client, SERVICES, [_kubernetes_service(options)]),
    )
    return written + sum(counts)


async def keep_api_service(client: Client, options: FirstObjectsOptions) -> None:
    """Make the `kubernetes` Service again whenever somebody deletes it, for ever."""
    selection = Selection("default", field_selector="metadata.name=kubernetes")
    while True:
        await _create_missing(client, SERVICES, [_kubernetes_service(options)])
        found = await client.list(SERVICES, selection)
        try:
            async for event in client.watch(SERVICES, selection, resource_version=found.resource_version):
                if event.type == "DELETED":
                    break
        except Expired:
            continue


async def publish_api_endpoint(client: Client, address: str, port: int) -> None:
    """Point the `kubernetes` Service at the API server. address must be reachable from pods, so not a loopback one."""
    family = "IPv6" if ":" in address else "IPv4"
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": family,
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
    # The label keeps the mirroring controller from making a second slice of these endpoints.
    endpoints = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [
            {"addresses": [{"ip": address}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]},
        ],
    }
    await asyncio.gather(
        _create_or_replace(client, ENDPOINT_SLICES, slice_, ("endpoints", "ports", "addressType")),
        _create_or_replace(client, ENDPOINTS, endpoints, ("subsets",)),
    )


async def _create_missing(client: Client, gvr: GVR, objects: Iterable[Object]) -> int:
    writes: list[Awaitable[int]] = []
    for obj in objects:
        metadata = obj["metadata"]
        try:
            await client.get(gvr, metadata["name"], metadata.get("namespace", ""))
        except NotFound:
            writes.append(_create(client, gvr, obj))
    return sum(await asyncio.gather(*writes))


async def _create(client: Client, gvr: GVR, obj: Object) -> int:
    try:
        await client.create(gvr, obj, obj["metadata"].get("namespace", ""))
    except AlreadyExists:
        return 0
    return 1


async def _create_or_replace(client: Client, gvr: GVR, wanted: Object, fields: tuple[str, ...]) -> int:
    """Write `wanted` unless the stored object has the same values in `fields`."""
    metadata = wanted["metadata"]
    try:
        stored = await client.get(gvr, metadata["name"], metadata.get("namespace", ""))
    except NotFound:
        return await _create(client, gvr, wanted)
    if all(stored.get(field) == wanted.get(field) for field in fields):
        return 0
    if gvr == ENDPOINT_SLICES and stored.get("addressType") != wanted["addressType"]:
        await client.delete(gvr, metadata["name"], metadata["namespace"])
        return await _create(client, gvr, wanted)
    await client.update(gvr, {**stored, **{field: wanted[field] for field in fields}})
    return 1


async def _authentication_config(client: Client, options: FirstObjectsOptions) -> int:
    wanted = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {
            "client-ca-file": options.client_ca_pem.decode(),
            "requestheader-client-ca-file": options.request_header_ca_pem.decode(),
            "requestheader-allowed-names": json.dumps(["front-proxy-client"]),
            "requestheader-extra-headers-prefix": json.dumps(["X-Remote-Extra-"]),
            "requestheader-group-headers": json.dumps(["X-Remote-Group"]),
            "requestheader-uid-headers": json.dumps(["X-Remote-Uid"]),
            "requestheader-username-headers": json.dumps(["X-Remote-User"]),
        },
    }
    return await _create_or_replace(client, CONFIG_MAPS, wanted, ("data",))


async def _service_cidr(client: Client, options: FirstObjectsOptions) -> int:
    wanted = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": list(options.service_cidrs)},
    }
    if not await _create_missing(client, SERVICE_CIDRS, [wanted]):
        return 0
    stored = await client.get(SERVICE_CIDRS, "kubernetes")
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "",
        "message": "Kubernetes default Service CIDR is ready",
        "lastTransitionTime": stored["metadata"]["creationTimestamp"],
    }
    patch = {"status": {"conditions": [condition]}}
    await client.patch(
        SERVICE_CIDRS,
        "kubernetes",
        patch,
        patch_type=PatchType.MERGE,
        options=WriteOptions(subresource="status"),
    )
    return 2


def _namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _kubernetes_service(options: FirstObjectsOptions) -> Object:
    port = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": options.api_port}
    family = "IPv6" if ":" in options.service_ip else "IPv4"
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": options.service_ip,
            "clusterIPs": [options.service_ip],
            "ipFamilies": [family],
            "ipFamilyPolicy": "SingleStack",
            "ports": [port],
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
    }


def _priority_classes() -> list[Object]:
    texts = {
        "system-node-critical": (
            2000001000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
        "system-cluster-critical": (
            2000000000,
            "Used for system critical pods that must run in the cluster, "
            "but can be moved to another node if necessary.",
        ),
    }
    return [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "description": description,
        }
        for name, (value, description) in texts.items()
    ]
