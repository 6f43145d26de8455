"""JSON in pieces is JSON: the same trees, the same bytes, the same refusals as orjson's."""

import json
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_py.objects import json_pieces
from minikube_py.objects.meta import deep_copy

SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)  # fmt: skip
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=40)


def long_trees() -> list[Any]:
    flat = {f"k{n}": n for n in range(1000)}
    return [
        flat, list(range(1000)), {**flat, "in": [{}, [], {"a": [flat]}], **{f"z{n}": "" for n in range(600)}},
        [*range(256), {"a": 1}, *range(256), [[]], {}], {"a": {"b": {}}, "c": [0] * 256},
    ]  # fmt: skip


@given(TREES)
def test_what_is_written_is_what_orjson_writes(tree: Any) -> None:
    assert json_pieces.dump(tree) == orjson.dumps(tree)
    assert json_pieces.load(orjson.dumps(tree)) == orjson.loads(orjson.dumps(tree))
    assert json_pieces.load(json.dumps(tree, indent=1).encode()) == tree


@pytest.mark.parametrize("tree", long_trees())
def test_long_objects_and_arrays(tree: Any) -> None:
    text = orjson.dumps(tree)
    assert json_pieces.dump(tree) == text
    assert orjson.dumps(json_pieces.load(text)) == text  # in the same order, too
    copied = json_pieces.copy(tree)
    assert orjson.dumps(copied) == text
    assert copied is not tree
    assert json_pieces.is_equal(copied, tree)


@given(TREES, TREES)
def test_equality_is_equality(one: Any, other: Any) -> None:
    assert json_pieces.is_equal(one, other) == (one == other)
    assert json_pieces.is_equal(one, deep_copy(one))


@given(st.binary(max_size=30) | st.text('{}[]",:0123456789.eE+-truefalsn\\u ', max_size=30).map(str.encode))
def test_what_orjson_refuses_is_refused(data: bytes) -> None:
    try:
        wanted = orjson.loads(data)
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011 (which one, and what it says, is the decoder's affair)
            json_pieces.load(data)
    else:
        assert json_pieces.load(data) == wanted


@pytest.mark.parametrize(
    "text",
    [
        '{"a":NaN}', "[Infinity]", "[-Infinity]", "[1e999]", "[01]", "[1.]", '["\\ud800"]', '{"\\udc00x":1}', '["\t"]',
        '{"a":1,}', "[1,]", '{"a" 1}', "[1 2]", "{1:2}", '"', "[", '["a', "nul", "[1]x", "\ufeff[]", "['a']",
    ],
)  # fmt: skip
def test_what_is_no_json(text: str) -> None:
    data = text.encode()
    with pytest.raises(ValueError):  # noqa: PT011
        orjson.loads(data)
    with pytest.raises(ValueError):  # noqa: PT011
        json_pieces.load(data)


@pytest.mark.parametrize(
    "text", ["18446744073709551615", "18446744073709551616", "-9223372036854775808", "-9223372036854775809", "9" * 300,
             "-0", "0.1", "1E5", '"\\ud83d\\ude00"', '{"\\ud83d\\ude00":"\\u00e9"}', ' {"a" :\n[ ] } ']
)  # fmt: skip
def test_numbers_and_pairs_of_surrogates(text: str) -> None:
    wanted = orjson.loads(text)
    found = json_pieces.load(text.encode())
    assert (type(found), found) == (type(wanted), wanted)


def test_the_objects_maker_sees_every_pair() -> None:
    seen: list[list[tuple[str, Any]]] = []
    json_pieces.load(b'{"a":1,"a":{"b":2,"b":3}}', lambda pairs: seen.append(pairs))
    assert seen == [[("b", 2), ("b", 3)], [("a", 1), ("a", None)]]


def test_the_last_of_several_counts_in_long_objects_too() -> None:
    text = "{" + ",".join(f'"k{n % 700}":{n}' for n in range(1000)) + "}"
    assert json_pieces.load(text.encode()) == json.loads(text)


def test_what_nests_too_deep_for_python_is_said_so() -> None:
    with pytest.raises(RecursionError):
        json_pieces.load(b"[" * 100_000)


def test_only_what_nobody_else_holds_is_taken_apart() -> None:
    held = {"x": [1, 2, {"y": []}]}
    trees: list[Any] = [{"held": held, "own": [{"z": 1}] * 2}, held["x"], [[held]]]
    json_pieces.free(trees)
    assert trees == []
    assert held == {"x": [1, 2, {"y": []}]}


def test_names_in_order_and_groups_used_up() -> None:
    token = json_pieces.IN_PIECES.set(True)
    try:
        names = [f"{n * 7919 % 1009:04}" for n in range(1000)]
        assert list(json_pieces.in_order(names)) == sorted(names)
        assert list(json_pieces.in_order([])) == []
    finally:
        json_pieces.IN_PIECES.reset(token)
    groups = {"a": [1], "b": [2], "c": [3]}
    left = [(key, sorted(groups)) for key, _ in json_pieces.used_up(groups)]
    assert left == [("a", ["b", "c"]), ("b", ["c"]), ("c", [])]
    assert all(len(before) > len(after) for (_, before), (_, after) in pairwise(left))
