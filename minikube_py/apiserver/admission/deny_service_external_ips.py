"""Refuses Services that claim further external addresses: whoever may say them takes traffic that is not theirs.

Source: the admission controllers reference page (DenyServiceExternalIPs), CVE-2020-8554.
"""

from minikube_py.apiserver.admission.context import Plugin, is_about, refuse, spec_of
from minikube_py.apiserver.admission.protocol import AdmissionRequest


class DenyServiceExternalIPs(Plugin):
    name = "DenyServiceExternalIPs"
    resources = frozenset((("", "services"),))

    async def validate(self, request: AdmissionRequest) -> None:
        if request.operation not in ("CREATE", "UPDATE") or not is_about(request, "", "services"):
            return
        claimed = set(spec_of(request.obj).get("externalIPs") or ())
        if not claimed <= set(spec_of(request.old).get("externalIPs") or ()):
            raise refuse(request, "Use of external IPs is denied by admission control")
