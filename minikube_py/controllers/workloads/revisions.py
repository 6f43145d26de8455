"""Keeps the history of a workload's pod template as ControllerRevisions (StatefulSet, DaemonSet).

Source: pkg/controller/history.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from minikube_py.client.protocol import Client, DeleteOptions, PatchType
from minikube_py.controllers.context import CONTROLLER_REVISIONS
from minikube_py.controllers.workloads.ownership import Claimer, OwnerKind
from minikube_py.controllers.workloads.pods import BY_CONTROLLER, orphans_of
from minikube_py.controllers.workloads.stored_template import stored_template
from minikube_py.controllers.workloads.template import normal, template_hash
from minikube_py.controllers.workloads.writing import write_object
from minikube_py.objects.errors import AlreadyExists, NotFound, Object
from minikube_py.objects.meta import deep_copy, labels, name, namespace, owner_reference, uid
from minikube_py.objects.selectors import LabelSelector
from minikube_py.reconciling.informer import Informer

HASH_LABEL = "controller.kubernetes.io/hash"
REVISION_LABEL = "controller-revision-hash"


def template_patch(owner: Object) -> Object:
    """What a revision stores: a patch that puts the template back."""
    return {"spec": {"template": stored_template({**owner["spec"]["template"], "$patch": "replace"})}}


def template_of(revision: Object) -> Object:
    """The pod template in a revision."""
    template: Object = deep_copy(revision["data"]["spec"]["template"])
    template.pop("$patch", None)
    return template


def same_data(one: Object, other: Object) -> bool:
    return bool(normal(one.get("data")) == normal(other.get("data")))


@dataclass(frozen=True)
class History:
    """The revisions of one kind of owner."""

    client: Client
    owners: OwnerKind
    revisions: Informer

    async def of(self, owner: Object, selector: LabelSelector) -> list[Object]:
        """The owner's revisions, oldest first; orphans that match are adopted."""
        lookup = self.revisions.cache.by_index
        candidates = lookup(BY_CONTROLLER, uid(owner)) + lookup(BY_CONTROLLER, orphans_of(namespace(owner)))
        claimed = await Claimer(self.client, self.owners, self.revisions).claim(owner, candidates, selector)
        return sorted(claimed, key=_order)

    def draft(self, owner: Object, number: int, collision_count: int | None, *, name_is_hash: bool) -> Object:
        """A revision of the owner's present template. Pods are labelled with its hash, or with its name."""
        data = template_patch(owner)
        digest = template_hash(data, collision_count)
        own = dict((owner["spec"]["template"].get("metadata") or {}).get("labels") or {})
        own[HASH_LABEL] = digest
        if not name_is_hash:
            own[REVISION_LABEL] = digest
        return {
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": {
                "name": f"{name(owner)}-{digest}",
                "namespace": namespace(owner),
                "labels": own,
                "annotations": dict(owner["metadata"].get("annotations") or {}),
                "ownerReferences": [owner_reference(owner, self.owners.gvk)],
            },
            "data": data,
            "revision": number,
        }

    async def create(self, draft: Object) -> Object | None:
        """The revision as stored (also when it was stored before); None when its name means something else."""
        try:
            made = await self.client.create(CONTROLLER_REVISIONS, draft, namespace(draft))
        except AlreadyExists:
            made = await self.client.get(CONTROLLER_REVISIONS, name(draft), namespace(draft))
            if not same_data(made, draft):
                return None
        self.revisions.assume(made)
        return made

    async def set_number(self, revision: Object, number: int) -> Object:
        if revision["revision"] == number:
            return revision
        return await write_object(self.client, self.revisions, {**deep_copy(revision), "revision": number})

    async def label(self, revision: Object, key: str, value: str) -> Object:
        patch = {"metadata": {"labels": {key: value}}}
        patched = await self.client.patch(
            CONTROLLER_REVISIONS, name(revision), patch, namespace(revision), patch_type=PatchType.MERGE
        )
        self.revisions.assume(patched)
        return patched

    async def truncate(self, revisions: Sequence[Object], live: Iterable[str], limit: int) -> None:
        """Delete the oldest revisions beyond limit that no pod needs (live: names or hashes)."""
        needed = set(live)
        unused = [r for r in revisions if name(r) not in needed and labels(r).get(REVISION_LABEL) not in needed]
        for revision in unused[: max(len(unused) - limit, 0)]:
            try:
                options = DeleteOptions(uid=uid(revision))
                await self.client.delete(CONTROLLER_REVISIONS, name(revision), namespace(revision), options=options)
            except NotFound:
                continue
            self.revisions.assume_deleting(revision)


def _order(revision: Object) -> tuple[int, str, str]:
    return revision["revision"], revision["metadata"].get("creationTimestamp", ""), name(revision)
