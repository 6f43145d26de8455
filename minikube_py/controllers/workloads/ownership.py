"""Adopts objects that match an owner's selector and have no controller, and releases those that match no more.

Source: pkg/controller/controller_ref_manager.go.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from minikube_py.client.protocol import Client, PatchType
from minikube_py.objects.errors import Invalid, NotFound, Object
from minikube_py.objects.meta import controller_of, is_deleting, key, name, namespace, owner_reference, uid
from minikube_py.objects.selectors import LabelSelector
from minikube_py.reconciling.cache import Key
from minikube_py.reconciling.controller import KeysOf
from minikube_py.reconciling.informer import DELETED, Informer, InformerEvent
from minikube_py.resources.kind import GVK, GVR


@dataclass(frozen=True)
class OwnerKind:
    """The kind of the owner, as URL and as object."""

    gvr: GVR
    gvk: GVK


@dataclass(frozen=True)
class Claimer:
    """Claims objects of one informer for one kind of owner."""

    client: Client
    owners: OwnerKind
    owned: Informer

    async def claim(self, owner: Object, candidates: Iterable[Object], selector: LabelSelector) -> list[Object]:
        """The candidates that belong to owner, after adopting and releasing what has to be."""
        claimed = []
        may_adopt: bool | None = None
        for obj in candidates:
            reference = controller_of(obj)
            matches = selector.matches(obj["metadata"].get("labels") or {})
            if reference is not None:
                if reference["uid"] != uid(owner):
                    continue
                if matches:
                    claimed.append(obj)
                elif not is_deleting(owner):
                    await self._release(owner, obj)
                continue
            if is_deleting(owner) or not matches or is_deleting(obj) or namespace(obj) != namespace(owner):
                continue
            if may_adopt is None:
                may_adopt = await self._may_adopt(owner)
            if may_adopt:
                adopted = await self._adopt(owner, obj)
                if adopted is not None:
                    claimed.append(adopted)
        return claimed

    async def _may_adopt(self, owner: Object) -> bool:
        # The cached owner may be gone already; adopting for it would leave orphans that look owned.
        fresh = await self.client.get(self.owners.gvr, name(owner), namespace(owner))
        return uid(fresh) == uid(owner) and not is_deleting(fresh)

    async def _adopt(self, owner: Object, obj: Object) -> Object | None:
        reference = owner_reference(owner, self.owners.gvk)
        patch = {"metadata": {"ownerReferences": [reference], "uid": uid(obj)}}
        return await self._patch(obj, patch)

    async def _release(self, owner: Object, obj: Object) -> None:
        patch = {"metadata": {"ownerReferences": [{"$patch": "delete", "uid": uid(owner)}], "uid": uid(obj)}}
        try:
            await self._patch(obj, patch)
        except Invalid:
            # No owner references left to remove, or another object of that name: either way nothing to release.
            return

    async def _patch(self, obj: Object, patch: Object) -> Object | None:
        try:
            patched = await self.client.patch(
                self.owned.gvr, name(obj), patch, namespace(obj), patch_type=PatchType.STRATEGIC
            )
        except NotFound:
            return None
        self.owned.assume(patched)
        return patched


def selector_of(owner: Object) -> LabelSelector:
    """The owner's spec.selector (metav1.LabelSelector)."""
    return LabelSelector.from_dict(owner["spec"].get("selector") or {})


def owners_of(owners: Informer, kind: GVK, parse: Callable[[Object], LabelSelector] = selector_of) -> KeysOf:
    """Keys for changes of owned objects: the controlling owner, or for an orphan every owner that might adopt it."""

    def keys(event: InformerEvent) -> Iterable[Key]:
        found: set[Key] = set()
        reference = controller_of(event.object)
        previous = controller_of(event.previous) if event.previous is not None else None
        for ref in (reference, previous):
            if ref is not None and ref["kind"] == kind.kind and ref["apiVersion"].rpartition("/")[0] == kind.group:
                found.add(Key(namespace(event.object), ref["name"]))
        if reference is None and event.type != DELETED and not is_deleting(event.object):
            labels = event.object["metadata"].get("labels") or {}
            for owner in owners.cache.list(namespace(event.object)) if labels else ():
                selector = parse(owner)
                if not selector.is_empty and selector.matches(labels):
                    found.add(key(owner))
        return found

    return keys
