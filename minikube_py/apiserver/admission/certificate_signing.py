"""Lets only those put a certificate into a request's status who may sign for its signer.

Source: the "Certificates and Certificate Signing Requests" page (authorization); texts as in plugin/pkg/admission.
"""

from minikube_py.apiserver.admission.context import Plugin, is_about, may_for_signer, refuse, spec_of
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.objects.errors import Object


class CertificateSigning(Plugin):
    name = "CertificateSigning"
    resources = frozenset((("certificates.k8s.io", "certificatesigningrequests"),))

    async def validate(self, request: AdmissionRequest) -> None:
        if not is_about(request, "certificates.k8s.io", "certificatesigningrequests", "status"):
            return
        new, old = request.obj or {}, request.old or {}
        if _outcome(new) == _outcome(old):
            return
        signer = spec_of(old or new).get("signerName", "")
        if not may_for_signer(self.context, request, "sign", signer):
            raise refuse(request, f'user not permitted to sign requests with signerName "{signer}"')


def _outcome(request: Object) -> tuple[object, list[object]]:
    """The certificate, and the conditions that say that signing failed."""
    status = request.get("status") or {}
    return status.get("certificate"), [c for c in status.get("conditions") or [] if c.get("type") == "Failed"]
