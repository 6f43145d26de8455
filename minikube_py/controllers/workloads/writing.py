"""Writes status and spec changes of objects that came from a cache, and assumes the answers into it."""

from typing import Any

from minikube_py.client.protocol import SHARED_ANSWER, Client, WriteOptions
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy
from minikube_py.reconciling.informer import Informer

_STATUS = WriteOptions(subresource="status", is_answer_shared=True)


async def write_status(client: Client, informer: Informer, obj: Object, status: Object) -> Object:
    """Replace the status if it differs; the object as it is then. Raises Conflict when obj is not the latest."""
    if (obj.get("status") or {}) == status:
        return obj
    changed = deep_copy({**obj, "status": status})
    written = await client.update(informer.gvr, changed, options=_STATUS)
    informer.assume(written)
    return written


async def write_object(client: Client, informer: Informer, obj: Object) -> Object:
    """Replace an object (a private copy). Raises Conflict when it is not the latest."""
    written = await client.update(informer.gvr, obj, options=SHARED_ANSWER)
    informer.assume(written)
    return written


def compact(status: dict[str, Any]) -> Object:
    """Without the zero values that Kubernetes' omitempty fields leave out."""
    return {name: value for name, value in status.items() if value not in (None, 0, "", [], {})}
