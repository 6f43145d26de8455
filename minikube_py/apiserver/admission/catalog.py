"""Lists Kubernetes' admission plugins in Kubernetes' order."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from minikube_py.apiserver.admission.always_pull_images import AlwaysPullImages
from minikube_py.apiserver.admission.certificate_approval import CertificateApproval
from minikube_py.apiserver.admission.certificate_requestor import CertificateRequestor
from minikube_py.apiserver.admission.certificate_signing import CertificateSigning
from minikube_py.apiserver.admission.certificate_subject_restriction import CertificateSubjectRestriction
from minikube_py.apiserver.admission.chain import AdmissionChain
from minikube_py.apiserver.admission.cluster_trust_bundle_attest import ClusterTrustBundleAttest
from minikube_py.apiserver.admission.context import AdmissionContext
from minikube_py.apiserver.admission.default_ingress_class import DefaultIngressClass
from minikube_py.apiserver.admission.default_storage_class import DefaultStorageClass
from minikube_py.apiserver.admission.default_toleration_seconds import DefaultTolerationSeconds
from minikube_py.apiserver.admission.deny_service_external_ips import DenyServiceExternalIPs
from minikube_py.apiserver.admission.event_rate_limit import EventRateLimit
from minikube_py.apiserver.admission.extended_resource_toleration import ExtendedResourceToleration
from minikube_py.apiserver.admission.limit_ranger import LimitRanger
from minikube_py.apiserver.admission.mutating_admission_policy import MutatingAdmissionPolicy
from minikube_py.apiserver.admission.mutating_admission_webhook import MutatingAdmissionWebhook
from minikube_py.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from minikube_py.apiserver.admission.node_restriction import NodeRestriction
from minikube_py.apiserver.admission.owner_references_permission_enforcement import (
    OwnerReferencesPermissionEnforcement,
)
from minikube_py.apiserver.admission.persistent_volume_claim_resize import PersistentVolumeClaimResize
from minikube_py.apiserver.admission.pod_certificate_signing import PodCertificateSigning
from minikube_py.apiserver.admission.pod_node_selector import PodNodeSelector
from minikube_py.apiserver.admission.pod_security import PodSecurity
from minikube_py.apiserver.admission.pod_toleration_restriction import PodTolerationRestriction
from minikube_py.apiserver.admission.pod_topology_labels import PodTopologyLabels
from minikube_py.apiserver.admission.priority import Priority
from minikube_py.apiserver.admission.protocol import AdmissionPlugin
from minikube_py.apiserver.admission.resource_quota import ResourceQuota
from minikube_py.apiserver.admission.runtime_class import RuntimeClass
from minikube_py.apiserver.admission.service_account import ServiceAccount
from minikube_py.apiserver.admission.storage_object_in_use_protection import StorageObjectInUseProtection
from minikube_py.apiserver.admission.taint_nodes_by_condition import TaintNodesByCondition
from minikube_py.apiserver.admission.unenforced import UnenforcedWarning
from minikube_py.apiserver.admission.validating_admission_policy import ValidatingAdmissionPolicy
from minikube_py.apiserver.admission.validating_admission_webhook import ValidatingAdmissionWebhook
from minikube_py.apiserver.authz.escalation import EscalationCheck

Factory = Callable[[AdmissionContext], AdmissionPlugin]


@dataclass(frozen=True)
class Entry:
    """One plugin; is_default: whether it is on unless somebody says otherwise."""

    name: str
    make: Factory
    is_default: bool = True


PLUGINS: tuple[Entry, ...] = (
    Entry("NamespaceLifecycle", NamespaceLifecycle),
    Entry("LimitRanger", LimitRanger),
    Entry("ServiceAccount", ServiceAccount),
    Entry("NodeRestriction", NodeRestriction),
    Entry("TaintNodesByCondition", TaintNodesByCondition),
    Entry("AlwaysPullImages", AlwaysPullImages, is_default=False),
    Entry("PodSecurity", PodSecurity),
    Entry("PodNodeSelector", PodNodeSelector, is_default=False),
    Entry("Priority", Priority),
    Entry("DefaultTolerationSeconds", DefaultTolerationSeconds),
    Entry("PodTolerationRestriction", PodTolerationRestriction, is_default=False),
    Entry("EventRateLimit", EventRateLimit, is_default=False),
    Entry("ExtendedResourceToleration", ExtendedResourceToleration, is_default=False),
    Entry("DefaultStorageClass", DefaultStorageClass),
    Entry("StorageObjectInUseProtection", StorageObjectInUseProtection),
    Entry("OwnerReferencesPermissionEnforcement", OwnerReferencesPermissionEnforcement, is_default=False),
    Entry("PersistentVolumeClaimResize", PersistentVolumeClaimResize),
    Entry("RuntimeClass", RuntimeClass),
    Entry("CertificateRequestor", CertificateRequestor),
    Entry("CertificateApproval", CertificateApproval),
    Entry("CertificateSigning", CertificateSigning),
    # In Kubernetes this is part of the kind's storage.
    Entry("PodCertificateSigning", PodCertificateSigning),
    Entry("ClusterTrustBundleAttest", ClusterTrustBundleAttest),
    Entry("CertificateSubjectRestriction", CertificateSubjectRestriction),
    Entry("DefaultIngressClass", DefaultIngressClass),
    Entry("PodTopologyLabels", PodTopologyLabels),
    # Ours: Kubernetes leaves it to its users to find out.
    Entry("UnenforcedWarning", UnenforcedWarning),
    Entry("DenyServiceExternalIPs", DenyServiceExternalIPs, is_default=False),
    Entry("MutatingAdmissionPolicy", MutatingAdmissionPolicy),
    Entry("MutatingAdmissionWebhook", MutatingAdmissionWebhook),
    Entry("ValidatingAdmissionPolicy", ValidatingAdmissionPolicy),
    Entry("ValidatingAdmissionWebhook", ValidatingAdmissionWebhook),
    # In Kubernetes this is part of the RBAC kinds' storage: it must see the object as it will be stored.
    Entry("RBACEscalationCheck", lambda context: EscalationCheck(context.authorizer, context.rbac)),
    # Last, so that nothing is charged for a write that another plugin refuses.
    Entry("ResourceQuota", ResourceQuota),
)


def build_admission(
    context: AdmissionContext, *, enable: Iterable[str] = (), disable: Iterable[str] = ()
) -> tuple[AdmissionPlugin, ...]:
    """The plugins that are on, in order.

    Raises ValueError for a name that is unknown, and for a plugin's configuration that it can't use.
    """
    on, off = set(enable), set(disable)
    known = {entry.name for entry in PLUGINS}
    for name in sorted({*on, *off, *context.configuration}):
        if name not in known:
            raise ValueError(f"there is no admission plugin {name!r}")
    plugins = []
    for entry in PLUGINS:
        is_on = entry.name in on or (entry.is_default and entry.name not in off)
        if is_on:
            plugins.append(entry.make(context))
    return tuple(plugins)


def build_chain(
    context: AdmissionContext, *, enable: Iterable[str] = (), disable: Iterable[str] = ()
) -> AdmissionChain:
    """The plugins that are on, as one. Raises ValueError as build_admission does."""
    return AdmissionChain(build_admission(context, enable=enable, disable=disable), context.counts)
