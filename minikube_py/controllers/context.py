"""What a controller is made from: its client, the shared informers, a recorder, options and the served kinds."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from minikube_py.client.protocol import Client
from minikube_py.cloud.protocol import CloudProvider, GrowthPlanner
from minikube_py.reconciling.informer import InformerSet
from minikube_py.reconciling.queue_metrics import QueueTable
from minikube_py.resources.kind import GVR, ResourceKind


class KindSource(Protocol):
    """The kinds that are served now; implemented by resources.catalog.KindRegistry."""

    def all(self) -> Iterable[ResourceKind]: ...

    def subscribe(self, callback: Callable[..., None]) -> Any:
        """Call back after kinds were added or removed."""
        ...


@dataclass(frozen=True)
class ControllerOptions:
    """Settings of the controllers, with kube-controller-manager's defaults. Times are seconds."""

    cluster_cidr: str = "10.42.0.0/16"
    service_cidr: str = "10.43.0.0/16"
    node_cidr_mask_size: int = 24
    node_monitor_grace_seconds: float = 50.0
    node_startup_grace_seconds: float = 60.0
    terminated_pods_kept: int = 12500
    root_ca_pem: str = ""
    signing: Any = None
    secret_tokens: Any = None
    cloud: CloudProvider | None = None
    growth: GrowthPlanner | None = None
    remove_volume: Callable[[str, str], Awaitable[None]] | None = None
    """Deletes the data of a local volume: (node, handle). Raises ApiError while the node is away."""

    scale_down_unneeded_seconds: float = 600.0
    workers: int = 5
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ControllerContext:
    """client_for takes the name of the service account in kube-system that Kubernetes' policy knows, such as
    `deployment-controller` or `generic-garbage-collector`.
    """

    client_for: Callable[[str], Client]
    informers: InformerSet
    options: ControllerOptions
    kinds: KindSource
    queues: QueueTable = field(default_factory=QueueTable)


# The built-in kinds that several controllers watch or write.
PODS = GVR("", "v1", "pods")
NODES = GVR("", "v1", "nodes")
SERVICES = GVR("", "v1", "services")
ENDPOINTS = GVR("", "v1", "endpoints")
NAMESPACES = GVR("", "v1", "namespaces")
SECRETS = GVR("", "v1", "secrets")
CONFIG_MAPS = GVR("", "v1", "configmaps")
SERVICE_ACCOUNTS = GVR("", "v1", "serviceaccounts")
REPLICATION_CONTROLLERS = GVR("", "v1", "replicationcontrollers")
RESOURCE_QUOTAS = GVR("", "v1", "resourcequotas")
PERSISTENT_VOLUMES = GVR("", "v1", "persistentvolumes")
PERSISTENT_VOLUME_CLAIMS = GVR("", "v1", "persistentvolumeclaims")
DEPLOYMENTS = GVR("apps", "v1", "deployments")
REPLICA_SETS = GVR("apps", "v1", "replicasets")
STATEFUL_SETS = GVR("apps", "v1", "statefulsets")
DAEMON_SETS = GVR("apps", "v1", "daemonsets")
CONTROLLER_REVISIONS = GVR("apps", "v1", "controllerrevisions")
JOBS = GVR("batch", "v1", "jobs")
CRON_JOBS = GVR("batch", "v1", "cronjobs")
ENDPOINT_SLICES = GVR("discovery.k8s.io", "v1", "endpointslices")
AUTOSCALERS = GVR("autoscaling", "v2", "horizontalpodautoscalers")
LEASES = GVR("coordination.k8s.io", "v1", "leases")
DISRUPTION_BUDGETS = GVR("policy", "v1", "poddisruptionbudgets")
CLUSTER_ROLES = GVR("rbac.authorization.k8s.io", "v1", "clusterroles")
STORAGE_CLASSES = GVR("storage.k8s.io", "v1", "storageclasses")
STORAGE_VERSION_MIGRATIONS = GVR("storagemigration.k8s.io", "v1", "storageversionmigrations")
VOLUME_ATTRIBUTES_CLASSES = GVR("storage.k8s.io", "v1", "volumeattributesclasses")
VOLUME_ATTACHMENTS = GVR("storage.k8s.io", "v1", "volumeattachments")
PRIORITY_CLASSES = GVR("scheduling.k8s.io", "v1", "priorityclasses")
RESOURCE_CLAIMS = GVR("resource.k8s.io", "v1", "resourceclaims")
RESOURCE_CLAIM_TEMPLATES = GVR("resource.k8s.io", "v1", "resourceclaimtemplates")
SERVICE_CIDRS = GVR("networking.k8s.io", "v1", "servicecidrs")
IP_ADDRESSES = GVR("networking.k8s.io", "v1", "ipaddresses")
