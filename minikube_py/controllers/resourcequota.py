"""Keeps the usage in every ResourceQuota's status equal to what its namespace holds.

Admission adds what is created at once; this controller takes away what is gone, and counts anew when a quota changes.
Source: pkg/controller/resourcequota. Kinds are watched only once a quota counts them.
"""

from collections.abc import Callable, Iterable, Sequence

from minikube_py.client.protocol import WriteOptions
from minikube_py.controllers.context import RESOURCE_QUOTAS, ControllerContext
from minikube_py.objects.errors import Object
from minikube_py.objects.meta import deep_copy, namespace
from minikube_py.reconciling.cache import Key, key_of
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import Informer, InformerEvent, InformerSet
from minikube_py.reconciling.workqueue import WorkQueue
from minikube_py.resources.kind import GVR
from minikube_py.resources.quota_usage import CLAIMS, PODS, SERVICES, Counted, counted_kinds, total_usage

_BY_NAMESPACE = "namespace"


def _in_namespace(obj: Object) -> Iterable[str]:
    return (namespace(obj),)


def _metadata_only(obj: Object) -> Object:
    """What counting needs of kinds that count as one each."""
    kept = ("name", "namespace", "uid", "resourceVersion")
    return {"metadata": {key: obj["metadata"][key] for key in kept if key in obj["metadata"]}}


class ResourceQuotaController:
    name = "resourcequota"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("resourcequota-controller")
        self._kinds = context.kinds
        self._shared = context.informers
        self._plain = InformerSet(self._client, transform=_metadata_only)
        self._quotas = context.informers.informer(RESOURCE_QUOTAS, indexers={_BY_NAMESPACE: _in_namespace})
        self._watched: dict[Counted, Informer] = {}
        self._queue: WorkQueue[Key] = WorkQueue()

    def bind(self, queue: WorkQueue[Key]) -> None:
        self._queue = queue

    def sources(self) -> Sequence[Source]:
        return (Source(self._quotas),)

    async def run(self) -> None:
        await self._plain.run()

    async def reconcile(self, key: Key) -> float | None:
        quota = self._quotas.cache.get(*key)
        if quota is None:
            return None
        hard = (quota.get("spec") or {}).get("hard") or {}
        objects: dict[Counted, list[Object]] = {}
        for counted in counted_kinds(hard):
            informer = self._watch(counted)
            if informer is not None:
                await informer.wait_synced()
                objects[counted] = informer.cache.list(key.namespace)
        used = {name: str(amount) for name, amount in total_usage(quota, objects).items()}
        status = quota.get("status") or {}
        if status.get("hard") == hard and status.get("used") == used:
            return None
        changed = {**deep_copy(quota), "status": {"hard": dict(hard), "used": used}}
        self._quotas.assume(
            await self._client.update(RESOURCE_QUOTAS, changed, options=WriteOptions(subresource="status"))
        )
        return None

    def _watch(self, counted: Counted) -> Informer | None:
        """The informer of a counted kind, None while no such kind is served."""
        found = self._watched.get(counted)
        if found is not None:
            return found
        gvr = self._gvr(counted)
        if gvr is None:
            return None
        source = self._shared if counted in (PODS, SERVICES, CLAIMS) else self._plain
        informer = self._watched[counted] = source.informer(gvr)
        informer.subscribe(self._changed(counted))
        return informer

    def _gvr(self, counted: Counted) -> GVR | None:
        group, resource = counted
        for kind in self._kinds.all():
            if (kind.group, kind.plural) == (group, resource) and kind.namespaced and "list" in kind.verbs:
                return kind.gvr
        return None

    def _changed(self, counted: Counted) -> Callable[[InformerEvent], None]:
        def changed(event: InformerEvent) -> None:
            for quota in self._quotas.cache.by_index(_BY_NAMESPACE, namespace(event.object)):
                if counted in counted_kinds((quota.get("spec") or {}).get("hard") or ()):
                    self._queue.add(key_of(quota))

        return changed
