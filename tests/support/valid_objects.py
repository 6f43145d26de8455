"""One small valid object of every built-in kind that is stored, as a client would send it."""

from typing import Any

from minikube_py.resources.kind import ResourceKind
from tests.support.certificate_request import AUTHORITY_PEM, REQUEST_PEM

CONTAINER = {"name": "main", "image": "app:1"}
TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [CONTAINER]}}
JOB = {"template": {"spec": {"containers": [CONTAINER], "restartPolicy": "Never"}}}
SELECTED = {"selector": {"matchLabels": {"app": "a"}}, "template": TEMPLATE}
RBAC = "rbac.authorization.k8s.io"
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
CRD = {
    "group": "acme.test", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
    "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}],
}  # fmt: skip
RULES = {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]}
WEBHOOK = {
    "name": "a.acme.test", "clientConfig": {"url": "https://127.0.0.1/x"}, "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}  # fmt: skip
DEVICES = {"devices": {"requests": [{"name": "one", "exactly": {"deviceClassName": "gpu"}}]}}

BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("", "Event"): {"involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}, "reason": "Made"},
    ("", "PersistentVolumeClaim"): {"spec": CLAIM},
    ("", "PersistentVolume"): {
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}}
    },
    ("", "Pod"): {"spec": {"containers": [CONTAINER]}},
    ("", "PodTemplate"): {"template": TEMPLATE},
    ("", "ReplicationController"): {"spec": {"selector": {"app": "a"}, "template": TEMPLATE}},
    ("", "Service"): {"spec": {"ports": [{"port": 80}], "selector": {"app": "a"}}},
    ("apiregistration.k8s.io", "APIService"): {
        "metadata": {"name": "v1.acme.test"},
        "spec": {
            "group": "acme.test", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10,
            "service": {"name": "s", "namespace": "default"}, "insecureSkipTLSVerify": True,
        },
    },
    ("apps", "ControllerRevision"): {"revision": 1, "data": {"a": 1}},
    ("apps", "DaemonSet"): {"spec": SELECTED},
    ("apps", "Deployment"): {"spec": SELECTED},
    ("apps", "ReplicaSet"): {"spec": SELECTED},
    ("apps", "StatefulSet"): {"spec": {**SELECTED, "serviceName": "s"}},
    ("events.k8s.io", "Event"): {
        "eventTime": "2024-01-01T00:00:00.000000Z", "reportingController": "acme.test/c", "reportingInstance": "i",
        "action": "Made", "reason": "Made", "type": "Normal", "regarding": {"kind": "Pod", "namespace": "default"},
    },
    ("autoscaling", "HorizontalPodAutoscaler"): {
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}}
    },
    ("batch", "CronJob"): {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": JOB}}},
    ("batch", "Job"): {"spec": JOB},
    ("certificates.k8s.io", "CertificateSigningRequest"): {
        "spec": {"request": REQUEST_PEM, "signerName": "acme.test/signer", "usages": ["client auth"]}
    },
    ("certificates.k8s.io", "ClusterTrustBundle"): {"spec": {"trustBundle": AUTHORITY_PEM}},
    ("coordination.k8s.io", "Lease"): {"spec": {"holderIdentity": "me"}},
    ("networking.k8s.io", "Ingress"): {
        "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}
    },
    ("networking.k8s.io", "IngressClass"): {"spec": {"controller": "acme.test/c"}},
    ("networking.k8s.io", "IPAddress"): {
        "metadata": {"name": "10.9.8.7"}, "spec": {"parentRef": {"resource": "services", "name": "s"}}
    },
    ("networking.k8s.io", "NetworkPolicy"): {"spec": {"podSelector": {}}},
    ("networking.k8s.io", "ServiceCIDR"): {"spec": {"cidrs": ["10.99.0.0/24"]}},
    ("policy", "PodDisruptionBudget"): {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}},
    (RBAC, "ClusterRoleBinding"): {"roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "view"}},
    (RBAC, "RoleBinding"): {"roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "view"}},
    ("storage.k8s.io", "CSIDriver"): {"spec": {}},
    ("storage.k8s.io", "CSINode"): {"spec": {"drivers": []}},
    ("storage.k8s.io", "CSIStorageCapacity"): {"storageClassName": "standard"},
    ("storage.k8s.io", "StorageClass"): {"provisioner": "acme.test/p"},
    ("storage.k8s.io", "VolumeAttachment"): {
        "spec": {"attacher": "acme.test", "nodeName": "n", "source": {"persistentVolumeName": "v"}}
    },
    ("storage.k8s.io", "VolumeAttributesClass"): {"driverName": "acme.test", "parameters": {"a": "b"}},
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): {
        "spec": {
            "matchConstraints": RULES, "reinvocationPolicy": "Never", "failurePolicy": "Fail",
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}}],
        }
    },
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): {"spec": {"policyName": "p"}},
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): {"webhooks": [WEBHOOK]},
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): {
        "spec": {"matchConstraints": RULES, "validations": [{"expression": "true"}]}
    },
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): {
        "spec": {"policyName": "p", "validationActions": ["Deny"]}
    },
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): {"webhooks": [WEBHOOK]},
    ("apiextensions.k8s.io", "CustomResourceDefinition"): {"metadata": {"name": "things.acme.test"}, "spec": CRD},
    ("scheduling.k8s.io", "PriorityClass"): {"value": 5},
    ("node.k8s.io", "RuntimeClass"): {"handler": "runc"},
    ("discovery.k8s.io", "EndpointSlice"): {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}]},
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): {
        "spec": {"priorityLevelConfiguration": {"name": "exempt"}, "matchingPrecedence": 10}
    },
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): {
        "spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}
    },
    ("resource.k8s.io", "DeviceClass"): {"spec": {}},
    ("resource.k8s.io", "DeviceTaintRule"): {
        "spec": {"taint": {"key": "a", "effect": "NoSchedule"}, "deviceSelector": {"driver": "acme.test"}}
    },
    ("resource.k8s.io", "ResourceClaim"): {"spec": DEVICES},
    ("resource.k8s.io", "ResourceClaimTemplate"): {"spec": {"spec": DEVICES}},
    ("resource.k8s.io", "ResourceSlice"): {
        "spec": {
            "driver": "acme.test", "nodeName": "n", "devices": [],
            "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
        }
    },
    ("storagemigration.k8s.io", "StorageVersionMigration"): {"spec": {"resource": {"resource": "pods"}}},
}  # fmt: skip


def valid_object(kind: ResourceKind) -> dict[str, Any]:
    """A body for a create; the caller's to change at its top two levels only after a copy."""
    metadata: dict[str, Any] = {"name": "a", "labels": {"app": "a"}}
    body = BODIES.get((kind.group, kind.kind), {})
    return {
        "apiVersion": kind.api_version, "kind": kind.kind, **body, "metadata": {**metadata, **body.get("metadata", {})}
    }  # fmt: skip
