"""Holds who owns whom, by UID, over all kinds; no I/O.

An owner may be missing (not seen yet, or gone): its dependents are known under its UID all the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from minikube_py.objects.errors import Object
from minikube_py.resources.kind import ResourceKind

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@dataclass(frozen=True)
class Node:
    """One object, as far as garbage collection is concerned."""

    uid: str
    kind: ResourceKind
    namespace: str
    name: str
    owners: tuple[Object, ...]
    finalizers: tuple[str, ...]
    is_deleting: bool

    @property
    def deletes_dependents(self) -> bool:
        """In foreground deletion: waits for its dependents to go."""
        return self.is_deleting and FOREGROUND in self.finalizers

    @property
    def orphans_dependents(self) -> bool:
        return self.is_deleting and ORPHAN in self.finalizers

    def blocks(self, owner_uid: str) -> bool:
        """Whether the owner's foreground deletion has to wait for this object."""
        return any(ref["uid"] == owner_uid and ref.get("blockOwnerDeletion") for ref in self.owners)


def node_of(kind: ResourceKind, obj: Object) -> Node:
    metadata = obj["metadata"]
    return Node(
        uid=metadata["uid"],
        kind=kind,
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        owners=tuple(metadata.get("ownerReferences") or ()),
        finalizers=tuple(metadata.get("finalizers") or ()),
        is_deleting=bool(metadata.get("deletionTimestamp")),
    )


class Graph:
    """put and remove answer with the UIDs that have to be looked at because of the change."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._dependents: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, uid: str) -> Node | None:
        return self._nodes.get(uid)

    def dependents(self, uid: str) -> list[Node]:
        return [node for one in self._dependents.get(uid, ()) if (node := self._nodes.get(one)) is not None]

    def blocking(self, uid: str) -> list[Node]:
        return [node for node in self.dependents(uid) if node.blocks(uid)]

    def put(self, node: Node) -> set[str]:
        before = self._nodes.get(node.uid)
        self._nodes[node.uid] = node
        owners = {ref["uid"] for ref in node.owners}
        owners_before = {ref["uid"] for ref in before.owners} if before is not None else set()
        for uid in owners_before - owners:
            self._drop_edge(uid, node.uid)
        for uid in owners:
            self._dependents.setdefault(uid, set()).add(node.uid)
        concerned: set[str] = set()
        if any(self._looks_wrong(node, ref) for ref in node.owners):
            concerned.add(node.uid)
        if owners != owners_before and before is not None:
            concerned.add(node.uid)
        if before is not None:
            # Who was blocked by this object may go on.
            concerned |= {uid for uid in owners_before if before.blocks(uid) and not node.blocks(uid)}
        if node.orphans_dependents:
            concerned.add(node.uid)
        if node.deletes_dependents and not (before is not None and before.deletes_dependents):
            concerned.add(node.uid)
            concerned |= {dependent.uid for dependent in self.dependents(node.uid)}
        concerned |= {uid for uid in owners if (owner := self._nodes.get(uid)) is not None and owner.deletes_dependents}
        return concerned

    def remove(self, uid: str) -> set[str]:
        node = self._nodes.pop(uid, None)
        concerned = set(self._dependents.get(uid, ()))
        if node is not None:
            for ref in node.owners:
                self._drop_edge(ref["uid"], uid)
                owner = self._nodes.get(ref["uid"])
                if owner is not None and owner.deletes_dependents:
                    concerned.add(owner.uid)
        return concerned

    def knows_owner(self, node: Node, ref: Object) -> Node | None:
        """The owner that a reference means, if it is in the graph exactly as the reference says."""
        owner = self._nodes.get(ref["uid"])
        if owner is None or owner.name != ref["name"] or owner.kind.kind != ref["kind"]:
            return None
        if owner.kind.group != ref["apiVersion"].rpartition("/")[0]:
            return None
        if owner.kind.namespaced and owner.namespace != node.namespace:
            return None
        return owner

    def _looks_wrong(self, node: Node, ref: Object) -> bool:
        owner = self.knows_owner(node, ref)
        return owner is None or owner.deletes_dependents

    def _drop_edge(self, owner_uid: str, uid: str) -> None:
        edges = self._dependents.get(owner_uid)
        if edges is not None:
            edges.discard(uid)
            if not edges:
                del self._dependents[owner_uid]


def uids(references: Iterable[Object]) -> set[str]:
    return {ref["uid"] for ref in references}
