"""The API resources that a node reads and writes."""

from minikube_py.resources.kind import GVR

PODS = GVR("", "v1", "pods")
NODES = GVR("", "v1", "nodes")
SERVICES = GVR("", "v1", "services")
SECRETS = GVR("", "v1", "secrets")
CONFIG_MAPS = GVR("", "v1", "configmaps")
SERVICE_ACCOUNTS = GVR("", "v1", "serviceaccounts")
PERSISTENT_VOLUMES = GVR("", "v1", "persistentvolumes")
PERSISTENT_VOLUME_CLAIMS = GVR("", "v1", "persistentvolumeclaims")
RUNTIME_CLASSES = GVR("node.k8s.io", "v1", "runtimeclasses")
LEASES = GVR("coordination.k8s.io", "v1", "leases")
POD_CERTIFICATE_REQUESTS = GVR("certificates.k8s.io", "v1", "podcertificaterequests")
CLUSTER_TRUST_BUNDLES = GVR("certificates.k8s.io", "v1", "clustertrustbundles")
