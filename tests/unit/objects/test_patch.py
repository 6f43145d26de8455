"""JSON patch and JSON merge patch."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_py.objects.errors import BadRequest, Invalid, RequestTooLarge
from minikube_py.objects.patch import json_equal, json_patch, merge_patch

DOC = {"a": {"b": [1, 2, 3], "c/d": {"~": "x"}, "n": None}, "flag": True}


def _op(op: str, path: str, **more: object) -> dict:
    return {"op": op, "path": path, **more}


@pytest.mark.parametrize(
    ("ops", "change"),
    [
        ([], {}),
        ([_op("add", "/z", value=1)], {"z": 1}),
        ([_op("replace", "/a", value=1)], {"a": 1}),
        ([_op("remove", "/flag"), _op("replace", "/a", value=1)], {"a": 1, "flag": ...}),
        ([_op("move", "/z", **{"from": "/flag"})], {"z": True, "flag": ...}),
        ([_op("copy", "/z", **{"from": "/a/b/1"})], {"z": 2}),
        ([_op("test", "/flag", value=True)], {}),
        ([_op("test", "/missing", value=None)], {}),
        ([_op("test", "/a/c~1d/~0", value="x")], {}),
        ([_op("test", "/a/b", value=[1, 2, 3])], {}),
        ([_op("test", "/a/b/-1", value=3)], {}),
    ],
)
def test_json_patch(ops: list, change: dict) -> None:
    before = copy.deepcopy(DOC)
    expected = {k: v for k, v in {**DOC, **change}.items() if v is not ...}
    assert json_patch(DOC, ops) == expected
    assert before == DOC


@pytest.mark.parametrize(
    ("op", "items"),
    [
        (_op("add", "/a/b/0", value=9), [9, 1, 2, 3]),
        (_op("add", "/a/b/3", value=9), [1, 2, 3, 9]),
        (_op("add", "/a/b/-", value=9), [1, 2, 3, 9]),
        (_op("replace", "/a/b/1", value=9), [1, 9, 3]),
        (_op("remove", "/a/b/-1"), [1, 2]),
        (_op("move", "/a/b/0", **{"from": "/a/b/2"}), [3, 1, 2]),
    ],
)
def test_json_patch_of_lists(op: dict, items: list) -> None:
    assert json_patch(DOC, [op])["a"]["b"] == items


@pytest.mark.parametrize(
    ("op", "why"),
    [
        (_op("test", "/flag", value=1), "testing path /flag failed"),
        (_op("test", "/a/b/0", value=1.0), "testing path /a/b/0 failed"),
        (_op("remove", "/x"), 'remove operation does not apply: doc is missing path: "/x": missing value'),
        (_op("replace", "/x", value=1), 'replace operation does not apply: doc is missing path: "/x": missing value'),
        (_op("add", "/x/y", value=1), 'add operation does not apply: doc is missing path: "/x/y": missing value'),
        (_op("add", "/flag/y", value=1), 'add operation does not apply: doc is missing path: "/flag/y": missing value'),
        (_op("add", "/a/b/4", value=1), "Unable to access invalid index: 4: index out of range"),
        (_op("add", "/a/b/01", value=1), 'strconv.Atoi: parsing "01": invalid syntax'),
        (_op("remove", "/a/b/-"), 'strconv.Atoi: parsing "-": invalid syntax'),
        (_op("bogus", "/a"), "Unexpected kind: bogus"),
        (_op("replace", "", value={}), None),
        ({"op": "add", "value": 1}, None),
        (_op("move", "/a/z", **{"from": "/a"}), None),
        (
            _op("copy", "/z", **{"from": "/x"}),
            'copy operation does not apply: doc is missing from: "/x": missing value',
        ),
    ],
)
def test_an_operation_that_does_not_fit_is_422(op: dict, why: str | None) -> None:
    with pytest.raises(Invalid) as caught:
        json_patch(DOC, [_op("add", "/ok", value=1), op])
    assert caught.value.message == "the server rejected our request due to an error in our request"
    assert caught.value.details is not None
    if why is not None:
        assert caught.value.details["causes"][0]["message"] == why
    assert "ok" not in DOC


@pytest.mark.parametrize("ops", [{}, "x", None, [1], [[]]])
def test_a_malformed_json_patch_is_400(ops: object) -> None:
    with pytest.raises(BadRequest):
        json_patch(DOC, ops)


def test_operations_are_capped() -> None:
    ops = [_op("test", "/flag", value=True)] * 10_000
    assert json_patch(DOC, ops) == DOC
    with pytest.raises(RequestTooLarge, match="allowed maximum operations in a JSON patch is 10000, got 10001"):
        json_patch(DOC, [*ops, ops[0]])


def test_copies_cannot_blow_up_the_object() -> None:
    ops = [_op("add", "/x", value=["y" * 1000])] + [_op("copy", "/x/-", **{"from": "/x"})] * 30
    with pytest.raises(Invalid):
        json_patch({}, ops)


@pytest.mark.parametrize(
    ("doc", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({"a": "foo"}, {"a": {"b": {"c": None}}}, {"a": {"b": {}}}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(doc: dict, patch: dict, result: dict) -> None:
    before = copy.deepcopy((doc, patch))
    assert merge_patch(doc, patch) == result
    assert (doc, patch) == before


@pytest.mark.parametrize("patch", [[], None, "x", 1])
def test_a_malformed_merge_patch_is_400(patch: object) -> None:
    with pytest.raises(BadRequest, match="Invalid JSON Patch"):
        merge_patch({}, patch)


PLAIN = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), PLAIN, max_size=3)


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_applied_twice_changes_nothing_more(doc: dict, patch: dict) -> None:
    once = merge_patch(doc, patch)
    assert merge_patch(once, patch) == once
    assert merge_patch({}, patch) == patch


@given(PLAIN)
def test_json_equal(value: object) -> None:
    assert json_equal(value, copy.deepcopy(value))
    assert not json_equal([value, True], [value, 1])
    assert not json_equal({"a": value, "b": 1}, {"a": value, "b": 1.0})
