"""Server-side apply: merges an applied configuration into an object, by schema, with owners and conflicts.

`apply_patch(live, applied, node, operation, force=...)` gives the new object with its managedFields. Ordinary writes
are in managed_fields.py; the names that callers need are exported here too. Null scalars in a configuration stay null.
Sources: structured-merge-diff merge/update.go, typed/merge.go, typed/remove.go; apimachinery pkg/util/managedfields.
"""

import orjson

from minikube_py.objects import apply_merge, field_set, go_text, managed_fields
from minikube_py.objects.errors import ApiError, ApplyConflict, BadRequest, Cause, Object
from minikube_py.objects.field_set import FieldSet, from_paths
from minikube_py.objects.managed_fields import Identity, Operation, manager_of, update_managed_fields
from minikube_py.objects.meta import deep_copy
from minikube_py.objects.schema_node import SchemaNode

__all__ = ["LAST_APPLIED", "Operation", "apply_patch", "from_paths", "manager_of", "update_managed_fields"]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_ANNOTATIONS_LIMIT_BYTES = 256 * 1024
_BEFORE_FIRST = "before-first-apply"

_Conflicts = list[tuple[Identity, FieldSet]]


class _Conflicted(Exception):
    def __init__(self, conflicts: _Conflicts) -> None:
        super().__init__()
        self.conflicts = conflicts


def apply_patch(
    live: Object | None, applied: Object, node: SchemaNode, operation: Operation, *, force: bool = False
) -> Object:
    """The object after the apply; `live` is None when it doesn't exist yet. Inputs are left as they are.

    When nothing changes the result equals `live`, its managedFields and their times included. The caller defaults,
    validates and stores the result. Raises ApplyConflict; BadRequest for another version or for managedFields in the
    configuration; a 500 with Kubernetes' text where the configuration doesn't fit the schema.
    """
    _check_configuration(applied, node, operation)
    current: Object = deep_copy(live) if live is not None else {}
    entries = {managed_fields.identity(e): e for e in managed_fields.entries_of(live)}
    if "metadata" in current:
        managed_fields.set_entries(current, [])
    if live is not None and not entries:
        entries = _owned_before_first(current, node, operation)
    before = dict(entries)
    try:
        result = _apply(current, applied, node, entries, (operation, force))
    except _Conflicted as conflicted:
        remaining = _conflicts_beyond_last_applied(current, node, operation, conflicted.conflicts)
        if remaining:
            raise _conflict_error(remaining) from None
        entries = before
        result = _apply(current, applied, node, entries, (operation, True))
    if operation.manager == "kubectl" and ((result.get("metadata") or {}).get("annotations") or {}).get(LAST_APPLIED):
        _update_last_applied(result, applied)
    _finish(result, live, entries, operation)
    return result


def _check_configuration(applied: Object, node: SchemaNode, operation: Operation) -> None:
    version = applied.get("apiVersion") or ""
    if version != operation.api_version:
        raise BadRequest(
            "Incorrect version specified in apply patch. Specified patch version:"
            f" {version}, expected: {operation.api_version}"
        )
    metadata = applied.get("metadata") or {}
    if metadata.get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")
    problems = apply_merge.problems(applied, node)
    if problems:
        where = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}; {_gvk(applied)}"
        text = problems[0] if len(problems) == 1 else "\n  ".join(["errors:", *problems])
        raise ApiError(f"failed to create typed patch object ({where}): {text}", reason="", code=400)


def _gvk(obj: Object) -> str:
    version = obj.get("apiVersion") or ""
    return f"{version if '/' in version else '/' + version}, Kind={obj.get('kind') or ''}"


def _owned_before_first(live: Object, node: SchemaNode, operation: Operation) -> dict[Identity, Object]:
    """An object that nobody tracked: all of it belongs to a manager of its own, so that applying can conflict."""
    try:
        fields, _ = managed_fields.tracked_diff({}, live, node)
    except field_set.Unkeyed:
        return {}
    if operation.reset_fields:
        fields = field_set.recursive_difference(fields, operation.reset_fields)
    if not fields:
        return {}
    first = Operation(_BEFORE_FIRST, operation.api_version, operation.subresource, time=operation.time)
    entry = managed_fields.make_entry(first, "Update", fields)
    return {managed_fields.identity(entry): entry}


def _apply(
    live: Object, applied: Object, node: SchemaNode, entries: dict[Identity, Object], how: tuple[Operation, bool]
) -> Object:
    """Merge, drop what the manager gave up, and settle ownership in `entries`. Raises _Conflicted."""
    operation, force = how
    own = Identity(operation.manager or "unknown", "Apply", "", operation.subresource)
    reset = operation.reset_fields or {}
    merged: Object = apply_merge.merge(live, applied, node)
    claimed = field_set.recursive_difference(field_set.field_set(applied, node), reset)
    previous = entries.get(own)
    last: FieldSet = (previous.get("fieldsV1") if previous else None) or {}
    others = [(who, entry["fieldsV1"]) for who, entry in entries.items() if who != own and entry.get("fieldsV1")]
    if field_set.difference(last, claimed):
        managed = claimed
        for _, fields in others:
            managed = field_set.union(managed, fields)
        pruned = apply_merge.prune(merged, node, last, managed)
        changed, removed = field_set.diff(live, pruned or {}, node)
        merged = apply_merge.without_emptied(pruned, managed, node)
    else:
        changed, removed = field_set.diff(live, merged, node)
    changed = field_set.recursive_difference(changed, reset)
    removed = field_set.recursive_difference(removed, reset)
    conflicts = [(who, met) for who, fields in others if (met := field_set.intersection(fields, changed))]
    if conflicts and not force:
        raise _Conflicted(conflicts)
    for who, fields in others:
        kept = field_set.difference(field_set.difference(fields, changed), removed)
        if kept:
            entries[who] = managed_fields.with_fields(entries[who], kept)
        else:
            del entries[who]
    claimed = field_set.difference(claimed, managed_fields.NEVER_OWNED)
    if not claimed:
        entries.pop(own, None)
    elif (
        previous is None or last != claimed or previous.get("apiVersion") != operation.api_version or changed or removed
    ):
        entries[own] = managed_fields.make_entry(operation, "Apply", claimed)
    return merged


def _finish(result: Object, live: Object | None, entries: dict[Identity, Object], operation: Operation) -> None:
    stored = managed_fields.entries_of(live)
    now = managed_fields.sort_entries(entries.values())
    managed_fields.set_entries(
        result, stored if managed_fields.has_same_managers(stored, now) and _same_object(live, result) else now
    )


def _same_object(live: Object | None, result: Object) -> bool:
    if live is None:
        return False
    metadata = {k: v for k, v in (live.get("metadata") or {}).items() if k != "managedFields"}
    return {**live, "metadata": metadata} == {"metadata": {}, **result}


# --- conflicts -------------------------------------------------------------------------------------------------------


def _show_manager(who: Identity) -> str:
    text = go_text.quote(who.manager)
    if who.subresource:
        text += f" with subresource {go_text.quote(who.subresource)}"
    return f"{text} using {who.api_version}" if who.operation == "Update" else text


def _conflict_error(conflicts: _Conflicts) -> ApplyConflict:
    found = [(_show_manager(who), list(field_set.paths(fields))) for who, fields in sorted(conflicts, key=_by_manager)]
    causes = [Cause("FieldManagerConflict", f"conflict with {who}", path) for who, where in found for path in where]
    if len(causes) == 1:
        text = f"Apply failed with 1 conflict: {causes[0].message}: {causes[0].field}"
    else:
        lines = [line for who, where in found for line in (f"conflicts with {who}:", *(f"- {path}" for path in where))]
        text = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    return ApplyConflict.of_causes(text, causes)


def _by_manager(conflict: tuple[Identity, FieldSet]) -> Identity:
    return conflict[0]


# --- kubectl's change from client-side to server-side apply ----------------------------------------------------------


def _conflicts_beyond_last_applied(
    live: Object, node: SchemaNode, operation: Operation, conflicts: _Conflicts
) -> _Conflicts:
    """For kubectl, fields that its last client-side apply set and that are still so are no conflicts."""
    if operation.manager != "kubectl":
        return conflicts
    text = ((live.get("metadata") or {}).get("annotations") or {}).get(LAST_APPLIED)
    try:
        last = orjson.loads(text) if text else None
        if not isinstance(last, dict) or last.get("apiVersion") != operation.api_version:
            return conflicts
        changed, removed = field_set.diff(last, live, node)
        allowed = field_set.field_set(last, node)
    except ValueError:
        return conflicts
    allowed = field_set.difference(field_set.difference(allowed, changed), removed)
    return [(who, left) for who, fields in conflicts if (left := field_set.difference(fields, allowed))]


def _update_last_applied(result: Object, applied: Object) -> None:
    """Keep the annotation true, so that client-side apply still works afterwards; drop it when it gets too big."""
    configuration = deep_copy(applied)
    (configuration.get("metadata", {}).get("annotations") or {}).pop(LAST_APPLIED, None)
    annotations = result["metadata"]["annotations"]
    annotations[LAST_APPLIED] = orjson.dumps(configuration, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    if sum(len(k.encode()) + len(str(v).encode()) for k, v in annotations.items()) > _ANNOTATIONS_LIMIT_BYTES:
        del annotations[LAST_APPLIED]
