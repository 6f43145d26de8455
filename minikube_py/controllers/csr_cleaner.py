"""Removes certificate requests that are decided, forgotten, or whose certificate has run out.

Source: pkg/controller/certificates/cleaner (the times).
"""

import base64
from collections.abc import Sequence
from datetime import datetime, timedelta

from minikube_py import clock
from minikube_py.client.protocol import Client, DeleteOptions
from minikube_py.controllers.context import ControllerContext
from minikube_py.controllers.csr_approving import SIGNING_REQUESTS
from minikube_py.objects.errors import NotFound, Object
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source

DECIDED_KEPT = timedelta(hours=1)
PENDING_KEPT = timedelta(hours=24)


class CertificateRequestCleaner:
    name = "csr-cleaner"

    def __init__(self, context: ControllerContext) -> None:
        self._client: Client = context.client_for("certificate-controller")
        self._requests = context.informers.informer(SIGNING_REQUESTS)

    def sources(self) -> Sequence[Source]:
        return (Source(self._requests),)

    async def reconcile(self, key: Key) -> float | None:
        found = self._requests.cache.get(*key)
        if found is None:
            return None
        left = (_end_of(found) - clock.now()).total_seconds()
        if left > 0:
            return left
        try:
            options = DeleteOptions(uid=found["metadata"]["uid"])
            await self._client.delete(SIGNING_REQUESTS, key.name, options=options)
        except NotFound:
            return None
        return None


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
