"""Refuses certificate requests that would make their holder a member of system:masters.

Source: the admission controllers reference page (CertificateSubjectRestriction).
"""

from minikube_py.apiserver.admission.context import Plugin, is_about, refuse, spec_of
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.resources.certificate_requests import read_request

SIGNER = "kubernetes.io/kube-apiserver-client"
GROUP = "system:masters"


class CertificateSubjectRestriction(Plugin):
    name = "CertificateSubjectRestriction"
    resources = frozenset((("certificates.k8s.io", "certificatesigningrequests"),))

    async def validate(self, request: AdmissionRequest) -> None:
        if request.operation != "CREATE" or not is_about(request, "certificates.k8s.io", "certificatesigningrequests"):
            return
        spec = spec_of(request.obj)
        if spec.get("signerName") != SIGNER:
            return
        try:
            subject = read_request(spec.get("request") or "")
        except ValueError as error:
            raise refuse(request, f"failed to parse CSR: {error}") from error
        if GROUP in subject.organizations:
            raise refuse(request, f"use of {SIGNER} signer with {GROUP} group is not allowed")
