"""Signs approved certificate requests for Kubernetes' own signers.

Source: the "Certificates and Certificate Signing Requests" page; reasons as in pkg/controller/certificates/signer.
"""

import asyncio
import base64
from collections.abc import Sequence
from typing import Protocol

from minikube_py import clock
from minikube_py.client.protocol import Client, WriteOptions
from minikube_py.controllers.context import ControllerContext
from minikube_py.controllers.csr_approving import SIGNING_REQUESTS
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.resources.certificate_requests import (
    CLIENT,
    KUBELET_CLIENT,
    KUBELET_SERVING,
    problem_of,
)

SIGNERS = (CLIENT, KUBELET_CLIENT, KUBELET_SERVING)
_MIN_SECONDS = 600


class Signer(Protocol):
    """The cluster's authorities, from ControllerOptions.signing."""

    def sign(self, request_pem: bytes, usages: Sequence[str], *, seconds: int = 0, serving: bool = False) -> bytes:
        """Raises ValueError."""
        ...


class CertificateSigning:
    name = "csr-signing"

    def __init__(self, context: ControllerContext) -> None:
        self._client: Client = context.client_for("certificate-controller")
        self._signer: Signer | None = context.options.signing
        self._requests = context.informers.informer(SIGNING_REQUESTS)

    def sources(self) -> Sequence[Source]:
        return (Source(self._requests),)

    async def reconcile(self, key: Key) -> float | None:
        found = self._requests.cache.get(*key)
        if found is None or self._signer is None or not _waits_for_signature(found):
            return None
        spec = found["spec"]
        try:
            problem = problem_of(found)
            if not problem:
                seconds = max(int(spec["expirationSeconds"]), _MIN_SECONDS) if spec.get("expirationSeconds") else 0
                certificate = await asyncio.to_thread(
                    self._signer.sign,
                    base64.b64decode(spec["request"]),
                    spec.get("usages") or [],
                    seconds=seconds,
                    serving=spec["signerName"] == KUBELET_SERVING,
                )
        except ValueError as error:
            problem = f"unable to parse csr: {error}"
        changed = deep_copy(found)
        status = changed.setdefault("status", {})
        if problem:
            status.setdefault("conditions", []).append(_failure(problem))
        else:
            status["certificate"] = base64.b64encode(certificate).decode()
        await self._client.update(SIGNING_REQUESTS, changed, options=WriteOptions(subresource="status"))
        return None


def _waits_for_signature(request: Object) -> bool:
    status = request.get("status") or {}
    types = {c.get("type") for c in status.get("conditions") or []}
    if request["spec"].get("signerName") not in SIGNERS or status.get("certificate"):
        return False
    return "Approved" in types and not types & {"Denied", "Failed"}


def _failure(message: str) -> Object:
    now = clock.rfc3339()
    return {
        "type": "Failed",
        "status": "True",
        "reason": "SignerValidationFailure",
        "message": message,
        "lastUpdateTime": now,
        "lastTransitionTime": now,
    }
