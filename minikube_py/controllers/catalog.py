"""Lists every controller by name; a new one is a file here and a line in this table."""

from collections.abc import Callable

from minikube_py.controllers.cloudnode import CloudNodeController
from minikube_py.controllers.cloudnodelifecycle import CloudNodeLifecycleController
from minikube_py.controllers.clusterautoscaler import ClusterAutoscaler
from minikube_py.controllers.clusterroleaggregation import ClusterRoleAggregationController
from minikube_py.controllers.context import ControllerContext
from minikube_py.controllers.cronjob import CronJobController
from minikube_py.controllers.csr_approving import CertificateApprover
from minikube_py.controllers.csr_cleaner import CertificateRequestCleaner
from minikube_py.controllers.csr_signing import CertificateSigning
from minikube_py.controllers.daemonset import DaemonSetController
from minikube_py.controllers.deployment import DeploymentController
from minikube_py.controllers.disruption import DisruptionController
from minikube_py.controllers.endpoints import EndpointsController
from minikube_py.controllers.endpointslice import EndpointSliceController
from minikube_py.controllers.endpointslicemirroring import EndpointSliceMirroringController
from minikube_py.controllers.ephemeralvolume import EphemeralVolumeController
from minikube_py.controllers.garbagecollector import GarbageCollector
from minikube_py.controllers.horizontalpodautoscaler import HorizontalPodAutoscalerController
from minikube_py.controllers.job import JobController
from minikube_py.controllers.localvolumes import LocalVolumeController
from minikube_py.controllers.namespace import NamespaceController
from minikube_py.controllers.nodeipam import NodeIpamController
from minikube_py.controllers.nodelifecycle import NodeLifecycleController
from minikube_py.controllers.persistentvolume import PersistentVolumeController
from minikube_py.controllers.podcertificaterequest_cleaner import PodCertificateRequestCleaner
from minikube_py.controllers.podgc import PodGarbageCollector
from minikube_py.controllers.pvcprotection import ClaimProtectionController
from minikube_py.controllers.pvprotection import VolumeProtectionController
from minikube_py.controllers.replicaset import ReplicaSetController
from minikube_py.controllers.replicationcontroller import ReplicationControllerController
from minikube_py.controllers.resourceclaim import ResourceClaimController
from minikube_py.controllers.resourcequota import ResourceQuotaController
from minikube_py.controllers.rootcacert import RootCaPublisher
from minikube_py.controllers.service_account_token import ServiceAccountTokenController
from minikube_py.controllers.serviceaccount import ServiceAccountController
from minikube_py.controllers.servicecidr import ServiceCidrController
from minikube_py.controllers.servicelb import ServiceLoadBalancerController
from minikube_py.controllers.statefulset import StatefulSetController
from minikube_py.controllers.storageversionmigration import StorageVersionMigrationController
from minikube_py.controllers.tainteviction import TaintEvictionController
from minikube_py.controllers.token_cleaner import TokenCleaner
from minikube_py.controllers.ttlafterfinished import TtlAfterFinishedController
from minikube_py.controllers.validatingadmissionpolicy_status import ValidatingAdmissionPolicyStatus
from minikube_py.controllers.volumeattributesclassprotection import VolumeAttributesClassProtectionController
from minikube_py.reconciling.controller import Controller

CONTROLLERS: dict[str, Callable[[ControllerContext], Controller]] = {
    "serviceaccount": ServiceAccountController,
    "service-account-token": ServiceAccountTokenController,
    "rootcacert": RootCaPublisher,
    "nodeipam": NodeIpamController,
    "nodelifecycle": NodeLifecycleController,
    "cloud-node": CloudNodeController,
    "cloud-node-lifecycle": CloudNodeLifecycleController,
    "clusterautoscaler": ClusterAutoscaler,
    "tainteviction": TaintEvictionController,
    "podgc": PodGarbageCollector,
    "csr-approving": CertificateApprover,
    "csr-signing": CertificateSigning,
    "csr-cleaner": CertificateRequestCleaner,
    "podcertificaterequest-cleaner": PodCertificateRequestCleaner,
    "token-cleaner": TokenCleaner,
    "namespace": NamespaceController,
    "garbagecollector": GarbageCollector,
    "deployment": DeploymentController,
    "replicaset": ReplicaSetController,
    "replicationcontroller": ReplicationControllerController,
    "statefulset": StatefulSetController,
    "daemonset": DaemonSetController,
    "job": JobController,
    "cronjob": CronJobController,
    "ttlafterfinished": TtlAfterFinishedController,
    "clusterroleaggregation": ClusterRoleAggregationController,
    "disruption": DisruptionController,
    "horizontalpodautoscaler": HorizontalPodAutoscalerController,
    "ephemeralvolume": EphemeralVolumeController,
    "resourceclaim": ResourceClaimController,
    "persistentvolume": PersistentVolumeController,
    "localvolumes": LocalVolumeController,
    "pvcprotection": ClaimProtectionController,
    "pvprotection": VolumeProtectionController,
    "volumeattributesclassprotection": VolumeAttributesClassProtectionController,
    "storageversionmigration": StorageVersionMigrationController,
    "resourcequota": ResourceQuotaController,
    "servicecidr": ServiceCidrController,
    "service-lb": ServiceLoadBalancerController,
    "endpoints": EndpointsController,
    "endpointslice": EndpointSliceController,
    "endpointslicemirroring": EndpointSliceMirroringController,
    "validatingadmissionpolicy-status": ValidatingAdmissionPolicyStatus,
}
