"""Notes in a certificate request who made it; nobody can claim to be another.

In Kubernetes a part of the kind's storage: the approvers decide on these fields.
"""

from minikube_py.apiserver.admission.context import Plugin
from minikube_py.apiserver.admission.protocol import AdmissionRequest

_FIELDS = ("username", "uid", "groups", "extra")


class CertificateRequestor(Plugin):
    name = "CertificateRequestor"
    resources = frozenset((("certificates.k8s.io", "certificatesigningrequests"),))

    async def mutate(self, request: AdmissionRequest) -> None:
        info = request.info
        if (info.group, info.resource) != ("certificates.k8s.io", "certificatesigningrequests") or request.obj is None:
            return
        spec = request.obj.setdefault("spec", {})
        if request.operation == "CREATE":
            known = request.user.to_dict()
        else:
            known = (request.old or {}).get("spec") or {}
        for key in _FIELDS:
            spec.pop(key, None)
            if known.get(key):
                spec[key] = known[key]
