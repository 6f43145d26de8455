"""Sets of field paths in the FieldsV1 form of managedFields, and how to compute them from objects.

A set is the wire form itself, so reading and writing entries costs nothing: a dict whose keys are path elements
(`f:name` a field, `k:{"name":"web"}` a list-map element, `v:"x"` a set element) and whose values are the sets below.
A child is a member when its set is empty or holds ".". Sets are immutable by rule: operations share subtrees.
Sources: structured-merge-diff fieldpath (set.go, serialize.go) and typed (tofieldset.go, compare.go, helpers.go).
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

import orjson

from minikube_py.objects.go_text import plain, quote
from minikube_py.objects.json_pieces import in_order, used_up
from minikube_py.objects.schema_node import ANY, SchemaNode

FieldSet: TypeAlias = dict[str, Any]

SELF = "."
LEAF: FieldSet = {}


class _Emptied:
    """Stands for a container that apply took everything out of; its place still counts as there."""

    def __bool__(self) -> bool:
        return False


EMPTIED = _Emptied()

# Parts that are plain structs in Kubernetes' Go types: always there, so never owned themselves, only what is in them.
_ALWAYS_THERE = frozenset({"metadata", "spec", "status", "template", "jobTemplate", "strategy", "updateStrategy"})


class Unkeyed(ValueError):
    """A list cannot be taken apart by its keys. The text is Kubernetes'."""


# --- path elements ---------------------------------------------------------------------------------------------------


def _json(value: Any) -> str:
    text = orjson.dumps(value).decode()
    if "<" in text or ">" in text or "&" in text:
        text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return text


def element(item: Any, node: SchemaNode) -> str:
    """The path element of one item in a list-map or list-set. Raises Unkeyed."""
    if node.shape == "list-map":
        return _key_element(item, node)
    if isinstance(item, dict):
        raise Unkeyed("associative list without keys has an element that's a map type")
    if isinstance(item, list):
        raise Unkeyed("not supported: associative list with lists as elements")
    if item is None:
        raise Unkeyed("associative list without keys has an element that's an explicit null")
    return "v:" + _json(item)


def _key_element(item: Any, node: SchemaNode) -> str:
    if item is None:
        raise Unkeyed("associative list with keys may not have a null element")
    if not isinstance(item, dict):
        raise Unkeyed("associative list with keys may not have non-map elements")
    keys: dict[str, Any] = {}
    for name in sorted(node.map_keys) if len(node.map_keys) > 1 else node.map_keys:
        if name in item:
            keys[name] = item[name]
        elif (default := _key_default(node, name)) is not None:
            keys[name] = default
    if not keys:
        names = "[" + " ".join(quote(name) for name in node.map_keys) + "]"
        raise Unkeyed(
            f"associative list with keys has an element that omits all key fields {names}"
            " (and doesn't have default values for any key fields)"
        )
    return "k:" + _json(keys)


def _key_default(node: SchemaNode, name: str) -> object:
    child = node.items.child(name) if node.items is not None else None
    return child.default if child is not None else None


def normal_element(text: str) -> str:
    """A path element as written by this module: keys sorted, no spaces. ValueError when it is malformed."""
    kind, colon, rest = text[:1], text[1:2], text[2:]
    if colon != ":":
        raise ValueError(f"missing colon: {text}")
    if kind == "f":
        return text
    if kind == "i":
        return f"i:{int(rest)}"
    value = orjson.loads(rest)
    if kind == "k":
        if not isinstance(value, dict):
            raise ValueError(f"not a key: {text}")
        return "k:" + _json(dict(sorted(value.items())))
    return "v:" + _json(value)


def show_element(text: str) -> str:
    """A path element as messages show it: `.name`, `[name="web"]`, `[="x"]`."""
    kind, rest = text[0], text[2:]
    if kind == "f":
        return "." + rest
    if kind == "i":
        return f"[{rest}]"
    value = orjson.loads(rest)
    if kind == "k":
        return "[" + ",".join(f"{k}={_show(v)}" for k, v in value.items()) + "]"
    return f"[={_show(value)}]"


def _show(value: Any) -> str:
    if isinstance(value, str):
        return quote(value)
    return "null" if value is None else plain(value)


# --- algebra ---------------------------------------------------------------------------------------------------------


def is_member(child: FieldSet) -> bool:
    """Whether a child set stands for a member, and not only for the way to members below it."""
    return not child or SELF in child


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """Members of either set."""
    if not left or not right:
        return left or right
    out = dict(left)
    for name, child in right.items():
        mine = out.get(name)
        if mine is None:
            out[name] = child
        elif mine is not child:
            out[name] = _union_child(mine, child)
    return out


def _union_child(left: FieldSet, right: FieldSet) -> FieldSet:
    if left and right:
        return union(left, right)
    both = left or right
    return both if not both or SELF in both else {SELF: LEAF, **both}


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """Members of `left` that are not in `right`. Returns `left` itself when that is all of it."""
    out: FieldSet | None = None
    for name in right if len(right) < len(left) else left:
        if name == SELF or name not in left or name not in right:
            continue
        mine = left[name]
        kept = _difference_child(mine, right[name])
        if kept is not mine:
            out = dict(left) if out is None else out
            if kept is None:
                del out[name]
            else:
                out[name] = kept
    return left if out is None else out


def _difference_child(left: FieldSet, right: FieldSet) -> FieldSet | None:
    if not left:
        return None if is_member(right) else left
    if not right:
        if SELF not in left:
            return left
        return {name: child for name, child in left.items() if name != SELF} or None
    children = difference(left, right)
    if SELF in left and SELF in right:
        children = {name: child for name, child in children.items() if name != SELF}
    if not children:
        return None
    return LEAF if len(children) == 1 and SELF in children else children


def recursive_difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """Members of `left` that are neither in `right` nor below a member of it."""
    out: FieldSet = {}
    for name, child in left.items():
        other = right.get(name)
        if other is None or name == SELF:
            out[name] = child
        elif not is_member(other):
            kept = recursive_difference(child, other)
            if kept:
                out[name] = LEAF if len(kept) == 1 and SELF in kept else kept
            elif not child:
                out[name] = child
    return out


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """Members of both sets."""
    out: FieldSet = {}
    for name in left if len(left) < len(right) else right:
        if name == SELF or name not in left or name not in right:
            continue
        one, two = left[name], right[name]
        below = intersection(one, two)
        if is_member(one) and is_member(two):
            out[name] = {SELF: LEAF, **below} if below else LEAF
        elif below:
            out[name] = below
    return out


def paths(fields: FieldSet, prefix: str = "") -> Iterator[str]:
    """Every member as text, `.spec.replicas`: on each level first the members, then what is below."""
    names = sorted(name for name in fields if name != SELF)
    for name in names:
        if is_member(fields[name]):
            yield prefix + show_element(name)
    for name in names:
        if fields[name]:
            yield from paths(fields[name], prefix + show_element(name))


def ordered(fields: FieldSet) -> FieldSet:
    """The same set with its keys in Kubernetes' order."""
    return {name: ordered(fields[name]) if fields[name] else LEAF for name in in_order(fields)}


def parse(fields: Any) -> FieldSet:
    """A set from a client, checked and brought into this module's form. ValueError when it is malformed."""
    if not isinstance(fields, dict):
        raise ValueError("FieldsV1 is not an object")
    out: FieldSet = {}
    for name, child in fields.items():
        if name == SELF:
            out[SELF] = LEAF
        elif name[:1] not in ("f", "k", "v", "i"):
            normal_element("f" + name[1:])
        else:
            below = parse(child)
            out[normal_element(name)] = LEAF if len(below) == 1 and SELF in below else below
    return out


def from_paths(*field_paths: str) -> FieldSet:
    """A set of plain fields: `from_paths("status", "metadata.labels")`."""
    out: FieldSet = {}
    for path in field_paths:
        one: FieldSet = {}
        for name in reversed(path.split(".")):
            one = {f"f:{name}": one}
        out = union(out, one)
    return out


# --- from objects ----------------------------------------------------------------------------------------------------


def child_node(node: SchemaNode, name: str) -> SchemaNode:
    """The node below a field; without a schema whatever stands there."""
    return node.child(name) or ANY


def shape_of(node: SchemaNode, value: Any) -> str:
    """The node's shape, settled by the value where the schema leaves it open or the value doesn't fit."""
    shape = node.shape
    if shape == "deduced":
        return "map" if isinstance(value, dict) else "leaf"
    if shape == "map":
        return "map" if isinstance(value, dict) else "leaf"
    if shape == "leaf":
        return "leaf"
    return shape if isinstance(value, list) else "leaf"


def field_set(value: Any, node: SchemaNode) -> FieldSet:
    """The fields that an applied configuration lays claim to (structured-merge-diff's ToFieldSet), below `value`."""
    shape = shape_of(node, value)
    if shape == "map":
        claims = ((name, _claim(name, child, node)) for name, child in value.items())
        return {f"f:{name}": claim for name, claim in claims if claim is not None}
    if shape == "leaf":
        return LEAF
    out: FieldSet = {}
    for name, item in used_up(_grouped(value, node)):
        below = field_set(item[0], node.items or ANY) if len(item) == 1 else LEAF
        out[name] = {SELF: LEAF, **below} if below else LEAF
    return out


def _claim(name: str, value: Any, node: SchemaNode) -> FieldSet | None:
    """The set of one field; None for one that says nothing, such as an empty list that is merged by key."""
    child = child_node(node, name)
    below = field_set(value, child)
    if name not in node.properties:
        return {SELF: LEAF, **below} if below else LEAF
    if below or value is None or value == {} or shape_of(child, value) == "leaf":
        return below
    return None


def _grouped(items: list[Any], node: SchemaNode) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for item in items:
        groups.setdefault(element(item, node), []).append(item)
    return groups


def whole(value: Any, node: SchemaNode, name: str = "") -> FieldSet:
    """Everything that comes into being, or goes, with a value: itself and all that is in it."""
    shape = shape_of(node, value)
    if shape == "leaf" or not value:
        return LEAF
    out: FieldSet = {} if name in _ALWAYS_THERE and node.properties else {SELF: LEAF}
    if shape == "map":
        for key, child in value.items():
            out["f:" + key] = whole(child, child_node(node, key), key)
    else:
        for key, items in used_up(_grouped(value, node)):
            out[key] = whole(items[0], node.items or ANY) if len(items) == 1 else LEAF
    return out


def diff(old: dict[str, Any], new: dict[str, Any], node: SchemaNode) -> tuple[FieldSet, FieldSet]:
    """The fields that a write added or modified, and those it removed. Only what differs is walked. Raises Unkeyed."""
    changed: FieldSet = {}
    removed: FieldSet = {}
    _diff_maps(old, new, node, (changed, removed))
    return changed, removed


_Found: TypeAlias = tuple[FieldSet, FieldSet]


def _diff_maps(old: dict[str, Any], new: dict[str, Any], node: SchemaNode, found: _Found) -> None:
    changed, removed = found
    for name, value in new.items():
        if name not in old:
            changed["f:" + name] = whole(value, child_node(node, name), name)
            continue
        before = old[name]
        if before is not value and (before != value or type(before) is not type(value)):
            _diff_values("f:" + name, (before, value), child_node(node, name), found)
    for name in old.keys() - new.keys():
        removed["f:" + name] = whole(old[name], child_node(node, name), name)


def _diff_values(name: str, pair: tuple[Any, Any], node: SchemaNode, found: _Found) -> None:
    old, new = pair
    if old == new and not isinstance(old, bool) and not isinstance(new, bool):
        return  # 1 and 1.0; but 1 is not true
    shape, old_shape = shape_of(node, new), shape_of(node, old)
    if new is EMPTIED and old_shape != "leaf":
        shape, new = old_shape, type(old)()
    if shape == "leaf" and old_shape == "leaf":
        found[0][name] = LEAF
        return
    below: _Found = ({}, {})
    if shape != old_shape:
        # What was there falls apart, what is there now is new, and the place itself has changed.
        found[0][name] = whole(new, node)
        gone = {key: child for key, child in whole(old, node).items() if key != SELF}
        if gone:
            found[1][name] = gone
        return
    if shape == "map":
        _diff_maps(old, new, node, below)
    else:
        _diff_lists(old, new, node, below)
    for result, part in zip(found, below, strict=True):
        if part:
            result[name] = part


def _diff_lists(old: list[Any], new: list[Any], node: SchemaNode, found: _Found) -> None:
    changed, removed = found
    items = node.items or ANY
    before, after = _grouped(old, node), _grouped(new, node)
    for name, values in after.items():
        known = before.get(name)
        if known is None:
            changed[name] = whole(values[0], items) if len(values) == 1 else LEAF
        elif len(known) == 1 and len(values) == 1:
            if known[0] != values[0]:
                _diff_values(name, (known[0], values[0]), items, found)
        elif known != values:
            changed[name] = LEAF
    for name, values in before.items():
        if name not in after:
            removed[name] = whole(values[0], items) if len(values) == 1 else LEAF
