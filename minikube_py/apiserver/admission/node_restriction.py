"""Keeps a node to its own Node, lease, pods and tokens in what it writes; what it reads is the node authorizer's part.

Source: the admission controllers reference page; texts as in plugin/pkg/admission/noderestriction. Owner references
of a Node are closed to it as well (CVE-2025-5187).
"""

from collections.abc import Callable
from typing import Any

from minikube_py.apiserver.admission.context import (
    NODES,
    PODS,
    SERVICE_ACCOUNTS,
    Plugin,
    is_about,
    object_name,
    refuse,
    spec_of,
)
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.apiserver.authz.node import LEASE_NAMESPACE, node_name_of
from minikube_py.objects.errors import NotFound, Object
from minikube_py.resources.certificate_requests import read_request
from minikube_py.resources.pod_facts import MIRROR_ANNOTATION, config_map_names, is_mirror, secret_names

# Labels under kubernetes.io and k8s.io that a kubelet may set on itself, and prefixes of those.
_OWN_LABELS = frozenset(
    "kubernetes.io/hostname kubernetes.io/os kubernetes.io/arch beta.kubernetes.io/os beta.kubernetes.io/arch "
    "beta.kubernetes.io/instance-type node.kubernetes.io/instance-type topology.kubernetes.io/zone "
    "topology.kubernetes.io/region failure-domain.beta.kubernetes.io/zone failure-domain.beta.kubernetes.io/region "
    "node.kubernetes.io/windows-build".split()
)
_OWN_LABEL_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
_RESTRICTED_DOMAIN = "node-restriction.kubernetes.io"
_NODE_SIGNERS = ("kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet")


class NodeRestriction(Plugin):
    name = "NodeRestriction"

    async def validate(self, request: AdmissionRequest) -> None:
        node = node_name_of(request.user)
        if node is None:
            return
        if not node:
            raise refuse(request, f'could not determine node from user "{request.user.name}"')
        check = self._checks.get((request.info.group, request.info.resource))
        if check is not None and request.operation in ("CREATE", "UPDATE", "DELETE"):
            check(self, node, request)

    # -- pods

    def _pod(self, node: str, request: AdmissionRequest) -> None:
        if request.subresource == "status":
            self._pod_status(node, request)
        elif request.subresource == "eviction":
            self._own_pod(request, node, f"node {node} can only evict pods with spec.nodeName set to itself")
        elif request.subresource:
            text = f"unexpected pod subresource \"{request.subresource}\", only 'status' and 'eviction' are allowed"
            raise refuse(request, text)
        elif request.operation == "CREATE":
            self._mirror_pod(node, request)
        elif request.operation == "DELETE":
            self._own_pod(request, node, f'node "{node}" can only delete pods with spec.nodeName set to itself')
        else:
            text = f'unexpected operation "{request.operation}", node "{node}" can only create and delete mirror pods'
            raise refuse(request, text)

    def _own_pod(self, request: AdmissionRequest, node: str, why: str) -> None:
        pod = self._pod_named(object_name(request), request.namespace)
        if spec_of(pod).get("nodeName") != node:
            raise refuse(request, why)

    def _pod_named(self, name: str, namespace: str) -> Object:
        pod = self.reader.get(PODS, name, namespace)
        if pod is None:
            raise NotFound.of("", "pods", name)
        return pod

    def _pod_status(self, node: str, request: AdmissionRequest) -> None:
        new, old = request.obj or {}, request.old or {}
        if spec_of(old).get("nodeName") != node:
            text = f'node "{node}" can only update pod status for pods with spec.nodeName set to itself'
            raise refuse(request, text)
        if (new["metadata"].get("labels") or {}) != (old["metadata"].get("labels") or {}):
            raise refuse(request, f'node "{node}" cannot update labels through pod status')
        if _claim_statuses(new) != _claim_statuses(old):
            raise refuse(request, f'node "{node}" cannot update resource claim statues')

    def _mirror_pod(self, node: str, request: AdmissionRequest) -> None:
        pod = request.obj or {}
        who = f'node "{node}"'
        if not is_mirror(pod):
            raise refuse(
                request, f'pod does not have "{MIRROR_ANNOTATION}" annotation, {who} can only create mirror pods'
            )
        if spec_of(pod).get("nodeName") != node:
            raise refuse(request, f"{who} can only create pods with spec.nodeName set to itself")
        self._mirror_owner(node, request, pod["metadata"].get("ownerReferences") or [])
        spec = spec_of(pod)
        volumes = spec.get("volumes") or []
        sources = [s for v in volumes for s in (v.get("projected") or {}).get("sources") or []]
        refers = {
            "a service account": bool(spec.get("serviceAccountName")),
            "secrets": any(True for _ in secret_names(pod)),
            "configmaps": any(True for _ in config_map_names(pod)),
            "clustertrustbundles": any(s.get("clusterTrustBundle") is not None for s in sources),
            "persistentvolumeclaims": any(v.get("persistentVolumeClaim") is not None for v in volumes),
        }
        for what, found in refers.items():
            if found:
                raise refuse(request, f"{who} can not create pods that reference {what}")

    def _mirror_owner(self, node: str, request: AdmissionRequest, owners: list[Object]) -> None:
        who = f'node "{node}"'
        if len(owners) > 1:
            raise refuse(request, f"{who} can only create pods with a single owner reference set to itself")
        owner = owners[0] if owners else {}
        if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
            raise refuse(request, f"{who} can only create pods with an owner reference set to itself")
        if not owner.get("controller"):
            raise refuse(request, f"{who} can only create pods with a controller owner reference set to itself")
        if owner.get("blockOwnerDeletion"):
            raise refuse(request, f"{who} must not set blockOwnerDeletion on an owner reference")
        stored = self.reader.get(NODES, node)
        if stored is None:
            raise NotFound.of("", "nodes", node)
        if owner.get("uid") != stored["metadata"]["uid"]:
            uid = stored["metadata"]["uid"]
            raise refuse(request, f"node {node} UID mismatch: expected {owner.get('uid', '')} got {uid}")

    # -- its own Node

    def _node(self, node: str, request: AdmissionRequest) -> None:
        who = f'node "{node}"'
        if object_name(request) != node:
            raise refuse(request, f'{who} is not allowed to modify node "{object_name(request)}"')
        new, old = request.obj, request.old
        if new is None or request.operation == "DELETE":
            return
        changed = _changed_labels(new, old)
        closed = sorted(label for label in changed if not _is_own_label(label))
        if old is None:
            if closed:
                raise refuse(request, f"{who} is not allowed to set the following labels: {', '.join(closed)}")
            if new["metadata"].get("ownerReferences"):
                raise refuse(request, f"{who} is not allowed to set ownerReferences")
            return
        if (spec_of(new).get("taints") or []) != (spec_of(old).get("taints") or []):
            raise refuse(request, f"{who} is not allowed to modify taints")
        if closed:
            raise refuse(request, f"is not allowed to modify labels: {', '.join(closed)}")
        if (new["metadata"].get("ownerReferences") or []) != (old["metadata"].get("ownerReferences") or []):
            raise refuse(request, f"{who} is not allowed to modify ownerReferences")

    # -- the rest

    def _claim(self, node: str, request: AdmissionRequest) -> None:
        if request.subresource != "status":
            raise refuse(request, "may only update PVC status")
        if _without_capacity(request.obj or {}) != _without_capacity(request.old or {}):
            text = f'node "{node}" is not allowed to update fields other than status.quantity and status.conditions'
            raise refuse(request, text)

    def _token(self, node: str, request: AdmissionRequest) -> None:
        if request.operation != "CREATE" or request.subresource != "token":
            return
        reference = spec_of(request.obj).get("boundObjectRef") or {}
        if reference.get("kind") != "Pod" or reference.get("apiVersion") != "v1" or not reference.get("name"):
            raise refuse(request, "node requested token not bound to a pod")
        if not reference.get("uid"):
            raise refuse(request, "node requested token with a pod binding without a uid")
        pod = self._pod_named(reference["name"], request.namespace)
        if reference["uid"] != pod["metadata"]["uid"]:
            raise refuse(
                request,
                f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated",
            )
        if spec_of(pod).get("nodeName") != node:
            raise refuse(request, "node requested token bound to a pod scheduled on a different node")

    def _lease(self, node: str, request: AdmissionRequest) -> None:
        if request.namespace != LEASE_NAMESPACE:
            raise refuse(request, f'can only access leases in the "{LEASE_NAMESPACE}" system namespace')
        if object_name(request) != node:
            raise refuse(request, "can only access node lease with the same name as the requesting node")

    def _csi_node(self, node: str, request: AdmissionRequest) -> None:
        if object_name(request) != node:
            raise refuse(request, "can only access CSINode with the same name as the requesting node")

    def _slice(self, node: str, request: AdmissionRequest) -> None:
        obj = request.obj if request.operation == "CREATE" else request.old
        if request.operation in ("CREATE", "DELETE") and spec_of(obj).get("nodeName") != node:
            verb = request.operation.lower()
            raise refuse(request, f"can only {verb} ResourceSlice with the same NodeName as the requesting node")

    def _pod_certificate(self, node: str, request: AdmissionRequest) -> None:
        """A node asks for its own pods only, and says of them what is true."""
        if request.operation != "CREATE" or request.subresource:
            return
        spec = spec_of(request.obj)
        if spec.get("nodeName") != node:
            text = f'PodCertificateRequest.Spec.NodeName="{spec.get("nodeName", "")}", which is not the requesting node'
            raise refuse(request, f'{text} "{node}"')
        pod = self._pod_named(spec.get("podName", ""), request.namespace)
        if is_mirror(pod):
            raise refuse(request, "pod is a mirror pod")
        if spec_of(pod).get("nodeName") != node:
            raise refuse(request, f'pod is not running on node "{node}"')
        account = self.reader.get(SERVICE_ACCOUNTS, spec_of(pod).get("serviceAccountName") or "", request.namespace)
        stored = self.reader.get(NODES, node)
        true = {
            "podUID": pod["metadata"]["uid"],
            "serviceAccountName": spec_of(pod).get("serviceAccountName"),
            "serviceAccountUID": account["metadata"]["uid"] if account is not None else None,
            "nodeUID": stored["metadata"]["uid"] if stored is not None else None,
        }
        for field, value in true.items():
            if spec.get(field) != value:
                raise refuse(request, f'{field} "{spec.get(field, "")}" is not that of the pod, which has "{value}"')

    def _signing_request(self, node: str, request: AdmissionRequest) -> None:
        if request.operation != "CREATE" or not is_about(request, "certificates.k8s.io", "certificatesigningrequests"):
            return
        spec = spec_of(request.obj)
        if spec.get("signerName") not in _NODE_SIGNERS:
            return
        try:
            subject = read_request(spec.get("request") or "")
        except ValueError as error:
            raise refuse(request, f"unable to parse csr: {error}") from error
        if subject.common_name != f"system:node:{node}":
            raise refuse(request, f"can only create a node CSR with CN=system:node:{node}")

    _checks: dict[tuple[str, str], Callable[[Any, str, AdmissionRequest], None]] = {  # noqa: RUF012
        ("", "pods"): _pod,
        ("", "nodes"): _node,
        ("", "persistentvolumeclaims"): _claim,
        ("", "serviceaccounts"): _token,
        ("coordination.k8s.io", "leases"): _lease,
        ("storage.k8s.io", "csinodes"): _csi_node,
        ("resource.k8s.io", "resourceslices"): _slice,
        ("certificates.k8s.io", "certificatesigningrequests"): _signing_request,
        ("certificates.k8s.io", "podcertificaterequests"): _pod_certificate,
    }


def _claim_statuses(pod: Object) -> list[tuple[Any, Any]]:
    statuses = (pod.get("status") or {}).get("resourceClaimStatuses") or []
    return [(s.get("name"), s.get("resourceClaimName")) for s in statuses]


def _changed_labels(new: Object, old: Object | None) -> set[str]:
    now = new["metadata"].get("labels") or {}
    before = ((old or {}).get("metadata") or {}).get("labels") or {}
    return {key for key in {*now, *before} if now.get(key) != before.get(key)}


def _is_own_label(label: str) -> bool:
    domain = label.rpartition("/")[0]
    if _is_under(domain, _RESTRICTED_DOMAIN):
        return False
    if not _is_under(domain, "kubernetes.io") and not _is_under(domain, "k8s.io"):
        return True
    return label in _OWN_LABELS or any(_is_under(domain, own) for own in _OWN_LABEL_DOMAINS)


def _is_under(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith(f".{parent}")


_OPEN_CLAIM_STATUS = ("capacity", "conditions", "allocatedResources", "allocatedResourceStatuses")


def _without_capacity(claim: Object) -> Object:
    metadata = {k: v for k, v in claim["metadata"].items() if k not in ("resourceVersion", "managedFields")}
    status = {k: v for k, v in (claim.get("status") or {}).items() if k not in _OPEN_CLAIM_STATUS}
    return {**claim, "metadata": metadata, "status": status}
