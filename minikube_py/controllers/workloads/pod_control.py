"""Creates pods from a template and deletes them on behalf of an owner, with the owner's events."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from minikube_py.client.protocol import SHARED_ANSWER, Client, DeleteOptions
from minikube_py.controllers.context import PODS
from minikube_py.objects.errors import ApiError, NotFound, Object, is_namespace_terminating
from minikube_py.objects.meta import deep_copy, name, namespace, owner_reference, uid
from minikube_py.reconciling.informer import Informer
from minikube_py.reconciling.recorder import NORMAL, WARNING, EventRecorder
from minikube_py.resources.kind import GVK

_LONGEST_PREFIX = 253 - 5


def pod_from_template(template: Object, owner: Object, kind: GVK) -> Object:
    """A pod as the owner's template wants it, without a name."""
    metadata = template.get("metadata") or {}
    made: Object = {
        "labels": dict(metadata.get("labels") or {}),
        "annotations": dict(metadata.get("annotations") or {}),
        "generateName": _prefix(name(owner)),
        "namespace": namespace(owner),
        "ownerReferences": [owner_reference(owner, kind)],
    }
    if metadata.get("finalizers"):
        made["finalizers"] = list(metadata["finalizers"])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": made, "spec": deep_copy(template["spec"])}


def _prefix(owner_name: str) -> str:
    return f"{owner_name}-" if len(owner_name) < _LONGEST_PREFIX else owner_name


@dataclass(frozen=True)
class PodControl:
    """Writes pods and tells the cache of its own writes, so that the next reconcile counts them."""

    client: Client
    pods: Informer
    recorder: EventRecorder

    async def create(self, pod: Object, owner: Object) -> Object:
        """Raises ApiError; records FailedCreate unless the namespace is being deleted."""
        try:
            made = await self.client.create(PODS, pod, namespace(owner), options=SHARED_ANSWER)
        except ApiError as error:
            if not is_namespace_terminating(error):
                self.recorder.event(owner, WARNING, "FailedCreate", f"Error creating: {error}")
            raise
        self.pods.assume(made)
        self.recorder.event(owner, NORMAL, "SuccessfulCreate", f"Created pod: {name(made)}")
        return made

    async def delete(self, pod: Object, owner: Object, *, grace_seconds: int | None = None) -> None:
        """Raises ApiError and records FailedDelete; a pod that is gone already is fine."""
        options = DeleteOptions(grace_seconds=grace_seconds, uid=uid(pod))
        try:
            await self.client.delete(PODS, name(pod), namespace(pod), options=options)
        except NotFound:
            return
        except ApiError as error:
            self.recorder.event(owner, WARNING, "FailedDelete", f"Error deleting: {error}")
            raise
        self.pods.assume_deleting(pod)
        self.recorder.event(owner, NORMAL, "SuccessfulDelete", f"Deleted pod: {name(pod)}")

    async def delete_all(self, pods: Sequence[Object], owner: Object) -> None:
        """Delete the pods at the same time; the first error is raised after all have ended."""
        results = await asyncio.gather(*(self.delete(pod, owner) for pod in pods), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result


async def in_growing_batches(count: int, act: Callable[[int], Awaitable[object]]) -> int:
    """Call act(0..count-1) in batches of 1, 2, 4, ...; how many succeeded, when a batch fails its error is raised.

    Source: pkg/controller slowStartBatch: a quota or admission refusal costs one call, not thousands.
    """
    done, size = 0, 1
    while done < count:
        batch = range(done, min(done + size, count))
        results = await asyncio.gather(*(act(number) for number in batch), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        done += len(batch)
        size *= 2
    return done
