"""The tree work of server-side apply: check a configuration against the schema, merge it, remove what was given up.

Sources: structured-merge-diff typed/validate.go, typed/merge.go (order of merged lists), typed/remove.go,
merge/update.go (prune).
"""

from collections.abc import Iterator
from typing import Any

from minikube_py.objects import field_set
from minikube_py.objects.field_set import EMPTIED, LEAF, SELF, FieldSet, Unkeyed, child_node, element, shape_of
from minikube_py.objects.meta import deep_copy
from minikube_py.objects.schema_node import ANY, SchemaNode

# --- checking --------------------------------------------------------------------------------------------------------


def problems(applied: Any, node: SchemaNode) -> list[str]:
    """What is wrong with the structure of a configuration: unknown fields, wrong containers, double or missing keys."""
    return [f"{path}: {text}" if path else text for path, text in _problems(applied, node)]


def _problems(value: Any, node: SchemaNode) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if node.type == "object" and not isinstance(value, dict):
        yield "", f"expected map, got &{{{value}}}"
    elif node.type == "array" and not isinstance(value, list):
        yield "", f"expected list, got &{{{value}}}"
    elif node.type == "boolean" and not isinstance(value, bool):
        yield "", f"expected boolean, got &{{{value}}}"
    elif isinstance(value, dict):
        yield from _map_problems(value, node)
    elif isinstance(value, list):
        yield from _list_problems(value, node)


def _map_problems(value: dict[str, Any], node: SchemaNode) -> Iterator[tuple[str, str]]:
    # A node without any children is free-form; one with properties only is closed.
    is_closed = bool(node.properties) and node.additional is None and not node.preserve_unknown
    for name, child in value.items():
        if is_closed and name not in node.properties:
            yield f".{name}", "field not declared in schema"
        else:
            yield from ((f".{name}{path}", text) for path, text in _problems(child, child_node(node, name)))


def _list_problems(value: list[Any], node: SchemaNode) -> Iterator[tuple[str, str]]:
    items, seen = node.items or ANY, set()
    for index, item in enumerate(value):
        name = f"[{index}]"
        if node.shape in ("list-map", "list-set"):
            try:
                key = element(item, node)
            except Unkeyed as error:
                yield "", f"element {index}: {error}"
                return
            name = field_set.show_element(key)
            if key in seen:
                yield "", f"duplicate entries for key {name}"
            seen.add(key)
        yield from ((f"{name}{path}", text) for path, text in _problems(item, items))


# --- merging ---------------------------------------------------------------------------------------------------------


def merge(live: Any, applied: Any, node: SchemaNode) -> Any:
    """`live` with the configuration merged in. Shares nothing with `applied`, but subtrees with `live`."""
    shape = shape_of(node, applied)
    if applied is None and isinstance(live, (dict, list)) and live and shape_of(node, live) != "leaf":
        return live
    if shape == "leaf" or shape_of(node, live) != shape:
        live = {} if shape == "map" else []
        if shape == "leaf" or not applied:
            return deep_copy(applied)
    if shape == "map":
        return _merge_maps(live, applied, node)
    return _merge_lists(live, applied, node)


def _merge_maps(live: dict[str, Any], applied: dict[str, Any], node: SchemaNode) -> dict[str, Any]:
    out = dict(live)
    for name, value in applied.items():
        out[name] = merge(out.get(name), value, child_node(node, name))
    return out


def _merge_lists(live: list[Any], applied: list[Any], node: SchemaNode) -> list[Any]:
    """The order is the configuration's, with the live list's own items kept between their neighbours."""
    items = node.items or ANY
    left, right = [element(i, node) for i in live], [element(i, node) for i in applied]
    ours: dict[str, Any] = {}
    for name, item in zip(left, live, strict=True):
        ours[name] = None if name in ours else item
    theirs = dict(zip(right, applied, strict=True))
    shared = [name for name in right if name in ours]
    out: list[Any] = []
    merged: set[str] = set()
    next_shared = 0
    at_left = at_right = 0

    def take_applied(name: str) -> None:
        merged.add(name)
        out.append(merge(ours.get(name), theirs[name], items))

    while at_left < len(left) or at_right < len(right):
        if at_left < len(left) and at_right < len(right):
            name = left[at_left]
            if name == right[at_right]:
                take_applied(name)
                at_left, at_right, next_shared = at_left + 1, at_right + 1, next_shared + 1
                continue
            if name in theirs and next_shared < len(shared) and shared[next_shared] != name:
                at_left += 1
                continue
        if at_left < len(left):
            name = left[at_left]
            if name not in theirs:
                out.append(live[at_left])
                at_left += 1
                continue
            if name in merged:
                at_left += 1
        if at_right < len(right):
            name = right[at_right]
            take_applied(name)
            at_right += 1
            if next_shared < len(shared) and shared[next_shared] == name:
                next_shared += 1
    return out


# --- removing --------------------------------------------------------------------------------------------------------


def prune(merged: Any, node: SchemaNode, last: FieldSet, managed: FieldSet) -> Any:
    """`merged` without what the manager claimed in `last` and nobody in `managed` claims any more.

    A container that this empties is EMPTIED, for ownership to be settled; `without_emptied` then drops it.
    """
    last = named_fields_as_members(last, node)
    pruned = remove(merged, last, node)
    everything = named_fields_as_members(field_set.field_set(merged, node), node)
    kept = field_set.union(
        named_fields_as_members(field_set.field_set(pruned, node), node), named_fields_as_members(managed, node)
    )
    pruned = remove(merged, field_set.difference(everything, kept), node)
    left = named_fields_as_members(field_set.field_set(pruned, node), node)
    return remove(merged, field_set.intersection(field_set.difference(everything, left), last), node)


def named_fields_as_members(fields: FieldSet, node: SchemaNode) -> FieldSet:
    """The set with every declared field that something is below as a member too."""
    out: FieldSet = {}
    for name, child in fields.items():
        if not child:
            out[name] = child
            continue
        is_field = name.startswith("f:")
        below_node = child_node(node, name[2:]) if is_field else node.items or ANY
        below = named_fields_as_members(child, below_node)
        out[name] = {SELF: LEAF, **below} if is_field and name[2:] in node.properties else below
    return out


def remove(value: Any, fields: FieldSet, node: SchemaNode) -> Any:
    """The value without the members of a set; EMPTIED for a container of which nothing is left."""
    shape = shape_of(node, value)
    if not fields or shape == "leaf" or not value:
        return value
    if shape == "map":
        return _remove_from_map(value, fields, node)
    kept = []
    for item in value:
        gone = fields.get(element(item, node))
        if gone is None:
            kept.append(item)
        elif not field_set.is_member(gone):
            left = remove(item, gone, node.items or ANY)
            # The item itself has an owner yet, so it keeps what makes it this item.
            kept.append({key: item[key] for key in node.map_keys if key in item} if left is EMPTIED else left)
    return kept or EMPTIED


def _remove_from_map(value: dict[str, Any], fields: FieldSet, node: SchemaNode) -> Any:
    out: dict[str, Any] = {}
    for name, child in value.items():
        gone = fields.get("f:" + name)
        if gone is None:
            out[name] = child
        elif not field_set.is_member(gone):
            out[name] = remove(child, gone, child_node(node, name))
    return out or EMPTIED


def without_emptied(value: Any, managed: FieldSet, node: SchemaNode) -> Any:
    """The tree without its EMPTIED places, but with an empty container where somebody claims the place itself.

    Kubernetes drops those too, so that `emptyDir: {}` applied over `emptyDir: {medium: Memory}` is lost.
    """
    if value is EMPTIED:
        return [] if node.shape in ("list-map", "list-set") else {}
    if isinstance(value, dict):
        out: dict[str, Any] = {}
        for name, child in value.items():
            claim = managed.get("f:" + name)
            if child is not EMPTIED or (claim is not None and field_set.is_member(claim)):
                out[name] = without_emptied(child, claim or LEAF, child_node(node, name))
        return out
    if shape_of(node, value) in ("list-map", "list-set"):
        items = node.items or ANY
        return [without_emptied(v, managed.get(element(v, node)) or LEAF, items) for v in value]
    return value
