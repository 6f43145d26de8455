"""Deletes finished Jobs once their ttlSecondsAfterFinished is over.

Source: pkg/controller/ttlafterfinished.
"""

from collections.abc import Sequence

from minikube_py import clock
from minikube_py.client.protocol import DeleteOptions
from minikube_py.controllers.context import JOBS, ControllerContext
from minikube_py.objects.errors import NotFound, Object
from minikube_py.objects.meta import is_deleting, uid
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source


class TtlAfterFinishedController:
    name = "ttlafterfinished"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("ttl-after-finished-controller")
        self._jobs = context.informers.informer(JOBS)

    def sources(self) -> Sequence[Source]:
        return (Source(self._jobs),)

    async def reconcile(self, key: Key) -> float | None:
        job = self._jobs.cache.get(*key)
        if job is None or is_deleting(job):
            return None
        left = _seconds_left(job)
        if left is None or left > 0:
            return left
        # The cached Job may be old: the ttl can have been raised meanwhile.
        fresh = await self._client.get(JOBS, key.name, key.namespace)
        left = _seconds_left(fresh)
        if uid(fresh) != uid(job) or left is None or left > 0:
            return left
        options = DeleteOptions(
            propagation="Foreground", uid=uid(fresh), resource_version=fresh["metadata"]["resourceVersion"]
        )
        try:
            await self._client.delete(JOBS, key.name, key.namespace, options=options)
        except NotFound:
            return None
        return None


def _seconds_left(job: Object) -> float | None:
    ttl = job["spec"].get("ttlSecondsAfterFinished")
    if ttl is None:
        return None
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            finished = clock.parse(condition["lastTransitionTime"]).timestamp()
            return float(finished + ttl - clock.seconds())
    return None
