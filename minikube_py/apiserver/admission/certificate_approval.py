"""Lets only those approve a certificate request who may approve for its signer.

Source: the "Certificates and Certificate Signing Requests" page (authorization); texts as in plugin/pkg/admission.
"""

from minikube_py.apiserver.admission.context import Plugin, is_about, may_for_signer, refuse, spec_of
from minikube_py.apiserver.admission.protocol import AdmissionRequest


class CertificateApproval(Plugin):
    name = "CertificateApproval"
    resources = frozenset((("certificates.k8s.io", "certificatesigningrequests"),))

    async def validate(self, request: AdmissionRequest) -> None:
        if not is_about(request, "certificates.k8s.io", "certificatesigningrequests", "approval"):
            return
        signer = spec_of(request.old or request.obj).get("signerName", "")
        if not may_for_signer(self.context, request, "approve", signer):
            raise refuse(request, f'user not permitted to approve requests with signerName "{signer}"')
