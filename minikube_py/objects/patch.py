"""Applies the three plain patch types to an object: JSON patch, JSON merge patch and strategic merge patch.

All three take trees of JSON values, leave their inputs as they are and return a new tree. They raise BadRequest for a
patch that is malformed, RequestTooLarge for too many operations, Invalid (422) for one that does not fit the object.
Sources: RFC 6902, RFC 7386, apiserver endpoints/handlers/patch.go, evanphx/json-patch v4 (behaviour of errors).
"""

from collections.abc import Callable
from typing import Any

import orjson

from minikube_py.objects.errors import BadRequest, Cause, Invalid, Object, RequestTooLarge
from minikube_py.objects.meta import deep_copy
from minikube_py.objects.strategic_patch import strategic_merge

__all__ = ["MAX_OPERATIONS", "json_equal", "json_patch", "merge_patch", "strategic_merge"]

MAX_OPERATIONS = 10_000
_COPY_LIMIT_BYTES = 3 * 1024 * 1024
_REJECTED = "the server rejected our request due to an error in our request"


class Unfit(Exception):
    """An operation that does not apply to the document."""


class TestFailed(Unfit):
    """A `test` operation that found another value."""


def rejected(why: str) -> Invalid:
    """The 422 that the API server gives to a patch which does not fit; the reason is in the cause."""
    return Invalid(_REJECTED, details={"causes": [Cause("FieldValueInvalid", why, "patch").to_dict()]})


def json_equal(left: Any, right: Any) -> bool:
    """Equality of JSON values: unlike Python's, true is not 1 and 1 is not 1.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return len(left) == len(right) and all(k in right and json_equal(v, right[k]) for k, v in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(map(json_equal, left, right))
    return bool(left == right)


# --- RFC 7386 --------------------------------------------------------------------------------------------------------


def merge_patch(doc: Object, patch: Any) -> Object:
    """RFC 7386: objects are merged, null removes, everything else replaces."""
    if not isinstance(patch, dict):
        raise BadRequest("Invalid JSON Patch")
    out = deep_copy(doc)
    _merge_into(out, deep_copy(patch))
    return out


def _merge_into(target: Object, patch: Object) -> None:
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            current = target.get(key)
            if not isinstance(current, dict):
                current = target[key] = {}
            _merge_into(current, value)
        else:
            target[key] = value


# --- RFC 6902 --------------------------------------------------------------------------------------------------------


def json_patch(doc: Object, ops: Any) -> Any:
    """RFC 6902, all operations or none. As in Kubernetes, the document's root can't be replaced."""
    if not isinstance(ops, list) or not all(isinstance(op, dict) for op in ops):
        raise BadRequest("json: cannot unmarshal patch: expected an array of operations")
    if len(ops) > MAX_OPERATIONS:
        raise RequestTooLarge(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(ops)}"
        )  # fmt: skip
    try:
        return apply_operations(doc, ops)
    except Unfit as why:
        raise rejected(str(why)) from None


def apply_operations(doc: Object, ops: list[Object]) -> Any:
    """A patched copy. Raises Unfit, TestFailed."""
    result: Any = deep_copy(doc)
    copied = 0
    for op in ops:
        kind = op.get("op")
        apply = _OPERATIONS.get(kind) if isinstance(kind, str) else None
        if apply is None:
            raise Unfit(f"Unexpected kind: {kind}")
        copied += apply(result, op)
        if copied > _COPY_LIMIT_BYTES:
            raise Unfit(
                f"Unable to complete the copy, the accumulated size increase of copy is {copied},"
                f" exceeding the limit {_COPY_LIMIT_BYTES}"
            )
    return result


def _tokens(op: Object, member: str = "path") -> list[str]:
    pointer = op.get(member)
    if not isinstance(pointer, str):
        raise Unfit(f"{op.get('op')} operation failed to decode {member}: missing value")
    if not pointer.startswith("/"):
        raise Unfit(f"{op.get('op')} operation does not apply: doc is missing {member}: {pointer!r}: missing value")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def _parent(doc: Any, op: Object, member: str = "path") -> tuple[Any, str]:
    """The container that a pointer's last token stands in, and that token."""
    *way, last = _tokens(op, member)
    for token in way:
        doc = _get(doc, token, op, member)
    if not isinstance(doc, (dict, list)):
        raise _missing(op, member)
    return doc, last


def _missing(op: Object, member: str = "path") -> Unfit:
    return Unfit(f'{op["op"]} operation does not apply: doc is missing {member}: "{op[member]}": missing value')


def _get(container: Any, token: str, op: Object, member: str = "path") -> Any:
    if isinstance(container, dict):
        if token not in container:
            raise _missing(op, member)
        return container[token]
    if isinstance(container, list):
        return container[_index(token, len(container))]
    raise _missing(op, member)


def _index(token: str, length: int) -> int:
    """An array index; a negative one counts from the end, as Kubernetes' library has it."""
    digits = token.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 9 or (len(digits) > 1 and digits[0] == "0"):
        raise Unfit(f'strconv.Atoi: parsing "{token}": invalid syntax')
    index = int(token)
    if not -length <= index < length:
        raise Unfit(f"Unable to access invalid index: {token}: index out of range")
    return index % length


def _put(container: Any, token: str, value: Any) -> None:
    if isinstance(container, dict):
        container[token] = value
    elif token == "-":
        container.append(value)
    else:
        container.insert(_index(token, len(container) + 1), value)


def _take(container: Any, token: str, op: Object, member: str = "path") -> Any:
    value = _get(container, token, op, member)
    if isinstance(container, dict):
        del container[token]
    else:
        del container[_index(token, len(container))]
    return value


def _add(doc: Any, op: Object) -> int:
    container, token = _parent(doc, op)
    _put(container, token, deep_copy(op.get("value")))
    return 0


def _remove(doc: Any, op: Object) -> int:
    container, token = _parent(doc, op)
    _take(container, token, op)
    return 0


def _replace(doc: Any, op: Object) -> int:
    container, token = _parent(doc, op)
    _get(container, token, op)
    if isinstance(container, dict):
        container[token] = deep_copy(op.get("value"))
    else:
        container[_index(token, len(container))] = deep_copy(op.get("value"))
    return 0


def _move(doc: Any, op: Object) -> int:
    source, target = _tokens(op, "from"), _tokens(op)
    if target[: len(source)] == source and len(target) > len(source):
        raise Unfit("move operation does not apply: a location can't be moved into one of its children")
    container, token = _parent(doc, op, "from")
    value = _take(container, token, op, "from")
    container, token = _parent(doc, op)
    _put(container, token, value)
    return 0


def _copy(doc: Any, op: Object) -> int:
    container, token = _parent(doc, op, "from")
    value = deep_copy(_get(container, token, op, "from"))
    container, token = _parent(doc, op)
    _put(container, token, value)
    return len(orjson.dumps(value))


def _test(doc: Any, op: Object) -> int:
    container, token = _parent(doc, op)
    # A member that is missing equals null.
    value = container.get(token) if isinstance(container, dict) else _get(container, token, op)
    if not json_equal(value, op.get("value")):
        raise TestFailed(f"testing path {op['path']} failed")
    return 0


_OPERATIONS: dict[str, Callable[[Any, Object], int]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}
