"""Removes certificate requests that are decided, forgotten, or whose certificate has run out.

Source: pkg/controller/certificates/cleaner (the times).
"""

import base64
from datetime import datetime, timedelta

from minikube_py import clock
from minikube_py.controllers.csr_approving import SIGNING_REQUESTS
from minikube_py.controllers.expiry import Expiry
from minikube_py.objects.errors import Object

DECIDED_KEPT = timedelta(hours=1)
PENDING_KEPT = timedelta(hours=24)


class CertificateRequestCleaner(Expiry):
    name = "csr-cleaner"
    user = "certificate-controller"
    resource = SIGNING_REQUESTS

    def end_of(self, obj: Object) -> datetime:
        return _end_of(obj)


def _end_of(request: Object) -> datetime:
    status = request.get("status") or {}
    ends = [clock.parse(request["metadata"]["creationTimestamp"]) + PENDING_KEPT] if not status else []
    for condition in status.get("conditions") or []:
        moment = condition.get("lastUpdateTime") or request["metadata"]["creationTimestamp"]
        is_issued = condition.get("type") == "Approved"
        # An approval that no signer has acted on is a pending request still.
        kept = DECIDED_KEPT if status.get("certificate") or not is_issued else PENDING_KEPT
        ends.append(clock.parse(moment) + kept)
    if status.get("certificate"):
        ends.append(_expiry(status["certificate"]))
    return min(ends, default=clock.parse(request["metadata"]["creationTimestamp"]) + PENDING_KEPT)


def _expiry(certificate: str) -> datetime:
    from cryptography import x509  # noqa: PLC0415  (loaded with the first certificate)

    try:
        return x509.load_pem_x509_certificate(base64.b64decode(certificate)).not_valid_after_utc
    except ValueError:
        return clock.now() + PENDING_KEPT
