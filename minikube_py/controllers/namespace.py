"""Empties a namespace that is being deleted, pods first, and then lets it go.

Source: pkg/controller/namespace/deletion/namespaced_resources_deleter.go (with ordered deletion, KEP-5080).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from minikube_py.client.protocol import DeleteOptions, Selection, WriteOptions
from minikube_py.controllers.context import NAMESPACES, PODS, ControllerContext
from minikube_py.controllers.workloads.writing import write_status
from minikube_py.objects.conditions import set_condition
from minikube_py.objects.errors import ApiError, Conflict, MethodNotAllowed, NotFound, Object, UnknownPath
from minikube_py.objects.meta import deep_copy, finalizers, is_deleting, name, namespace
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import Source
from minikube_py.reconciling.informer import DELETED, InformerEvent
from minikube_py.resources.kind import ResourceKind

FINALIZER = "kubernetes"
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 15.0


@dataclass
class _Remaining:
    """What is still there, in the words of the conditions."""

    resources: dict[str, int] = field(default_factory=dict)
    finalizers: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not self.resources and not self.errors


class NamespaceController:
    name = "namespace"

    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client_for("namespace-controller")
        self._kinds = context.kinds
        self._namespaces = context.informers.informer(NAMESPACES)
        self._pods = context.informers.informer(PODS)
        self._waits: dict[str, float] = {}

    def sources(self) -> Sequence[Source]:
        return Source(self._namespaces), Source(self._pods, self._terminating)

    def _terminating(self, event: InformerEvent) -> Iterable[Key]:
        """The namespace of a pod that is gone, when it waits for that."""
        if event.type == DELETED:
            owner = self._namespaces.cache.get("", namespace(event.object))
            if owner is not None and is_deleting(owner):
                yield Key("", name(owner))

    async def reconcile(self, key: Key) -> float | None:
        found = self._namespaces.cache.get(*key)
        if found is None or not is_deleting(found) or FINALIZER not in (found["spec"].get("finalizers") or ()):
            self._waits.pop(key.name, None)
            return None
        remaining = await self._delete_content(key.name)
        status = _status(found, remaining)
        try:
            found = await write_status(self._client, self._namespaces, found, status)
        except NotFound:
            return None
        if remaining.is_empty:
            await self._finalize(found)
            self._waits.pop(key.name, None)
            return None
        wait = self._waits.get(key.name, _FIRST_WAIT_SECONDS)
        self._waits[key.name] = min(wait * 2, _LONGEST_WAIT_SECONDS)
        return wait

    async def _delete_content(self, owner: str) -> _Remaining:
        remaining = _Remaining()
        kinds = {kind.store_resource: kind for kind in reversed(list(self._kinds.all())) if _is_content(kind)}
        pods = kinds.pop(f"{PODS.group}/{PODS.resource}", None)
        if pods is not None:
            await self._delete_kind(pods, owner, remaining)
            if remaining.resources:
                # Everything else has to stay for the pods that are still running.
                return remaining
        for kind in kinds.values():
            await self._delete_kind(kind, owner, remaining)
        return remaining

    async def _delete_kind(self, kind: ResourceKind, owner: str, remaining: _Remaining) -> None:
        selection = Selection(namespace=owner)
        try:
            items = (await self._client.list(kind.gvr, selection)).items
            if not items:
                return
            if "deletecollection" in kind.verbs:
                options = DeleteOptions(propagation="Background")
                await self._client.delete_collection(kind.gvr, selection, options=options)
            else:
                for item in items:
                    await self._delete_one(kind, item)
            items = (await self._client.list(kind.gvr, selection)).items
        except (UnknownPath, MethodNotAllowed):
            return
        except ApiError as error:
            remaining.errors.append(str(error))
            return
        if items:
            remaining.resources[f"{kind.plural}.{kind.group}"] = len(items)
        for item in items:
            for finalizer in finalizers(item):
                remaining.finalizers[finalizer] = remaining.finalizers.get(finalizer, 0) + 1

    async def _delete_one(self, kind: ResourceKind, item: Object) -> None:
        try:
            options = DeleteOptions(propagation="Background")
            await self._client.delete(kind.gvr, name(item), namespace(item), options=options)
        except (NotFound, Conflict):
            return

    async def _finalize(self, found: Object) -> None:
        changed = deep_copy(found)
        changed["spec"]["finalizers"] = [one for one in changed["spec"].get("finalizers") or () if one != FINALIZER]
        try:
            await self._client.update(NAMESPACES, changed, options=WriteOptions(subresource="finalize"))
        except NotFound:
            return


def _is_content(kind: ResourceKind) -> bool:
    return kind.namespaced and {"list", "delete"} <= set(kind.verbs)


def _status(found: Object, remaining: _Remaining) -> Object:
    status = deep_copy(found.get("status") or {})
    status["phase"] = "Terminating"
    conditions = status.setdefault("conditions", [])
    for type_, bad, good in _findings(remaining):
        reason, message = bad or good
        set_condition(
            conditions,
            {"type": type_, "status": "True" if bad else "False", "reason": reason, "message": message},
        )
    return status


_Finding = tuple[str, tuple[str, str] | None, tuple[str, str]]


def _findings(remaining: _Remaining) -> Iterable[_Finding]:
    yield (
        "NamespaceDeletionDiscoveryFailure",
        None,
        ("ResourcesDiscovered", "All resources successfully discovered"),
    )
    yield (
        "NamespaceDeletionGroupVersionParsingFailure",
        None,
        ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
    )
    failed = None
    if remaining.errors:
        count = len(remaining.errors)
        texts = ", ".join(remaining.errors)
        failed = ("ContentDeletionFailed", f"Failed to delete all resource types, {count} remaining: {texts}")
    yield (
        "NamespaceDeletionContentFailure",
        failed,
        ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
    )
    kept = None
    if remaining.resources:
        texts = ", ".join(
            f"{what} has {count} resource instances" for what, count in sorted(remaining.resources.items())
        )
        kept = ("SomeResourcesRemain", f"Some resources are remaining: {texts}")
    yield "NamespaceContentRemaining", kept, ("ContentRemoved", "All content successfully removed")
    held = None
    if remaining.finalizers:
        texts = ", ".join(
            f"{what} in {count} resource instances" for what, count in sorted(remaining.finalizers.items())
        )
        held = ("SomeFinalizersRemain", f"Some content in the namespace has finalizers remaining: {texts}")
    yield "NamespaceFinalizersRemaining", held, ("ContentHasNoFinalizers", "All content-preserving finalizers finished")
