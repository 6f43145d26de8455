"""Lets only those answer a PodCertificateRequest who may sign for its signer.

In Kubernetes this is part of the kind's storage (pkg/registry/certificates/podcertificaterequest), so the refusal is a
field's, not a plugin's.
"""

import json

from minikube_py.apiserver.admission.context import Plugin, is_about, may_for_signer, object_name, spec_of
from minikube_py.apiserver.admission.protocol import AdmissionRequest
from minikube_py.objects.errors import Cause, Invalid
from minikube_py.resources.fields import is_same

_GROUP, _RESOURCE = "certificates.k8s.io", "podcertificaterequests"


class PodCertificateSigning(Plugin):
    name = "PodCertificateSigning"
    resources = frozenset(((_GROUP, _RESOURCE),))

    async def validate(self, request: AdmissionRequest) -> None:
        if request.obj is None or request.old is None or not is_about(request, _GROUP, _RESOURCE, "status"):
            return
        if is_same(request.obj.get("status"), request.old.get("status")):
            return
        signer = spec_of(request.old).get("signerName", "")
        if not may_for_signer(self.context, request, "sign", signer):
            user = json.dumps(request.user.name, ensure_ascii=False)
            why = f'Forbidden: User {user} is not permitted to "sign" for signer {json.dumps(signer)}'
            cause = Cause("FieldValueForbidden", why, "spec.signerName")
            raise Invalid.of(_GROUP, "PodCertificateRequest", object_name(request), [cause])
