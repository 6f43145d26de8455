"""Lists Kubernetes' admission plugins in Kubernetes' order, those that are here and those that are still to come."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

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
from minikube_py.apiserver.admission.extended_resource_toleration import ExtendedResourceToleration
from minikube_py.apiserver.admission.limit_ranger import LimitRanger
from minikube_py.apiserver.admission.mutating_admission_policy import MutatingAdmissionPolicy
from minikube_py.apiserver.admission.mutating_admission_webhook import MutatingAdmissionWebhook
from minikube_py.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from minikube_py.apiserver.admission.node_restriction import NodeRestriction
from minikube_py.apiserver.admission.persistent_volume_claim_resize import PersistentVolumeClaimResize
from minikube_py.apiserver.admission.pod_security import PodSecurity
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
    """One plugin. make None: not written yet, and so never on; nothing pretends to be it."""

    name: str
    make: Factory | None
    is_default: bool = True


PLUGINS: tuple[Entry, ...] = (
    Entry("NamespaceLifecycle", NamespaceLifecycle),
    Entry("LimitRanger", LimitRanger),
    Entry("ServiceAccount", ServiceAccount),
    Entry("NodeRestriction", NodeRestriction),
    Entry("TaintNodesByCondition", TaintNodesByCondition),
    Entry("AlwaysPullImages", None, is_default=False),
    Entry("PodSecurity", PodSecurity),
    Entry("PodNodeSelector", None, is_default=False),
    Entry("Priority", Priority),
    Entry("DefaultTolerationSeconds", DefaultTolerationSeconds),
    Entry("PodTolerationRestriction", None, is_default=False),
    Entry("EventRateLimit", None, is_default=False),
    Entry("ExtendedResourceToleration", ExtendedResourceToleration, is_default=False),
    Entry("DefaultStorageClass", DefaultStorageClass),
    Entry("StorageObjectInUseProtection", StorageObjectInUseProtection),
    Entry("OwnerReferencesPermissionEnforcement", None, is_default=False),
    Entry("PersistentVolumeClaimResize", PersistentVolumeClaimResize),
    Entry("RuntimeClass", RuntimeClass),
    Entry("CertificateRequestor", CertificateRequestor),
    Entry("CertificateApproval", CertificateApproval),
    Entry("CertificateSigning", CertificateSigning),
    Entry("ClusterTrustBundleAttest", ClusterTrustBundleAttest),
    Entry("CertificateSubjectRestriction", CertificateSubjectRestriction),
    Entry("DefaultIngressClass", DefaultIngressClass),
    Entry("PodTopologyLabels", PodTopologyLabels),
    # Ours: Kubernetes leaves it to its users to find out.
    Entry("UnenforcedWarning", UnenforcedWarning),
    Entry("DenyServiceExternalIPs", None, is_default=False),
    Entry("MutatingAdmissionPolicy", MutatingAdmissionPolicy),
    Entry("MutatingAdmissionWebhook", MutatingAdmissionWebhook),
    Entry("ValidatingAdmissionPolicy", ValidatingAdmissionPolicy),
    Entry("ValidatingAdmissionWebhook", ValidatingAdmissionWebhook),
    # In Kubernetes this is part of the RBAC kinds' storage: it must see the object as it will be stored.
    Entry("RBACEscalationCheck", lambda context: EscalationCheck(context.authorizer, context.rbac)),
    # Last, so that nothing is charged for a write that another plugin refuses.
    Entry("ResourceQuota", ResourceQuota),
)


def missing_plugins() -> list[str]:
    """The plugins that a Kubernetes server has on by default and this one does not have."""
    return [entry.name for entry in PLUGINS if entry.make is None and entry.is_default]


def build_admission(
    context: AdmissionContext, *, enable: Iterable[str] = (), disable: Iterable[str] = ()
) -> tuple[AdmissionPlugin, ...]:
    """The plugins that are on, in order. Raises ValueError for a name that is unknown or not here yet."""
    on, off = set(enable), set(disable)
    known = {entry.name: entry for entry in PLUGINS}
    for name in on | off:
        if name not in known:
            raise ValueError(f"there is no admission plugin {name!r}")
        if name in on and known[name].make is None:
            raise ValueError(f"the admission plugin {name} is not available yet")
    plugins = []
    for entry in PLUGINS:
        is_on = entry.name in on or (entry.is_default and entry.name not in off)
        if entry.make is not None and is_on:
            plugins.append(entry.make(context))
    return tuple(plugins)


def build_chain(
    context: AdmissionContext, *, enable: Iterable[str] = (), disable: Iterable[str] = ()
) -> AdmissionChain:
    """The plugins that are on, as one. Raises ValueError as build_admission does."""
    return AdmissionChain(build_admission(context, enable=enable, disable=disable))
