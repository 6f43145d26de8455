"""Keeps metadata.managedFields on ordinary writes: who last set which field.

`update_managed_fields(live, new, node, operation)` is called once for every create, update and patch but apply, on the
object as it will be stored. Server-side apply is in apply.py. Entries are handled in their wire form.
Source: apimachinery pkg/util/managedfields/internal (managedfieldsupdater, capmanagers, stripmeta, skipnonapplied).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from minikube_py import clock
from minikube_py.objects import field_set
from minikube_py.objects.errors import Object
from minikube_py.objects.field_set import LEAF, FieldSet
from minikube_py.objects.json_pieces import IN_PIECES, free
from minikube_py.objects.schema_node import SchemaNode

MAX_UPDATE_MANAGERS = 10
_ANCIENT = "ancient-changes"
_MAX_AGENT_CHARACTERS = 1024
_MAX_MANAGER_BYTES = 128

# Set by the server or part of the object's identity: nobody owns these.
NEVER_OWNED: FieldSet = {
    "f:apiVersion": LEAF,
    "f:kind": LEAF,
    "f:metadata": {
        ".": LEAF,
        "f:name": LEAF,
        "f:namespace": LEAF,
        "f:creationTimestamp": LEAF,
        "f:selfLink": LEAF,
        "f:uid": LEAF,
        "f:clusterName": LEAF,
        "f:generation": LEAF,
        "f:managedFields": LEAF,
        "f:resourceVersion": LEAF,
    },
}


@dataclass(frozen=True)
class Operation:
    """Who writes, and through what.

    manager      the fieldManager of the request, or `manager_of(...)`.
    api_version  of the request's URL, as in an object (`apps/v1`).
    subresource  "" for the object itself, else "status", "scale", ...
    reset_fields what this endpoint resets anyway (`field_set.from_paths("status")` for the object itself): not tracked.
    time         metav1.Time text; now when left out.
    """

    manager: str
    api_version: str
    subresource: str = ""
    reset_fields: FieldSet | None = None
    time: str = ""

    def moment(self) -> str:
        return self.time or clock.rfc3339()


class Identity(NamedTuple):
    """What makes two entries the same manager's. An Apply entry is the same in every API version."""

    manager: str
    operation: str
    api_version: str
    subresource: str


def manager_of(field_manager: str, user_agent: str) -> str:
    """The manager's name: the request's fieldManager, else the user agent up to the first slash."""
    if field_manager:
        return field_manager
    return _manager_of_agent(user_agent[:_MAX_AGENT_CHARACTERS])


@lru_cache(maxsize=1024)
def _manager_of_agent(user_agent: str) -> str:
    prefix = user_agent.partition("/")[0]
    printable = "".join(c for c in prefix if c.isprintable())
    return printable.encode()[:_MAX_MANAGER_BYTES].decode(errors="ignore")


def identity(entry: Object) -> Identity:
    operation = entry.get("operation") or ""
    version = "" if operation == "Apply" else entry.get("apiVersion") or ""
    return Identity(entry.get("manager") or "", operation, version, entry.get("subresource") or "")


def make_entry(operation: Operation, kind: str, fields: FieldSet) -> Object:
    """A new entry; `kind` is Update or Apply."""
    entry: Object = {
        "manager": operation.manager or "unknown",
        "operation": kind,
        "apiVersion": operation.api_version,
        "time": operation.moment(),
        "fieldsType": "FieldsV1",
        "fieldsV1": field_set.ordered(fields),
    }
    if operation.subresource:
        entry["subresource"] = operation.subresource
    return entry


def with_fields(entry: Object, fields: FieldSet) -> Object:
    """The entry with another set; the entry itself when the set is its own."""
    return entry if fields is entry.get("fieldsV1") else {**entry, "fieldsV1": fields}


def sort_entries(entries: Iterable[Object]) -> list[Object]:
    """Kubernetes' order: Apply before Update, then by time, manager, version, subresource."""
    return sorted(
        entries,
        key=lambda e: (
            e.get("operation") or "",
            e.get("time") or "",
            e.get("manager") or "",
            e.get("apiVersion") or "",
            e.get("subresource") or "",
        ),
    )


def entries_of(obj: Object | None) -> list[Object]:
    metadata = (obj or {}).get("metadata") or {}
    return list(metadata.get("managedFields") or ())


def has_same_managers(left: Sequence[Object] | None, right: Sequence[Object] | None) -> bool:
    """Whether two lists of entries say the same but for times."""

    def timeless(entries: Sequence[Object] | None) -> dict[Identity, Object]:
        return {identity(e): {k: v for k, v in e.items() if k != "time"} for e in entries or ()}

    return len(left or ()) == len(right or ()) and timeless(left) == timeless(right)


def set_entries(obj: Object, entries: Sequence[Object]) -> None:
    metadata = obj.setdefault("metadata", {})
    if entries:
        metadata["managedFields"] = list(entries)
    else:
        metadata.pop("managedFields", None)


# --- ordinary writes -------------------------------------------------------------------------------------------------


def update_managed_fields(
    live: Object | None, new: Object, node: SchemaNode, operation: Operation, blank: Object | None = None
) -> None:
    """Set `new.metadata.managedFields`, in place, for a create (live is None), an update or a patch.

    Call it on the object as the client wants it, defaults included: what the server adds later is nobody's. Entries
    that the client sent count on the object itself (so `kubectl` migrates them; `[]` or `[{}]` resets), and are
    ignored on a subresource. Sets are shared with `live`. blank: what a new object is compared with, {} if left out.
    """
    sent = (new.get("metadata") or {}).get("managedFields")
    entries = _entries_to_start_from(live, sent, operation)
    if live is not None and not entries:
        set_entries(new, [])
        return
    try:
        changed, removed = _differences(live if live is not None else blank, new, node, operation)
    except field_set.Unkeyed:
        set_entries(new, entries)
        return
    if changed or removed:
        entries = _account(entries, changed, removed, operation)
    set_entries(new, entries)
    if IN_PIECES.get():
        left_over = [changed, removed]
        del changed, removed
        free(left_over)


def _entries_to_start_from(live: Object | None, sent: Any, operation: Operation) -> list[Object]:
    stored = entries_of(live)
    if operation.subresource or sent is None or sent == stored:
        return stored
    if sent == [] or sent == [{}]:
        return []
    try:
        return decode_entries(sent) or stored
    except ValueError:
        return stored


def decode_entries(entries: Any) -> list[Object]:
    """Entries from a client, checked, and their sets brought into normal form. ValueError with Kubernetes' text."""
    if not isinstance(entries, list):
        raise ValueError("managedFields is not a list")
    decoded: dict[Identity, Object] = {}
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict) or entry.get("operation") not in ("Apply", "Update"):
            raise ValueError("operation must be `Apply` or `Update`")
        if not entry.get("apiVersion"):
            raise ValueError("apiVersion must not be empty")
        if not entry.get("fieldsType"):
            raise ValueError(f"missing fieldsType in managed fields entry {index}")
        if entry["fieldsType"] != "FieldsV1":
            raise ValueError(f'invalid fieldsType "{entry["fieldsType"]}" in managed fields entry {index}')
        fields = field_set.ordered(field_set.parse(entry.get("fieldsV1") or {}))
        decoded[identity(entry)] = {**entry, "fieldsV1": fields}
    return sort_entries(decoded.values())


def _differences(live: Object | None, new: Object, node: SchemaNode, operation: Operation) -> tuple[FieldSet, FieldSet]:
    """What the write added or modified, and what it removed, without the parts that nobody owns."""
    changed, removed = tracked_diff(live or {}, new, node)
    if operation.reset_fields:
        changed = field_set.recursive_difference(changed, operation.reset_fields)
        removed = field_set.recursive_difference(removed, operation.reset_fields)
    return changed, removed


def tracked_diff(live: Object, new: Object, node: SchemaNode) -> tuple[FieldSet, FieldSet]:
    """`field_set.diff` of two objects but for managedFields and the other fields that nobody owns."""
    changed, removed = field_set.diff(_without_managed_fields(live), _without_managed_fields(new), node)
    return field_set.difference(changed, NEVER_OWNED), field_set.difference(removed, NEVER_OWNED)


def _without_managed_fields(obj: Object) -> Object:
    metadata = obj.get("metadata")
    if not metadata or "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {k: v for k, v in metadata.items() if k != "managedFields"}}


def _account(entries: list[Object], changed: FieldSet, removed: FieldSet, operation: Operation) -> list[Object]:
    """Take what changed from everybody and give it to the writer; nobody keeps what was removed."""
    writer = Identity(operation.manager or "unknown", "Update", operation.api_version, operation.subresource)
    kept: list[Object] = []
    own: FieldSet = {}
    previous: Object | None = None
    for entry in entries:
        fields = field_set.difference(entry.get("fieldsV1") or {}, changed)
        fields = field_set.difference(fields, removed)
        if identity(entry) == writer:
            own, previous = fields, entry
        elif fields:
            kept.append(with_fields(entry, fields))
    if changed:
        kept.append(make_entry(operation, "Update", field_set.union(own, changed)))
    elif own and previous is not None:
        kept.append(with_fields(previous, own))
    return sort_entries(_cap(kept))


def _cap(entries: list[Object]) -> list[Object]:
    """Merge the oldest Update entries of each API version into one, as long as there are too many."""
    updates = [e for e in entries if e.get("operation") == "Update"]
    if len(updates) <= MAX_UPDATE_MANAGERS:
        return entries
    kept = {identity(e): e for e in entries}
    first: dict[str, Identity] = {}
    count = len(updates)
    for entry in sorted(updates, key=lambda e: (e.get("time") or "", identity(e))):
        if count <= MAX_UPDATE_MANAGERS:
            break
        version, who = entry.get("apiVersion") or "", identity(entry)
        bucket = Identity(_ANCIENT, "Update", version, "")
        if version not in first:
            first[version] = who
            continue
        if bucket not in kept:
            kept[bucket] = kept.pop(first[version])
        merged = field_set.union(entry["fieldsV1"], kept[bucket]["fieldsV1"])
        kept.pop(who, None)
        kept[bucket] = {
            "manager": _ANCIENT,
            "operation": "Update",
            "apiVersion": version,
            "time": entry.get("time"),
            "fieldsType": "FieldsV1",
            "fieldsV1": field_set.ordered(merged),
        }
        count -= 1
    return list(kept.values())
