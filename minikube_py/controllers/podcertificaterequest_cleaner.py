"""Removes requests for pod certificates a while after they were made, answered or not.

Source: KEP-4317; pkg/controller/certificates/cleaner (the time).
"""

from collections.abc import Sequence
from datetime import timedelta

from minikube_py import clock
from minikube_py.client.protocol import Client, DeleteOptions
from minikube_py.controllers.context import ControllerContext
from minikube_py.objects.errors import Conflict, NotFound
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.resources.kind import GVR

REQUESTS = GVR("certificates.k8s.io", "v1", "podcertificaterequests")
KEPT = timedelta(minutes=15)


class PodCertificateRequestCleaner:
    name = "podcertificaterequest-cleaner"

    def __init__(self, context: ControllerContext) -> None:
        self._client: Client = context.client_for("podcertificaterequestcleaner")
        self._requests = context.informers.informer(REQUESTS)

    def sources(self) -> Sequence[Source]:
        return (Source(self._requests),)

    async def reconcile(self, key: Key) -> float | None:
        found = self._requests.cache.get(*key)
        if found is None:
            return None
        meta = found["metadata"]
        left = (clock.parse(meta["creationTimestamp"]) + KEPT - clock.now()).total_seconds()
        if left > 0:
            return left
        try:
            await self._client.delete(REQUESTS, key.name, key.namespace, options=DeleteOptions(uid=meta["uid"]))
        except (NotFound, Conflict):
            pass  # gone already, or another one of the same name
        return None
