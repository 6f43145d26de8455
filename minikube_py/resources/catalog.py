"""Lists the kinds that mkube serves: the schema table of Kubernetes v1.37 joined with the rules of each kind's file."""

from collections.abc import Mapping
from typing import Any

from minikube_py.resources import schema
from minikube_py.resources.admissionregistration import policies, webhooks
from minikube_py.resources.apiextensions import customresourcedefinition
from minikube_py.resources.apiregistration import apiservice
from minikube_py.resources.apps import controllerrevision, daemonset, deployment, replicaset, statefulset
from minikube_py.resources.authorization import reviews
from minikube_py.resources.autoscaling import horizontalpodautoscaler
from minikube_py.resources.batch import cronjob, job
from minikube_py.resources.certificates import certificatesigningrequest, clustertrustbundle, podcertificaterequest
from minikube_py.resources.coordination import lease
from minikube_py.resources.core import (
    binding,
    componentstatus,
    configmap,
    endpoints,
    event,
    limitrange,
    namespace,
    node,
    persistentvolume,
    persistentvolumeclaim,
    pod,
    podtemplate,
    replicationcontroller,
    resourcequota,
    secret,
    service,
    serviceaccount,
)
from minikube_py.resources.discovery import endpointslice
from minikube_py.resources.flowcontrol import priority
from minikube_py.resources.kind import GVK, KindRules, ResourceKind, Subresource
from minikube_py.resources.metrics import usage
from minikube_py.resources.networking import addresses, ingress, ingressclass, networkpolicy
from minikube_py.resources.node import runtimeclass
from minikube_py.resources.policy import poddisruptionbudget
from minikube_py.resources.rbac import roles
from minikube_py.resources.registry import KindRegistry
from minikube_py.resources.resource import devicetaintrule, dra
from minikube_py.resources.scheduling import priorityclass
from minikube_py.resources.storage import csi, storageclass
from minikube_py.resources.storagemigration import storageversionmigration

RULES: dict[tuple[str, str], KindRules] = {
    ("", "Binding"): binding.RULES,
    ("", "ComponentStatus"): componentstatus.RULES,
    ("", "ConfigMap"): configmap.RULES,
    ("", "Endpoints"): endpoints.RULES,
    ("", "LimitRange"): limitrange.RULES,
    ("", "Namespace"): namespace.RULES,
    ("", "Node"): node.RULES,
    ("", "PersistentVolume"): persistentvolume.RULES,
    ("", "PersistentVolumeClaim"): persistentvolumeclaim.RULES,
    ("", "Pod"): pod.RULES,
    ("", "PodTemplate"): podtemplate.RULES,
    ("", "ReplicationController"): replicationcontroller.RULES,
    ("", "ResourceQuota"): resourcequota.RULES,
    ("", "Secret"): secret.RULES,
    ("", "Service"): service.RULES,
    ("", "ServiceAccount"): serviceaccount.RULES,
    ("", "Event"): event.CORE_RULES,
    ("events.k8s.io", "Event"): event.MODERN_RULES,
    ("apps", "ControllerRevision"): controllerrevision.RULES,
    ("apps", "DaemonSet"): daemonset.RULES,
    ("apps", "Deployment"): deployment.RULES,
    ("apps", "ReplicaSet"): replicaset.RULES,
    ("apps", "StatefulSet"): statefulset.RULES,
    ("autoscaling", "HorizontalPodAutoscaler"): horizontalpodautoscaler.RULES,
    ("batch", "CronJob"): cronjob.RULES,
    ("batch", "Job"): job.RULES,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): policies.MUTATING_POLICY_RULES,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): policies.MUTATING_BINDING_RULES,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): webhooks.MUTATING_RULES,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): policies.POLICY_RULES,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): policies.BINDING_RULES,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): webhooks.VALIDATING_RULES,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): customresourcedefinition.RULES,
    ("apiregistration.k8s.io", "APIService"): apiservice.RULES,
    ("authentication.k8s.io", "TokenReview"): reviews.TOKEN_RULES,
    ("authorization.k8s.io", "LocalSubjectAccessReview"): reviews.LOCAL_ACCESS_RULES,
    ("authorization.k8s.io", "SelfSubjectAccessReview"): reviews.SELF_ACCESS_RULES,
    ("authorization.k8s.io", "SubjectAccessReview"): reviews.ACCESS_RULES,
    ("certificates.k8s.io", "CertificateSigningRequest"): certificatesigningrequest.RULES,
    ("certificates.k8s.io", "ClusterTrustBundle"): clustertrustbundle.RULES,
    ("certificates.k8s.io", "PodCertificateRequest"): podcertificaterequest.RULES,
    ("coordination.k8s.io", "Lease"): lease.RULES,
    ("coordination.k8s.io", "LeaseCandidate"): lease.CANDIDATE_RULES,
    ("discovery.k8s.io", "EndpointSlice"): endpointslice.RULES,
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): priority.SCHEMA_RULES,
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): priority.LEVEL_RULES,
    ("metrics.k8s.io", "NodeMetrics"): usage.RULES["NodeMetrics"],
    ("metrics.k8s.io", "PodMetrics"): usage.RULES["PodMetrics"],
    ("networking.k8s.io", "IPAddress"): addresses.IP_ADDRESS_RULES,
    ("networking.k8s.io", "Ingress"): ingress.RULES,
    ("networking.k8s.io", "IngressClass"): ingressclass.RULES,
    ("networking.k8s.io", "NetworkPolicy"): networkpolicy.RULES,
    ("networking.k8s.io", "ServiceCIDR"): addresses.SERVICE_CIDR_RULES,
    ("node.k8s.io", "RuntimeClass"): runtimeclass.RULES,
    ("policy", "PodDisruptionBudget"): poddisruptionbudget.RULES,
    ("rbac.authorization.k8s.io", "ClusterRole"): roles.CLUSTER_ROLE_RULES,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): roles.CLUSTER_ROLE_BINDING_RULES,
    ("rbac.authorization.k8s.io", "Role"): roles.ROLE_RULES,
    ("rbac.authorization.k8s.io", "RoleBinding"): roles.ROLE_BINDING_RULES,
    ("resource.k8s.io", "DeviceClass"): dra.CLASS_RULES,
    ("resource.k8s.io", "DeviceTaintRule"): devicetaintrule.RULES,
    ("resource.k8s.io", "ResourceClaim"): dra.CLAIM_RULES,
    ("resource.k8s.io", "ResourceClaimTemplate"): dra.TEMPLATE_RULES,
    ("resource.k8s.io", "ResourceSlice"): dra.SLICE_RULES,
    ("scheduling.k8s.io", "PriorityClass"): priorityclass.RULES,
    ("storage.k8s.io", "CSIDriver"): csi.DRIVER_RULES,
    ("storage.k8s.io", "CSINode"): csi.NODE_RULES,
    ("storage.k8s.io", "CSIStorageCapacity"): csi.CAPACITY_RULES,
    ("storage.k8s.io", "StorageClass"): storageclass.RULES,
    ("storage.k8s.io", "VolumeAttachment"): csi.ATTACHMENT_RULES,
    ("storage.k8s.io", "VolumeAttributesClass"): storageclass.ATTRIBUTES_RULES,
    ("storagemigration.k8s.io", "StorageVersionMigration"): storageversionmigration.RULES,
}
"""The rules of each kind by (group, Kind), for all its versions unless VERSION_RULES names one."""

VERSION_RULES: dict[tuple[str, str, str], KindRules] = {
    ("autoscaling", "v1", "HorizontalPodAutoscaler"): horizontalpodautoscaler.V1_RULES,
}
"""The rules of one version, by (group, version, Kind), where they differ from the other versions' rules."""

STORED_UNDER = {("events.k8s.io", "events"): "/events"}
"""Resources whose objects are those of another group's resource, by (group, plural)."""


def built_in_kinds(runtime_config: Mapping[str, bool] | None = None) -> KindRegistry:
    """The built-in kinds. Stable versions are served unless `runtime_config` says otherwise: its keys are as in
    kube-apiserver's flag: `group/version`, `group/version/resource`, api/all, api/ga, api/beta, api/alpha.
    The core group's version is `v1`."""
    config = runtime_config or {}
    return KindRegistry(_kind(entry) for entry in schema.kind_table() if _is_served(entry, config))


def _is_served(entry: Mapping[str, Any], config: Mapping[str, bool]) -> bool:
    version = entry["version"]
    group_version = f"{entry['group']}/{version}" if entry["group"] else version
    level = "alpha" if "alpha" in version else "beta" if "beta" in version else "ga"
    for key in (f"{group_version}/{entry['plural']}", group_version, f"api/{level}", "api/all"):
        if key in config:
            return config[key]
    return bool(entry["default"])


def _kind(entry: Mapping[str, Any]) -> ResourceKind:
    group, version, kind, plural = entry["group"], entry["version"], entry["kind"], entry["plural"]
    subresources = {
        name: Subresource(name, GVK(*body["kind"]), tuple(body["verbs"]))
        for name, body in entry["subresources"].items()
    }
    rules = VERSION_RULES.get((group, version, kind)) or RULES.get((group, kind)) or KindRules()
    return ResourceKind(
        group=group,
        version=version,
        kind=kind,
        plural=plural,
        singular=kind.lower(),
        namespaced=entry["namespaced"],
        verbs=tuple(entry["verbs"]),
        short_names=tuple(entry["shortNames"]),
        categories=tuple(entry["categories"]),
        subresources=subresources,
        storage=GVK(*entry["storage"]),
        storage_resource=STORED_UNDER.get((group, plural), ""),
        schema=entry["schema"],
        rules=rules,
    )
