"""Limits each node to its own Node, lease and pods, and to the objects those pods refer to.

Source: the Node authorization page, KEP-4601 (selectors) and plugin/pkg/auth/authorizer/node for reasons and order.
Like there, "no" is no opinion: another authorizer may still allow.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from minikube_py.apiserver.admission.protocol import ObjectReader
from minikube_py.apiserver.authz.protocol import Decision, Verdict
from minikube_py.apiserver.authz.rbac import access_of
from minikube_py.apiserver.request_info import RequestInfo, UserInfo
from minikube_py.objects.errors import Object
from minikube_py.objects.selectors import FieldSelector
from minikube_py.resources.kind import GVR
from minikube_py.resources.rbac_rules import CompiledRule

NODES_GROUP = "system:nodes"
USER_PREFIX = "system:node:"
LEASE_NAMESPACE = "kube-node-lease"

CLAIMS = GVR("", "v1", "persistentvolumeclaims")
VOLUMES = GVR("", "v1", "persistentvolumes")
ATTACHMENTS = GVR("storage.k8s.io", "v1", "volumeattachments")
CERTIFICATE_REQUESTS = GVR("certificates.k8s.io", "v1", "podcertificaterequests")
SLICES = GVR("resource.k8s.io", "v1", "resourceslices")

_ALLOW = Decision(Verdict.ALLOW)
_READ = ("get", "list", "watch")
_OWN = ("get", "create", "update", "patch", "delete")


class Reference(NamedTuple):
    """Something a pod refers to, in the pod's namespace."""

    resource: str
    name: str


def _rule(verbs: str, group: str, resources: str) -> CompiledRule:
    return CompiledRule.of({"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split()})


# What every node may do whatever its pods are; the rest is decided case by case below.
_STATIC = [
    _rule("create", "authentication.k8s.io", "tokenreviews"),
    _rule("create", "authorization.k8s.io", "subjectaccessreviews localsubjectaccessreviews"),
    _rule("get list watch", "", "services"),
    _rule("create update patch", "", "events"),
    _rule("create update patch", "events.k8s.io", "events"),
    _rule("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
    _rule("get list watch", "certificates.k8s.io", "clustertrustbundles"),
    _rule("get list watch", "storage.k8s.io", "csidrivers"),
    _rule("get list watch", "node.k8s.io", "runtimeclasses"),
]


def node_name_of(user: UserInfo) -> str | None:
    """The node that `user` is, '' for a node without a name, None for anybody else."""
    if NODES_GROUP not in user.groups:
        return None
    return user.name.removeprefix(USER_PREFIX) if user.name.startswith(USER_PREFIX) else ""


class NodeAuthorizer:
    """`observe_pod` keeps the references of scheduled pods, node by node."""

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader
        self._pods: dict[str, dict[tuple[str, str], frozenset[Reference]]] = {}
        self._node_of: dict[tuple[str, str], str] = {}
        case = Callable[[str, RequestInfo], Decision]
        self._cases: dict[tuple[str, str], case] = {
            ("", "secrets"): self._referenced_read,
            ("", "configmaps"): self._referenced_read,
            ("", "persistentvolumeclaims"): self._claim,
            ("", "persistentvolumes"): self._get_only,
            ("resource.k8s.io", "resourceclaims"): self._get_only,
            ("storage.k8s.io", "volumeattachments"): self._get_only,
            ("", "serviceaccounts"): self._service_account,
            ("coordination.k8s.io", "leases"): self._lease,
            ("storage.k8s.io", "csinodes"): self._csi_node,
            ("resource.k8s.io", "resourceslices"): self._slice,
            ("certificates.k8s.io", "podcertificaterequests"): self._pod_certificate,
            ("", "nodes"): self._node,
            ("", "pods"): self._pod,
        }

    # -- keeping up

    def observe_pod(self, pod: Object, *, deleted: bool = False) -> None:
        metadata = pod["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        node = (pod.get("spec") or {}).get("nodeName") or ""
        before = self._node_of.get(key)
        if before is not None and (deleted or before != node):
            del self._node_of[key]
            self._pods[before].pop(key, None)
            if not self._pods[before]:
                del self._pods[before]
        if node and not deleted:
            self._node_of[key] = node
            self._pods.setdefault(node, {})[key] = frozenset(references_of(pod))

    # -- answering

    def rules_for(self, user: UserInfo, namespace: str) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
        return [], []

    def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        node = node_name_of(user)
        if node is None:
            return _no("")
        if not node:
            return _no(f'unknown node for user "{user.name}"')
        if not info.is_resource:
            return _no("")
        case = self._cases.get((info.group, info.resource))
        if case is not None:
            return case(node, info)
        access = access_of(info)
        return _ALLOW if any(rule.allows(access) for rule in _STATIC) else _no("")

    def _referenced_read(self, node: str, info: RequestInfo) -> Decision:
        if info.verb not in _READ:
            return _no("can only read resources of this type")
        if info.subresource:
            return _no("cannot read subresource")
        if not info.namespace:
            return _no("can only read namespaced object of this type")
        return self._related(node, info)

    def _get_only(self, node: str, info: RequestInfo) -> Decision:
        if info.verb != "get":
            return _no("can only get individual resources of this type")
        if info.subresource:
            return _no("cannot get subresource")
        return self._related(node, info)

    def _claim(self, node: str, info: RequestInfo) -> Decision:
        if info.subresource != "status":
            return self._get_only(node, info)
        if info.verb not in ("update", "patch"):
            return _no("can only get/update/patch this type")
        return self._related(node, info)

    def _service_account(self, node: str, info: RequestInfo) -> Decision:
        if info.verb == "get" and not info.subresource:
            return self._related(node, info)
        if info.verb != "create" or not info.name:
            return _no("can only create tokens for individual service accounts")
        if info.subresource != "token":
            return _no("can only create token subresource of serviceaccount")
        return self._related(node, info)

    def _lease(self, node: str, info: RequestInfo) -> Decision:
        if info.verb not in _OWN:
            return _no("can only get, create, update, patch, or delete a node lease")
        if info.namespace != LEASE_NAMESPACE:
            return _no(f'can only access leases in the "{LEASE_NAMESPACE}" system namespace')
        # The name is in the body on create; NodeRestriction looks at it there.
        if info.verb != "create" and info.name != node:
            return _no("can only access node lease with the same name as the requesting node")
        return _ALLOW

    def _csi_node(self, node: str, info: RequestInfo) -> Decision:
        if info.verb not in _OWN:
            return _no("can only get, create, update, patch, or delete a CSINode")
        if info.subresource:
            return _no("cannot authorize CSINode subresources")
        if info.verb != "create" and info.name != node:
            return _no("can only access CSINode with the same name as the requesting node")
        return _ALLOW

    def _slice(self, node: str, info: RequestInfo) -> Decision:
        if info.subresource:
            return _no("cannot authorize ResourceSlice subresources")
        if info.verb == "create":
            return _ALLOW
        if info.verb in ("get", "update", "patch", "delete"):
            return self._related(node, info)
        if _requires(info.field_selector, "spec.nodeName", node):
            return _ALLOW
        return _no("can only list/watch/deletecollection resourceslices with nodeName field selector")

    def _pod_certificate(self, node: str, info: RequestInfo) -> Decision:
        """NodeRestriction looks at what a new request says."""
        if info.subresource:
            return _no("cannot authorize PodCertificateRequest subresources")
        if info.verb == "create":
            return _ALLOW
        if info.verb == "get":
            return self._related(node, info)
        if info.verb in ("list", "watch") and _requires(info.field_selector, "spec.nodeName", node):
            return _ALLOW
        return _no("can only create, get, or list/watch podcertificaterequests with spec.nodeName field selector")

    def _node(self, node: str, info: RequestInfo) -> Decision:
        if info.subresource == "status":
            return _ALLOW if info.verb in ("update", "patch") else _no("")
        if info.subresource:
            return _no("")
        if info.verb in ("create", "update", "patch"):
            return _ALLOW
        if info.verb not in _READ:
            return _no("")
        if info.name == node or (not info.name and _requires(info.field_selector, "metadata.name", node)):
            return _ALLOW
        if not info.name:
            return _no(f"node '{node}' cannot read all nodes, only its own Node object")
        return _no(f"node '{node}' cannot read '{info.name}', only its own Node object")

    def _pod(self, node: str, info: RequestInfo) -> Decision:
        if info.subresource == "status":
            return _ALLOW if info.verb in ("update", "patch") else _no("")
        if info.subresource == "eviction":
            return _ALLOW if info.verb == "create" else _no("")
        if info.subresource:
            return _no("")
        if info.verb in ("create", "delete"):
            return _ALLOW
        if info.verb == "get":
            return self._get_only(node, info)
        if info.verb in ("list", "watch"):
            if _requires(info.field_selector, "spec.nodeName", node):
                return _ALLOW
            if info.name:
                return self._related(node, info)
            return _no("can only list/watch pods with spec.nodeName field selector")
        return _no("")

    # -- relations

    def _related(self, node: str, info: RequestInfo) -> Decision:
        if not info.name:
            return _no("No Object name found")
        if self._is_related(node, info):
            return _ALLOW
        return _no(f"no relationship found between node '{node}' and this object")

    def _is_related(self, node: str, info: RequestInfo) -> bool:
        resource, namespace, name = info.resource, info.namespace, info.name
        pods = self._pods.get(node, {})
        if resource == "pods":
            return (namespace, name) in pods
        if resource == "volumeattachments":
            return _node_name(self._reader.get(ATTACHMENTS, name)) == node
        if resource == "resourceslices":
            return _node_name(self._reader.get(SLICES, name)) == node
        if resource == "podcertificaterequests":
            return _node_name(self._reader.get(CERTIFICATE_REQUESTS, name, namespace)) == node
        if resource == "persistentvolumes":
            return any((claim.get("spec") or {}).get("volumeName") == name for claim in self._claims(node))
        wanted = Reference(resource, name)
        if any(ns == namespace and wanted in references for (ns, _), references in pods.items()):
            return True
        return resource == "secrets" and any(
            (namespace, name) in _volume_secrets(volume) for volume in self._volumes(node)
        )

    def _claims(self, node: str) -> Iterator[Object]:
        for (namespace, _), references in self._pods.get(node, {}).items():
            for reference in references:
                if reference.resource == "persistentvolumeclaims":
                    claim = self._reader.get(CLAIMS, reference.name, namespace)
                    if claim is not None:
                        yield claim

    def _volumes(self, node: str) -> Iterator[Object]:
        for claim in self._claims(node):
            volume = self._reader.get(VOLUMES, (claim.get("spec") or {}).get("volumeName") or "")
            if volume is not None:
                yield volume


def references_of(pod: Object) -> Iterator[Reference]:
    """Everything that running `pod` needs to read."""
    spec = pod.get("spec") or {}
    if spec.get("serviceAccountName"):
        yield Reference("serviceaccounts", spec["serviceAccountName"])
    for secret in spec.get("imagePullSecrets") or []:
        yield Reference("secrets", secret.get("name", ""))
    for containers in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(containers) or []:
            yield from _environment_references(container)
    for volume in spec.get("volumes") or []:
        yield from _volume_references(volume, pod["metadata"]["name"])
    for claim in spec.get("resourceClaims") or []:
        if claim.get("resourceClaimName"):
            yield Reference("resourceclaims", claim["resourceClaimName"])
    for claim in (pod.get("status") or {}).get("resourceClaimStatuses") or []:
        if claim.get("resourceClaimName"):
            yield Reference("resourceclaims", claim["resourceClaimName"])


def _environment_references(container: Object) -> Iterator[Reference]:
    for source in container.get("envFrom") or []:
        for key, resource in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
            if source.get(key):
                yield Reference(resource, source[key].get("name", ""))
    for variable in container.get("env") or []:
        origin = variable.get("valueFrom") or {}
        for key, resource in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
            if origin.get(key):
                yield Reference(resource, origin[key].get("name", ""))


def _volume_references(volume: Object, pod_name: str) -> Iterator[Reference]:
    if volume.get("secret"):
        yield Reference("secrets", volume["secret"].get("secretName", ""))
    if volume.get("configMap"):
        yield Reference("configmaps", volume["configMap"].get("name", ""))
    if volume.get("persistentVolumeClaim"):
        yield Reference("persistentvolumeclaims", volume["persistentVolumeClaim"].get("claimName", ""))
    if volume.get("ephemeral"):
        yield Reference("persistentvolumeclaims", f"{pod_name}-{volume.get('name', '')}")
    for source in (volume.get("projected") or {}).get("sources") or []:
        if source.get("secret"):
            yield Reference("secrets", source["secret"].get("name", ""))
        if source.get("configMap"):
            yield Reference("configmaps", source["configMap"].get("name", ""))
    for driver, key in (("csi", "nodePublishSecretRef"), ("cephfs", "secretRef"), ("iscsi", "secretRef")):
        secret = (volume.get(driver) or {}).get(key)
        if secret:
            yield Reference("secrets", secret.get("name", ""))


def _volume_secrets(volume: Object) -> set[tuple[str, str]]:
    csi = (volume.get("spec") or {}).get("csi") or {}
    keys = ("nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef")
    return {(csi[k].get("namespace", ""), csi[k].get("name", "")) for k in keys if csi.get(k)}


def _node_name(obj: Object | None) -> str:
    return ((obj or {}).get("spec") or {}).get("nodeName") or ""


def _requires(selector: str, field: str, value: str) -> bool:
    if not selector:
        return False
    try:
        return FieldSelector.parse(selector).exact(field) == value
    except ValueError:
        return False


def _no(reason: str) -> Decision:
    return Decision(Verdict.NO_OPINION, reason)
