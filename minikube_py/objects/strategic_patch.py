"""Applies a strategic merge patch: a merge patch that merges lists by key and knows directives.

Directives: `$patch: replace|delete|merge`, `$retainKeys`, `$deleteFromPrimitiveList/<field>` and
`$setElementOrder/<field>`. Source: apimachinery pkg/util/strategicpatch/patch.go and pkg/util/mergepatch/errors.go;
which error gets which code is from apiserver's interpretStrategicMergePatchError.
"""

from collections import deque
from collections.abc import Callable, Hashable
from typing import Any

from minikube_py.objects.errors import ApiError, BadRequest, Cause, Invalid, Object
from minikube_py.objects.go_text import plain, type_name
from minikube_py.objects.meta import deep_copy
from minikube_py.objects.schema_node import SchemaNode

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_DELETE_PREFIX = "$deleteFromPrimitiveList/"
_ORDER_PREFIX = "$setElementOrder/"

_BAD_PRIMITIVES = "invalid patch format of primitive list"
_BAD_RETAIN = "invalid patch format of retainKeys"
_BAD_ORDER = "invalid patch format of setElementOrder list"


def strategic_merge(doc: Object, patch: Any, node: SchemaNode | None) -> Object:
    """`doc` with `patch` merged in; neither is changed.

    What the schema doesn't know is merged as plain: objects by key, lists as a whole. Raises BadRequest for malformed
    directives, Invalid (422) for lists of lists, and a bare 400 for a missing merge key and the like.
    """
    if not isinstance(patch, dict):
        raise BadRequest("invalid JSON document")
    merged: Object = _merge_map(deep_copy(doc), deep_copy(patch), node)
    return merged


def _error(text: str) -> ApiError:
    """Kubernetes answers with a bare error, whose code is 500; here it says that the client is the one to blame."""
    return ApiError(text, reason="", code=400)


def _wrong_type(expected: Any, actual: Any) -> ApiError:
    return _error(f"expected a {type_name(expected)}, but received a {type_name(actual)}")


def _no_merge_key(item: Object, key: str) -> ApiError:
    return _error(f"map: {plain(item)} does not contain declared merge key: {key}")


def _list_strategy(node: SchemaNode | None) -> str:
    return "merge" if node is not None and "merge" in node.patch_strategy.split(",") else "replace"


# --- maps ------------------------------------------------------------------------------------------------------------


def _merge_map(original: Object, patch: Object, node: SchemaNode | None) -> Object:
    if _PATCH in patch:
        return _directed(patch)
    _retain_keys(original, patch)
    _merge_ordered_lists(original, patch, node)
    for key, value in patch.items():
        is_delete_list = key.startswith(_DELETE_PREFIX)
        field = key.removeprefix(_DELETE_PREFIX)
        if value is None:
            original.pop(field, None)
        elif is_delete_list:
            if field in original:
                original[field] = _delete_primitives(original[field], value)
        else:
            _merge_field(original, field, value, node.child(field) if node is not None else None)
    return original


def _merge_field(original: Object, field: str, value: Any, child: SchemaNode | None) -> None:
    current = original.get(field)
    if isinstance(value, dict) and isinstance(current, dict):
        if child is not None and "replace" in child.patch_strategy:
            original[field] = _bare(value)
        else:
            original[field] = _merge_map(current, value, child)
    elif isinstance(value, list) and isinstance(current, list) and _list_strategy(child) == "merge":
        original[field] = _merge_list(current, value, child)
    elif isinstance(value, dict) and _PATCH in value:
        original.pop(field, None)
    else:
        original[field] = _bare(value)


def _directed(patch: Object) -> Object:
    directive = patch.pop(_PATCH)
    if directive == "replace":
        replaced: Object = _bare(patch)
        return replaced
    if directive == "delete":
        return {}
    raise _error(f"unknown patch type: {plain(directive)} in map: {plain({_PATCH: directive, **patch})}")


def _bare(value: Any) -> Any:
    """A value of the patch as it goes into the object: without directives, and without the nulls inside it."""
    if isinstance(value, dict):
        kept: Object = {}
        for key, child in value.items():
            if child is None or (key.startswith("$") and _is_directive(key)):
                continue
            if isinstance(child, dict):
                if _PATCH not in child:
                    kept[key] = _bare(child)
            else:
                kept[key] = _bare(child) if isinstance(child, list) else child
        return kept
    if isinstance(value, list):
        return [_bare(v) for v in value if not (isinstance(v, dict) and _PATCH in v)]
    return value


def _is_directive(key: str) -> bool:
    return key == _RETAIN or key.startswith((_DELETE_PREFIX, _ORDER_PREFIX))


def _retain_keys(original: Object, patch: Object) -> None:
    if _RETAIN not in patch:
        return
    retained = patch.pop(_RETAIN)
    if not isinstance(retained, list):
        raise BadRequest(_BAD_RETAIN)
    kept = {k for k in retained if isinstance(k, str)}
    if any(v is not None and not _is_directive(k) and k not in kept for k, v in patch.items()):
        raise BadRequest(_BAD_RETAIN)
    for key in [k for k in original if k not in kept]:
        del original[key]


def _delete_primitives(current: Any, unwanted: Any) -> Any:
    if not isinstance(current, list) or not isinstance(unwanted, list):
        return current
    gone = {_identify(v) for v in unwanted}
    return [v for v in current if _identify(v) not in gone]


# --- lists -----------------------------------------------------------------------------------------------------------


def _check_elements(*lists: list[Any]) -> bool:
    """Whether the elements are objects. All must be of one type, and none a list."""
    elements = [e for items in lists for e in items]
    if any(isinstance(e, list) for e in elements):
        raise Invalid(
            "the server rejected our request due to an error in our request",
            details={"causes": [Cause("FieldValueInvalid", "lists of lists are not supported", "patch").to_dict()]},
        )
    if len({type(e) for e in elements}) > 1:
        raise _error(f"list element types are not identical: {plain(list(lists))}")
    return bool(elements) and isinstance(elements[0], dict)


def _merge_list(original: list[Any], patch: list[Any], node: SchemaNode | None) -> list[Any]:
    if not original and not patch:
        return original
    if not _check_elements(original, patch):
        merged = list({_identify(v): v for v in [*original, *patch]}.values())
        return _interleave(*_partition(merged, patch, _identify), (patch, original), _identify)
    key = node.patch_merge_key if node is not None else ""
    if not key:
        raise _error("cannot merge lists without merge key for struct")
    original, plain_items = _apply_element_directives(original, patch, key)
    merged = _merge_elements(list(original), plain_items, key, node.items if node is not None else None)
    identify = _identify_by(key)
    return _interleave(*_partition(merged, plain_items, identify), (plain_items, original), identify)


def _apply_element_directives(original: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """The original without deleted elements (or, on `$patch: replace`, the patch itself) and what is left to merge."""
    plain_items: list[Any] = []
    gone: set[Hashable] = set()
    is_replaced = False
    for item in patch:
        directive = item.get(_PATCH)
        if _PATCH not in item:
            plain_items.append(item)
        elif directive == "delete":
            if key not in item:
                raise _no_merge_key(item, key)
            gone.add(_identify(item[key]))
        elif directive == "replace":
            is_replaced = True
        elif directive == "merge":
            raise _error("merging lists cannot yet be specified in the patch")
        else:
            raise _error(f"unknown patch type: {plain(directive)} in map: {plain(item)}")
    if is_replaced:
        return [_bare(item) for item in plain_items], []
    if gone:
        original = [e for e in original if key not in e or _identify(e[key]) not in gone]
    return original, plain_items


def _merge_elements(merged: list[Any], patch: list[Any], key: str, node: SchemaNode | None) -> list[Any]:
    at: dict[Hashable, int] = {}
    for position, current in enumerate(merged):
        if key in current:
            at.setdefault(_identify(current[key]), position)
    for item in patch:
        if key not in item:
            raise _no_merge_key(item, key)
        identity = _identify(item[key])
        if identity in at:
            merged[at[identity]] = _merge_map(merged[at[identity]], dict(item), node)
        else:
            at[identity] = len(merged)
            merged.append(_bare(item))
    return merged


_Identify = Callable[[Any], Hashable]


def _identify(value: Any) -> Hashable:
    """What makes two scalars the same; as in Go, 1 is neither true nor 1.0."""
    return (type(value), plain(value) if isinstance(value, (dict, list)) else value)


def _identify_by(key: str) -> _Identify:
    def identify(item: Any) -> Hashable:
        if not isinstance(item, dict):
            raise _wrong_type({}, item)
        if key not in item:
            raise _no_merge_key(item, key)
        return _identify(item[key])

    return identify


def _partition(items: list[Any], by: list[Any], identify: _Identify) -> tuple[list[Any], list[Any]]:
    """Those of `items` that are in `by`, and the others."""
    known = {identify(item) for item in by}
    inside = [item for item in items if identify(item) in known]
    return inside, [item for item in items if identify(item) not in known]


def _interleave(
    from_patch: list[Any], server_only: list[Any], orders: tuple[list[Any], list[Any]], identify: _Identify
) -> list[Any]:
    """The patch's items in its order, the others put before the first item that followed them on the server.

    `orders` is the patch's order and the server's.
    """
    in_patch, on_server = (_positions(order, identify) for order in orders)
    right = deque(sorted(from_patch, key=lambda item: in_patch.get(identify(item), -1)))
    left = deque(sorted(server_only, key=lambda item: on_server.get(identify(item), -1)))
    out: list[Any] = []
    while left and right:
        mine, theirs = on_server.get(identify(left[0]), -1), on_server.get(identify(right[0]), -1)
        out.append(left.popleft() if 0 <= mine < theirs else right.popleft())
    return [*out, *left, *right]


def _positions(order: list[Any], identify: _Identify) -> dict[Hashable, int]:
    positions: dict[Hashable, int] = {}
    for position, item in enumerate(order):
        positions.setdefault(identify(item), position)
    return positions


# --- $setElementOrder ------------------------------------------------------------------------------------------------


def _merge_ordered_lists(original: Object, patch: Object, node: SchemaNode | None) -> None:
    """Merge the lists that come with an element order, and take them and their orders out of the patch."""
    for directive in [k for k in patch if k.startswith(_ORDER_PREFIX)]:
        order, field = patch.pop(directive), directive.removeprefix(_ORDER_PREFIX)
        if not isinstance(order, list):
            raise _wrong_type([], order)
        for holder in (original, patch):
            if holder.get(field) is not None and not isinstance(holder[field], list):
                raise _wrong_type([], holder[field])
        child = node.child(field) if node is not None else None
        key = child.patch_merge_key if child is not None else ""
        current, items = original.get(field), patch.get(field)
        if (current is None and items is None) or (field in patch and items is None):
            continue
        _check_order(items or [], order, key)
        patch.pop(field, None)
        original[field] = _ordered(current, items, order, child)


def _ordered(
    current: list[Any] | None, items: list[Any] | None, order: list[Any], child: SchemaNode | None
) -> list[Any]:
    key = child.patch_merge_key if child is not None else ""
    if current is None:
        merged = _bare(items)
    elif items is None:
        merged = current
    elif _list_strategy(child) == "merge":
        merged = _merge_list(current, items, child)
    else:
        merged = _bare(items)
    identify = _identify_by(key) if _check_elements(merged) and key else _identify
    return _interleave(*_partition(merged, order, identify), (order, current or []), identify)


def _check_order(items: list[Any], order: list[Any], key: str) -> None:
    """The items that stay must appear in the order list, in that order."""
    if not items or not order:
        return
    staying = [i for i in items if not (isinstance(i, dict) and _PATCH in i)]
    position = 0
    for ordered in order:
        if position == len(staying):
            return
        if _matches_order(staying[position], ordered, key):
            position += 1
    if position < len(staying):
        raise _error(
            f"The order in patch list:\n{plain(items)}\n doesn't match $setElementOrder list:\n{plain(order)}\n"
        )


def _matches_order(item: Any, ordered: Any, key: str) -> bool:
    if not key:
        return _identify(item) == _identify(ordered)
    for side in (item, ordered):
        if not isinstance(side, dict):
            raise _wrong_type({}, side)
        if key not in side:
            raise _no_merge_key(side, key)
    return _identify(item[key]) == _identify(ordered[key])
