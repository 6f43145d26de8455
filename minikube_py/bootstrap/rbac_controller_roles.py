"""Kubernetes' default roles of the controllers, and the namespaced default roles, as data.

Source: the v1.37 default policy (see rbac_roles.py). Each role `system:controller:<x>` is bound to the service account
`<x>` in kube-system.
"""

from minikube_py.bootstrap.rbac_roles import (
    AUTHORIZATION,
    CERTIFICATES,
    COORDINATION,
    DISCOVERY,
    EVENTS_RULE,
    NETWORKING,
    RBAC,
    READ,
    RESOURCE,
    STORAGE,
    DefaultBinding,
    rule,
)
from minikube_py.resources.rbac_rules import PolicyRule

_LEGACY_APPS = "apps extensions"
_SIGNERS = "legacy-unknown kube-apiserver-client kube-apiserver-client-kubelet kubelet-serving"

CONTROLLER_ROLES: dict[str, list[PolicyRule]] = {
    "attachdetach-controller": [
        rule("list watch", "core", "persistentvolumes persistentvolumeclaims"),
        rule(READ, "core", "nodes"),
        rule("patch update", "core", "nodes/status"),
        rule("list watch", "core", "pods"),
        EVENTS_RULE,
        rule(f"{READ} create delete", STORAGE, "volumeattachments"),
        rule(READ, STORAGE, "csidrivers"),
        rule(READ, STORAGE, "csinodes"),
    ],
    "clusterrole-aggregation-controller": [rule(f"escalate {READ} update patch", RBAC, "clusterroles")],
    "cronjob-controller": [
        rule(f"{READ} update", "batch", "cronjobs"),
        rule(f"{READ} create update delete patch", "batch", "jobs"),
        rule("update", "batch", "cronjobs/status"),
        rule("update", "batch", "cronjobs/finalizers"),
        rule("list watch delete", "core", "pods"),
        EVENTS_RULE,
    ],
    "daemon-set-controller": [
        rule(READ, _LEGACY_APPS, "daemonsets"),
        rule("update", _LEGACY_APPS, "daemonsets/status"),
        rule("update", _LEGACY_APPS, "daemonsets/finalizers"),
        rule("list watch", "core", "nodes"),
        rule("list watch create delete patch", "core", "pods"),
        rule("create", "core", "pods/binding"),
        rule(f"{READ} create delete update patch", "apps", "controllerrevisions"),
        EVENTS_RULE,
    ],
    "deployment-controller": [
        rule(f"{READ} update", _LEGACY_APPS, "deployments"),
        rule("update", _LEGACY_APPS, "deployments/status"),
        rule("update", _LEGACY_APPS, "deployments/finalizers"),
        rule(f"{READ} create update patch delete", _LEGACY_APPS, "replicasets"),
        rule(f"{READ} update", "core", "pods"),
        EVENTS_RULE,
    ],
    "disruption-controller": [
        rule(READ, _LEGACY_APPS, "deployments"),
        rule(READ, _LEGACY_APPS, "replicasets"),
        rule(READ, "core", "replicationcontrollers"),
        rule(READ, "policy", "poddisruptionbudgets"),
        rule(READ, "apps", "statefulsets"),
        rule("update", "policy", "poddisruptionbudgets/status"),
        rule("patch update", "core", "pods/status"),
        rule("get", "*", "*/scale"),
        EVENTS_RULE,
    ],
    "endpoint-controller": [
        rule(READ, "core", "services pods"),
        rule(f"{READ} create update delete", "core", "endpoints"),
        rule("create", "core", "endpoints/restricted"),
        EVENTS_RULE,
    ],
    "endpointslice-controller": [
        rule(READ, "core", "services pods nodes"),
        rule("update", "core", "services/finalizers"),
        rule(f"{READ} create update delete", DISCOVERY, "endpointslices"),
        EVENTS_RULE,
    ],
    "endpointslicemirroring-controller": [
        rule(READ, "core", "services endpoints"),
        rule("update", "core", "services/finalizers"),
        rule("update", "core", "endpoints/finalizers"),
        rule(f"{READ} create update delete", DISCOVERY, "endpointslices"),
        EVENTS_RULE,
    ],
    "expand-controller": [
        rule(f"{READ} update patch", "core", "persistentvolumes"),
        rule("update patch", "core", "persistentvolumeclaims/status"),
        rule(READ, "core", "persistentvolumeclaims"),
        EVENTS_RULE,
    ],
    "ephemeral-volume-controller": [
        rule(READ, "core", "pods"),
        rule("update", "core", "pods/finalizers"),
        rule(f"{READ} create", "core", "persistentvolumeclaims"),
        EVENTS_RULE,
    ],
    "resource-claim-controller": [
        rule(READ, "core", "pods"),
        rule("update", "core", "pods/finalizers"),
        rule(f"{READ} create delete", RESOURCE, "resourceclaims"),
        rule("update patch", RESOURCE, "resourceclaims resourceclaims/status"),
        rule("update patch", "core", "pods/status"),
        EVENTS_RULE,
    ],
    "device-taint-eviction-controller": [
        rule(f"{READ} delete", "core", "pods"),
        rule("update patch", "core", "pods/status"),
        rule(READ, RESOURCE, "resourceclaims"),
        rule(READ, RESOURCE, "resourceslices"),
        rule(READ, RESOURCE, "deviceclasses"),
        rule(READ, RESOURCE, "devicetaintrules"),
        EVENTS_RULE,
    ],
    "generic-garbage-collector": [rule(f"{READ} patch update delete", "*", "*"), EVENTS_RULE],
    "horizontal-pod-autoscaler": [
        rule(READ, "autoscaling", "horizontalpodautoscalers"),
        rule("update", "autoscaling", "horizontalpodautoscalers/status"),
        rule("get update", "*", "*/scale"),
        rule("list watch", "core", "pods"),
        rule("list watch", "metrics.k8s.io", "pods"),
        rule(READ, "custom.metrics.k8s.io", "*"),
        rule(READ, "external.metrics.k8s.io", "*"),
        EVENTS_RULE,
    ],
    "job-controller": [
        rule(f"{READ} update patch", "batch", "jobs"),
        rule("update", "batch", "jobs/status"),
        rule("update", "batch", "jobs/finalizers"),
        rule("list watch create delete patch", "core", "pods"),
        EVENTS_RULE,
    ],
    "namespace-controller": [
        rule(f"{READ} delete", "core", "namespaces"),
        rule("update", "core", "namespaces/finalize namespaces/status"),
        rule(f"{READ} delete deletecollection", "*", "*"),
    ],
    "node-controller": [
        rule(f"{READ} update delete patch", "core", "nodes"),
        rule("patch update", "core", "nodes/status"),
        rule("patch update", "core", "pods/status"),
        rule(f"{READ} delete", "core", "pods"),
        EVENTS_RULE,
    ],
    "persistent-volume-binder": [
        rule(f"{READ} update create delete", "core", "persistentvolumes"),
        rule("update", "core", "persistentvolumes/status"),
        rule(f"{READ} update", "core", "persistentvolumeclaims"),
        rule("update", "core", "persistentvolumeclaims/status"),
        rule(f"{READ} create delete", "core", "pods"),
        rule(READ, STORAGE, "storageclasses"),
        rule("list watch", "core", "nodes"),
        EVENTS_RULE,
        rule("watch", "core", "events"),
    ],
    "pod-garbage-collector": [
        rule("list watch delete", "core", "pods"),
        rule(READ, "core", "nodes"),
        rule("patch", "core", "pods/status"),
    ],
    "replicaset-controller": [
        rule(f"{READ} update", _LEGACY_APPS, "replicasets"),
        rule("update", _LEGACY_APPS, "replicasets/status"),
        rule("update", _LEGACY_APPS, "replicasets/finalizers"),
        rule("list watch patch create delete", "core", "pods"),
        EVENTS_RULE,
    ],
    "replication-controller": [
        rule(f"{READ} update", "core", "replicationcontrollers"),
        rule("update", "core", "replicationcontrollers/status"),
        rule("update", "core", "replicationcontrollers/finalizers"),
        rule("list watch patch create delete", "core", "pods"),
        EVENTS_RULE,
    ],
    "resourcequota-controller": [
        rule("list watch", "*", "*"),
        rule("update", "core", "resourcequotas/status"),
        EVENTS_RULE,
    ],
    "route-controller": [
        rule("list watch", "core", "nodes"),
        rule("patch", "core", "nodes/status"),
        EVENTS_RULE,
    ],
    "service-account-controller": [rule("create", "core", "serviceaccounts"), EVENTS_RULE],
    "service-controller": [
        rule(READ, "core", "services"),
        rule("patch update", "core", "services/status"),
        rule("list watch", "core", "nodes"),
        EVENTS_RULE,
    ],
    "service-cidrs-controller": [
        rule(f"{READ} patch update", NETWORKING, "servicecidrs"),
        rule("patch update", NETWORKING, "servicecidrs/finalizers"),
        rule("patch update", NETWORKING, "servicecidrs/status"),
        rule(READ, NETWORKING, "ipaddresses"),
        EVENTS_RULE,
    ],
    "statefulset-controller": [
        rule("list watch", "core", "pods"),
        rule(READ, "apps", "statefulsets"),
        rule("update", "apps", "statefulsets/status"),
        rule("update", "apps", "statefulsets/finalizers"),
        rule("get create delete update patch", "core", "pods"),
        rule(f"{READ} create delete update patch", "apps", "controllerrevisions"),
        rule(f"{READ} create", "core", "persistentvolumeclaims"),
        rule("update delete", "core", "persistentvolumeclaims"),
        rule("update", "core", "pods/finalizers"),
        EVENTS_RULE,
    ],
    "ttl-controller": [rule("update patch list watch", "core", "nodes"), EVENTS_RULE],
    "certificate-controller": [
        rule(f"{READ} delete", CERTIFICATES, "certificatesigningrequests"),
        rule("update", CERTIFICATES, "certificatesigningrequests/status certificatesigningrequests/approval"),
        rule("approve", CERTIFICATES, "signers", "kubernetes.io/kube-apiserver-client-kubelet"),
        rule("sign", CERTIFICATES, "signers", " ".join(f"kubernetes.io/{s}" for s in _SIGNERS.split())),
        rule("create", AUTHORIZATION, "subjectaccessreviews"),
        EVENTS_RULE,
    ],
    "podcertificaterequestcleaner": [rule(f"{READ} delete", CERTIFICATES, "podcertificaterequests")],
    "pvc-protection-controller": [
        rule(f"{READ} update", "core", "persistentvolumeclaims"),
        rule(READ, "core", "pods"),
        EVENTS_RULE,
    ],
    "pv-protection-controller": [rule(f"{READ} update", "core", "persistentvolumes"), EVENTS_RULE],
    "volumeattributesclass-protection-controller": [
        rule(READ, "core", "persistentvolumeclaims"),
        rule(READ, "core", "persistentvolumes"),
        rule(f"{READ} update", STORAGE, "volumeattributesclasses"),
        EVENTS_RULE,
    ],
    "ttl-after-finished-controller": [rule(f"{READ} delete", "batch", "jobs"), EVENTS_RULE],
    "root-ca-cert-publisher": [rule("create update", "core", "configmaps"), EVENTS_RULE],
    "kube-apiserver-serving-clustertrustbundle-publisher": [
        rule("attest", CERTIFICATES, "signers", "kubernetes.io/kube-apiserver-serving"),
        rule("create update delete list watch", CERTIFICATES, "clustertrustbundles"),
        EVENTS_RULE,
    ],
    "validatingadmissionpolicy-status-controller": [
        rule(READ, "admissionregistration.k8s.io", "validatingadmissionpolicies"),
        rule("get patch update", "admissionregistration.k8s.io", "validatingadmissionpolicies/status"),
        EVENTS_RULE,
    ],
    "legacy-service-account-token-cleaner": [
        rule("get", "core", "configmaps", "kube-apiserver-legacy-service-account-token-tracking"),
        rule("patch delete", "core", "secrets"),
    ],
    "storage-version-migrator-controller": [
        rule("list watch create patch", "*", "*"),
        rule("update", "storagemigration.k8s.io", "storageversionmigrations/status"),
    ],
    "selinux-warning-controller": [
        EVENTS_RULE,
        rule(READ, "core", "persistentvolumes"),
        rule(READ, "core", "persistentvolumeclaims"),
        rule(READ, "core", "pods"),
        rule(READ, STORAGE, "csidrivers"),
    ],
}

_CONTROLLER = "system:controller:"

NAMESPACE_ROLES: dict[tuple[str, str], list[PolicyRule]] = {
    ("kube-system", "extension-apiserver-authentication-reader"): [
        rule(READ, "core", "configmaps", "extension-apiserver-authentication")
    ],
    ("kube-system", f"{_CONTROLLER}bootstrap-signer"): [rule(READ, "core", "secrets")],
    ("kube-system", f"{_CONTROLLER}cloud-provider"): [rule(f"create {READ}", "core", "configmaps")],
    ("kube-system", f"{_CONTROLLER}token-cleaner"): [rule(f"{READ} delete", "core", "secrets"), EVENTS_RULE],
    ("kube-system", "system::leader-locking-kube-controller-manager"): [
        rule("watch", "core", "configmaps"),
        rule("get update", "core", "configmaps", "kube-controller-manager"),
        rule(f"{READ} create update", COORDINATION, "leases"),
    ],
    ("kube-system", "system::leader-locking-kube-scheduler"): [
        rule("watch", "core", "configmaps"),
        rule("get update", "core", "configmaps", "kube-scheduler"),
    ],
    ("kube-public", f"{_CONTROLLER}bootstrap-signer"): [
        rule(READ, "core", "configmaps"),
        rule("update", "core", "configmaps", "cluster-info"),
        EVENTS_RULE,
    ],
}

# The role each binding gives is in the binding's own namespace.
NAMESPACE_ROLE_BINDINGS: dict[tuple[str, str], DefaultBinding] = {
    ("kube-system", "system::extension-apiserver-authentication-reader"): DefaultBinding(
        "extension-apiserver-authentication-reader",
        users=("system:kube-controller-manager", "system:kube-scheduler"),
    ),
    ("kube-system", "system::leader-locking-kube-controller-manager"): DefaultBinding(
        "system::leader-locking-kube-controller-manager",
        users=("system:kube-controller-manager",),
        service_accounts=("kube-controller-manager", "leader-election-controller"),
    ),
    ("kube-system", "system::leader-locking-kube-scheduler"): DefaultBinding(
        "system::leader-locking-kube-scheduler",
        users=("system:kube-scheduler",),
        service_accounts=("kube-scheduler",),
    ),
    ("kube-system", f"{_CONTROLLER}bootstrap-signer"): DefaultBinding(
        f"{_CONTROLLER}bootstrap-signer", service_accounts=("bootstrap-signer",)
    ),
    ("kube-system", f"{_CONTROLLER}cloud-provider"): DefaultBinding(
        f"{_CONTROLLER}cloud-provider", service_accounts=("cloud-provider",)
    ),
    ("kube-system", f"{_CONTROLLER}token-cleaner"): DefaultBinding(
        f"{_CONTROLLER}token-cleaner", service_accounts=("token-cleaner",)
    ),
    ("kube-public", f"{_CONTROLLER}bootstrap-signer"): DefaultBinding(
        f"{_CONTROLLER}bootstrap-signer", service_accounts=("bootstrap-signer",)
    ),
}


def controller_identity(account: str) -> tuple[str, tuple[str, ...]]:
    """(user name, groups) of a service account in kube-system, for in-process controllers."""
    groups = ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated")
    return f"system:serviceaccount:kube-system:{account}", groups
