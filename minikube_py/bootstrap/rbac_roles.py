"""Kubernetes' default cluster roles for users and components, as data.

Source: the v1.37 default policy, listed on the RBAC reference page ("Default roles and role bindings") and visible on
any cluster with `kubectl get clusterroles -l kubernetes.io/bootstrapping=rbac-defaults`.
"""

from dataclasses import dataclass, field

from minikube_py.resources.rbac_rules import PolicyRule

READ = "get list watch"
WRITE = "create delete deletecollection patch update"
READ_WRITE = f"{READ} {WRITE}"

AUTHENTICATION = "authentication.k8s.io"
AUTHORIZATION = "authorization.k8s.io"
CERTIFICATES = "certificates.k8s.io"
COORDINATION = "coordination.k8s.io"
DISCOVERY = "discovery.k8s.io"
EVENTS = "events.k8s.io"
METRICS = "metrics.k8s.io"
NETWORKING = "networking.k8s.io"
NODE = "node.k8s.io"
RBAC = "rbac.authorization.k8s.io"
RESOURCE = "resource.k8s.io"
STORAGE = "storage.k8s.io"


def rule(verbs: str, groups: str, resources: str, names: str = "") -> PolicyRule:
    """A rule from words. groups are separated by spaces, `core` standing for the core group."""
    made: PolicyRule = {"apiGroups": sorted("" if g == "core" else g for g in groups.split())}
    if names:
        made["resourceNames"] = sorted(names.split())
    return made | {"resources": sorted(resources.split()), "verbs": sorted(verbs.split())}


def urls(verbs: str, paths: str) -> PolicyRule:
    return {"nonResourceURLs": sorted(paths.split()), "verbs": sorted(verbs.split())}


EVENTS_RULE = rule("create update patch", f"core {EVENTS}", "events")


@dataclass(frozen=True)
class DefaultRole:
    """A cluster role. aggregates and joins name the aggregation ('admin', 'edit', 'view') it is made of or part of."""

    rules: list[PolicyRule] = field(default_factory=list)
    aggregates: str = ""
    joins: str = ""


_REVIEWS = [
    rule("create", AUTHENTICATION, "tokenreviews"),
    rule("create", AUTHORIZATION, "subjectaccessreviews"),
]
_PROBES = "/livez /readyz /healthz /version /version/"
_SCALABLE = "deployments deployments/scale replicasets replicasets/scale"

CLUSTER_ROLES: dict[str, DefaultRole] = {
    "cluster-admin": DefaultRole([rule("*", "*", "*"), urls("*", "*")]),
    "system:discovery": DefaultRole([urls("get", f"{_PROBES} /openapi /openapi/* /api /api/* /apis /apis/*")]),
    "system:monitoring": DefaultRole(
        [
            urls("get", "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*"),
            urls("get", "/flagz"),
            urls("get", "/statusz"),
        ]
    ),
    "system:basic-user": DefaultRole(
        [
            rule("create", AUTHORIZATION, "selfsubjectaccessreviews selfsubjectrulesreviews"),
            rule("create", AUTHENTICATION, "selfsubjectreviews"),
        ]
    ),
    "system:public-info-viewer": DefaultRole([urls("get", _PROBES)]),
    "admin": DefaultRole(aggregates="admin"),
    "edit": DefaultRole(aggregates="edit", joins="admin"),
    "view": DefaultRole(aggregates="view", joins="edit"),
    "system:aggregate-to-admin": DefaultRole(
        [
            rule("create", AUTHORIZATION, "localsubjectaccessreviews"),
            rule(READ_WRITE, RBAC, "roles rolebindings"),
        ],
        joins="admin",
    ),
    "system:aggregate-to-edit": DefaultRole(
        [
            rule(READ, "core", "pods/attach pods/proxy pods/exec pods/portforward secrets services/proxy"),
            rule("impersonate", "core", "serviceaccounts"),
            rule(WRITE, "core", "pods pods/attach pods/proxy pods/exec pods/portforward"),
            rule("create", "core", "pods/eviction"),
            rule(
                WRITE,
                "core",
                "replicationcontrollers replicationcontrollers/scale serviceaccounts services services/proxy "
                "persistentvolumeclaims configmaps secrets events",
            ),
            rule("create", "core", "serviceaccounts/token"),
            rule(
                WRITE,
                "apps",
                f"statefulsets statefulsets/scale daemonsets deployments/rollback {_SCALABLE}",
            ),
            rule(WRITE, "autoscaling", "horizontalpodautoscalers"),
            rule(WRITE, "batch", "jobs cronjobs"),
            rule(
                WRITE,
                "extensions",
                f"daemonsets deployments/rollback ingresses replicationcontrollers/scale networkpolicies {_SCALABLE}",
            ),
            rule(WRITE, "policy", "poddisruptionbudgets"),
            rule(WRITE, NETWORKING, "networkpolicies ingresses"),
            rule(READ_WRITE, COORDINATION, "leases"),
            rule(WRITE, RESOURCE, "resourceclaims resourceclaimtemplates"),
        ],
        joins="edit",
    ),
    "system:aggregate-to-view": DefaultRole(
        [
            rule(
                READ,
                "core",
                "pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status "
                "endpoints persistentvolumeclaims persistentvolumeclaims/status configmaps",
            ),
            rule(
                READ,
                "core",
                "limitranges resourcequotas bindings events pods/status resourcequotas/status namespaces/status "
                "replicationcontrollers/status pods/log",
            ),
            rule(READ, "core", "namespaces"),
            rule(READ, DISCOVERY, "endpointslices"),
            rule(
                READ,
                "apps",
                "controllerrevisions statefulsets statefulsets/status statefulsets/scale daemonsets "
                f"daemonsets/status deployments/status replicasets/status {_SCALABLE}",
            ),
            rule(READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
            rule(READ, "batch", "jobs cronjobs cronjobs/status jobs/status"),
            rule(
                READ,
                "extensions",
                "daemonsets daemonsets/status deployments/status ingresses ingresses/status replicasets/status "
                f"replicationcontrollers/scale networkpolicies {_SCALABLE}",
            ),
            rule(READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
            rule(READ, NETWORKING, "networkpolicies ingresses ingresses/status"),
            rule(READ, RESOURCE, "resourceclaims resourceclaims/status resourceclaimtemplates"),
        ],
        joins="view",
    ),
    # metrics-server brings this role along; here the metrics API is built in.
    "system:aggregated-metrics-reader": DefaultRole([rule(READ, METRICS, "pods nodes")], joins="view"),
    "system:heapster": DefaultRole(
        [rule(READ, "core", "events pods nodes namespaces"), rule(READ, "extensions", "deployments")]
    ),
    "system:node": DefaultRole(
        [
            rule("create", AUTHENTICATION, "tokenreviews"),
            rule("create", AUTHORIZATION, "subjectaccessreviews localsubjectaccessreviews"),
            rule(READ, "core", "services"),
            rule(f"create {READ}", "core", "nodes"),
            rule("update patch", "core", "nodes/status"),
            rule("update patch", "core", "nodes"),
            rule("create update patch", "core", "events"),
            rule(READ, "core", "pods"),
            rule("create delete", "core", "pods"),
            rule("update patch", "core", "pods/status"),
            rule("create", "core", "pods/eviction"),
            rule(READ, "core", "secrets configmaps"),
            rule("get", "core", "persistentvolumeclaims persistentvolumes"),
            rule("get", "core", "endpoints"),
            rule(f"create {READ}", CERTIFICATES, "certificatesigningrequests"),
            rule("get create update patch delete", COORDINATION, "leases"),
            rule("get", STORAGE, "volumeattachments"),
            rule("create", "core", "serviceaccounts/token"),
            rule("get update patch", "core", "persistentvolumeclaims/status"),
            rule(READ, STORAGE, "csidrivers"),
            rule("get create update patch delete", STORAGE, "csinodes"),
            rule(READ, NODE, "runtimeclasses"),
            rule("get", RESOURCE, "resourceclaims"),
            rule("deletecollection", RESOURCE, "resourceslices"),
            rule(READ, CERTIFICATES, "clustertrustbundles"),
            rule(f"create {READ}", CERTIFICATES, "podcertificaterequests"),
            rule("get", "core", "serviceaccounts"),
        ]
    ),
    "system:node-problem-detector": DefaultRole(
        [rule("get", "core", "nodes"), rule("patch", "core", "nodes/status"), EVENTS_RULE]
    ),
    "system:kubelet-api-admin": DefaultRole(
        [
            rule(READ, "core", "nodes"),
            rule("proxy", "core", "nodes"),
            rule("*", "core", "nodes/proxy nodes/metrics nodes/stats nodes/log"),
            rule("*", "core", "nodes/configz nodes/healthz nodes/pods"),
        ]
    ),
    "system:node-bootstrapper": DefaultRole([rule(f"create {READ}", CERTIFICATES, "certificatesigningrequests")]),
    "system:auth-delegator": DefaultRole(list(_REVIEWS)),
    "system:kube-aggregator": DefaultRole([rule(READ, "core", "services endpoints")]),
    "system:kube-controller-manager": DefaultRole(
        [
            EVENTS_RULE,
            rule("create", COORDINATION, "leases"),
            rule("get update", COORDINATION, "leases", "kube-controller-manager"),
            rule("create", "core", "secrets serviceaccounts"),
            rule("delete", "core", "secrets"),
            rule("get", "core", "namespaces secrets serviceaccounts configmaps"),
            rule("update", "core", "secrets serviceaccounts"),
            *_REVIEWS,
            rule("list watch", "*", "*"),
            rule("create", "core", "serviceaccounts/token"),
        ]
    ),
    "system:kube-dns": DefaultRole([rule("list watch", "core", "endpoints services")]),
    "system:persistent-volume-provisioner": DefaultRole(
        [
            rule(f"create delete {READ}", "core", "persistentvolumes"),
            rule(f"update {READ}", "core", "persistentvolumeclaims"),
            rule(READ, STORAGE, "storageclasses"),
            rule("watch", "core", "events"),
            EVENTS_RULE,
        ]
    ),
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": DefaultRole(
        [rule("create", CERTIFICATES, "certificatesigningrequests/nodeclient")]
    ),
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": DefaultRole(
        [rule("create", CERTIFICATES, "certificatesigningrequests/selfnodeclient")]
    ),
    "system:volume-scheduler": DefaultRole(
        [
            rule(f"{READ} update patch", "core", "persistentvolumes"),
            rule(READ, STORAGE, "storageclasses"),
            rule(f"{READ} update patch", "core", "persistentvolumeclaims"),
        ]
    ),
    **{
        f"system:certificates.k8s.io:{signer}-approver": DefaultRole(
            [rule("approve", CERTIFICATES, "signers", f"kubernetes.io/{signer}")]
        )
        for signer in ("legacy-unknown", "kubelet-serving", "kube-apiserver-client", "kube-apiserver-client-kubelet")
    },
    "system:cluster-trust-bundle-discovery": DefaultRole([rule(READ, CERTIFICATES, "clustertrustbundles")]),
    "system:service-account-issuer-discovery": DefaultRole(
        [
            urls(
                "get",
                "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/",
            )
        ]
    ),
    "system:node-proxier": DefaultRole(
        [
            rule("list watch", "core", "services endpoints"),
            rule(READ, "core", "nodes"),
            EVENTS_RULE,
            rule("list watch", NETWORKING, "servicecidrs"),
            rule("list watch", DISCOVERY, "endpointslices"),
        ]
    ),
    "system:kube-scheduler": DefaultRole(
        [
            EVENTS_RULE,
            rule("create", COORDINATION, "leases"),
            rule(f"{READ} update", COORDINATION, "leases", "kube-scheduler"),
            rule(READ_WRITE, COORDINATION, "leasecandidates"),
            rule(READ, "core", "nodes"),
            rule(f"{READ} delete", "core", "pods"),
            rule("create", "core", "pods/binding bindings"),
            rule("patch update", "core", "pods/status"),
            rule(READ, "core", "services replicationcontrollers"),
            rule(READ, "apps extensions", "replicasets"),
            rule(READ, "apps", "statefulsets"),
            rule(READ, "policy", "poddisruptionbudgets"),
            rule(READ, "core", "persistentvolumeclaims persistentvolumes"),
            *_REVIEWS,
            rule(READ, STORAGE, "csinodes"),
            rule(READ, STORAGE, "volumeattachments"),
            rule(READ, "core", "namespaces"),
            rule(READ, STORAGE, "csidrivers"),
            rule(READ, STORAGE, "csistoragecapacities"),
            rule(READ, RESOURCE, "deviceclasses"),
            rule(f"{READ} update patch", RESOURCE, "resourceclaims"),
            rule(f"{READ} update patch", RESOURCE, "resourceclaims/status"),
            rule(f"{READ} update patch", "core", "pods/finalizers"),
            rule(READ, RESOURCE, "resourceslices"),
            rule(READ, RESOURCE, "devicetaintrules"),
        ]
    ),
    # mkube's own: what the DNS server and the proxy of a joined node need beside what Kubernetes gives a node.
    "system:coredns": DefaultRole(
        [
            rule("list watch", "core", "endpoints services pods namespaces"),
            rule("list watch", DISCOVERY, "endpointslices"),
            rule("get", "core", "nodes"),
        ]
    ),
    # Kubernetes runs this one controller as the whole controller manager.
    "mkube:service-account-token-controller": DefaultRole(
        [rule("get update delete", "core", "secrets"), rule("get", "core", "serviceaccounts")]
    ),
    "mkube:node-network": DefaultRole(
        [
            rule(READ, "core", "services endpoints namespaces"),
            rule(READ, DISCOVERY, "endpointslices"),
            urls("get", "/mkube/v1/cluster /mkube/v1/tunnel"),
        ]
    ),
}


@dataclass(frozen=True)
class DefaultBinding:
    """Who gets a cluster role. service_accounts are names in kube-system."""

    role: str
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    service_accounts: tuple[str, ...] = ()


_JOINING = "system:bootstrappers:kubeadm:default-node-token"
_NODE_CLIENT = "system:certificates.k8s.io:certificatesigningrequests:nodeclient"
_SELF_NODE_CLIENT = "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient"

CLUSTER_ROLE_BINDINGS: dict[str, DefaultBinding] = {
    "cluster-admin": DefaultBinding("cluster-admin", groups=("system:masters",)),
    "system:monitoring": DefaultBinding("system:monitoring", groups=("system:monitoring",)),
    "system:discovery": DefaultBinding("system:discovery", groups=("system:authenticated",)),
    "system:basic-user": DefaultBinding("system:basic-user", groups=("system:authenticated",)),
    "system:public-info-viewer": DefaultBinding(
        "system:public-info-viewer", groups=("system:authenticated", "system:unauthenticated")
    ),
    "system:node-proxier": DefaultBinding("system:node-proxier", users=("system:kube-proxy",)),
    "system:kube-controller-manager": DefaultBinding(
        "system:kube-controller-manager", users=("system:kube-controller-manager",)
    ),
    "system:kube-dns": DefaultBinding("system:kube-dns", service_accounts=("kube-dns",)),
    "system:kube-scheduler": DefaultBinding("system:kube-scheduler", users=("system:kube-scheduler",)),
    "system:volume-scheduler": DefaultBinding("system:volume-scheduler", users=("system:kube-scheduler",)),
    "system:node": DefaultBinding("system:node"),
    "system:service-account-issuer-discovery": DefaultBinding(
        "system:service-account-issuer-discovery", groups=("system:serviceaccounts",)
    ),
    "system:cluster-trust-bundle-discovery": DefaultBinding(
        "system:cluster-trust-bundle-discovery", groups=("system:serviceaccounts",)
    ),
    # mkube's own, as kubeadm and k3s have them: machines join by token, nodes renew their certificates alone.
    "system:coredns": DefaultBinding("system:coredns", service_accounts=("coredns",)),
    "mkube:service-account-token-controller": DefaultBinding(
        "mkube:service-account-token-controller", service_accounts=("service-account-token-controller",)
    ),
    "mkube:node-network": DefaultBinding("mkube:node-network", groups=("system:nodes",)),
    "mkube:node-bootstrap": DefaultBinding("system:node-bootstrapper", groups=(_JOINING,)),
    "mkube:node-autoapprove-bootstrap": DefaultBinding(_NODE_CLIENT, groups=(_JOINING,)),
    "mkube:node-autoapprove-certificate-rotation": DefaultBinding(_SELF_NODE_CLIENT, groups=("system:nodes",)),
}
