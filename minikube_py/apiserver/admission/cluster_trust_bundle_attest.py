"""Lets only those publish a signer's trust bundle who may attest for it.

Source: KEP-3257; texts as in plugin/pkg/admission/certificates/ctbattest.
"""

from minikube_py.apiserver.admission.context import Plugin, is_about, may_for_signer, refuse, spec_of
from minikube_py.apiserver.admission.protocol import AdmissionRequest


class ClusterTrustBundleAttest(Plugin):
    name = "ClusterTrustBundleAttest"
    resources = frozenset((("certificates.k8s.io", "clustertrustbundles"),))

    async def validate(self, request: AdmissionRequest) -> None:
        if request.operation not in ("CREATE", "UPDATE"):
            return
        if not is_about(request, "certificates.k8s.io", "clustertrustbundles"):
            return
        new, old = spec_of(request.obj), spec_of(request.old)
        if request.operation == "UPDATE" and new == old:
            return
        signer = new.get("signerName", "")
        if signer and not may_for_signer(self.context, request, "attest", signer):
            raise refuse(request, f'user not permitted to attest for signerName "{signer}"')
