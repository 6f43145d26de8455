"""Approves the client certificates of nodes that may have them: that join with a token, or renew their own.

Source: the "TLS bootstrapping" page; wording as in pkg/controller/certificates/approver.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from minikube_py import clock
from minikube_py.client.protocol import Client, WriteOptions
from minikube_py.controllers.context import ControllerContext
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.resources.certificate_requests import KUBELET_CLIENT, is_kubelet_client, read_request
from minikube_py.resources.kind import GVR

SIGNING_REQUESTS = GVR("certificates.k8s.io", "v1", "certificatesigningrequests")
ACCESS_REVIEWS = GVR("authorization.k8s.io", "v1", "subjectaccessreviews")


@dataclass(frozen=True)
class _Recognizer:
    """A kind of request that is approved for those who may `create` this subresource of requests."""

    subresource: str
    is_own: bool
    message: str


_RECOGNIZERS = (
    _Recognizer("selfnodeclient", True, "Auto approving self kubelet client certificate after SubjectAccessReview."),
    _Recognizer("nodeclient", False, "Auto approving kubelet client certificate after SubjectAccessReview."),
)


class CertificateApprover:
    name = "csr-approving"

    def __init__(self, context: ControllerContext) -> None:
        self._client: Client = context.client_for("certificate-controller")
        self._requests = context.informers.informer(SIGNING_REQUESTS)

    def sources(self) -> Sequence[Source]:
        return (Source(self._requests),)

    async def reconcile(self, key: Key) -> float | None:
        found = self._requests.cache.get(*key)
        if found is None or not is_open(found) or found["spec"].get("signerName") != KUBELET_CLIENT:
            return None
        try:
            facts = read_request(found["spec"]["request"])
        except ValueError:
            return None
        if not is_kubelet_client(facts, found["spec"].get("usages") or ()):
            return None
        for recognizer in _RECOGNIZERS:
            if recognizer.is_own and found["spec"].get("username") != facts.common_name:
                continue
            if await self._is_allowed(found, recognizer.subresource):
                await self._approve(found, recognizer.message)
                return None
        return None

    async def _is_allowed(self, request: Object, subresource: str) -> bool:
        spec = request["spec"]
        question: Object = {
            "user": spec.get("username", ""),
            "resourceAttributes": {
                "group": "certificates.k8s.io",
                "resource": "certificatesigningrequests",
                "verb": "create",
                "subresource": subresource,
            },
        }
        question |= {key: spec[key] for key in ("uid", "groups", "extra") if spec.get(key)}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": question}
        answer = await self._client.create(ACCESS_REVIEWS, review)
        return bool((answer.get("status") or {}).get("allowed"))

    async def _approve(self, request: Object, message: str) -> None:
        changed = deep_copy(request)
        now = clock.rfc3339()
        condition = {
            "type": "Approved",
            "status": "True",
            "reason": "AutoApproved",
            "message": message,
            "lastUpdateTime": now,
            "lastTransitionTime": now,
        }
        changed.setdefault("status", {}).setdefault("conditions", []).append(condition)
        await self._client.update(SIGNING_REQUESTS, changed, options=WriteOptions(subresource="approval"))


def is_open(request: Object) -> bool:
    """Whether nobody has decided on it yet."""
    status = request.get("status") or {}
    decided = {c.get("type") for c in status.get("conditions") or []} & {"Approved", "Denied"}
    return not status.get("certificate") and not decided
