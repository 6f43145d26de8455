"""Strategic merge patch: merge lists, directives, orders and errors."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_py.objects.errors import ApiError, BadRequest, Invalid
from minikube_py.objects.patch import strategic_merge
from tests.unit.objects.small_schema import DEPLOYMENT, deployment


def _merge(doc: dict, patch: Any) -> dict:
    before = copy.deepcopy((doc, patch))
    merged = strategic_merge(doc, patch, DEPLOYMENT)
    assert (doc, patch) == before
    return merged


def _containers(live: list, patch: list, order: str | None = None) -> list:
    body: dict = {"containers": patch}
    if order is not None:
        body["$setElementOrder/containers"] = [{"name": name} for name in order]
    merged = _merge(deployment(*live), {"spec": {"template": {"spec": body}}})
    found: list = merged["spec"]["template"]["spec"]["containers"]
    return found


def _c(name: str, **fields: Any) -> dict:
    return {"name": name, **fields}


@pytest.mark.parametrize(
    ("live", "patch", "order", "result"),
    [
        ([_c("a", image="1")], [_c("a", image="2")], None, [_c("a", image="2")]),
        ([_c("a", image="1")], [_c("a", args=["x"])], None, [_c("a", image="1", args=["x"])]),
        ([_c("a")], [_c("b")], None, [_c("b"), _c("a")]),
        ([_c("a"), _c("b")], [_c("b", image="1")], None, [_c("a"), _c("b", image="1")]),
        ([_c("a"), _c("b")], [_c("b"), _c("a")], None, [_c("b"), _c("a")]),
        ([_c("a"), _c("b")], [{"$patch": "delete", "name": "a"}], None, [_c("b")]),
        ([_c("a"), _c("b")], [{"$patch": "replace"}, _c("z")], None, [_c("z")]),
        ([_c("a", image="1")], [_c("a", image=None)], None, [_c("a")]),
        ([_c("a", args=["x"])], [_c("a", args=["y"])], None, [_c("a", args=["y"])]),
        ([_c("a"), _c("b"), _c("s")], [_c("b", image="1")], "ba", [_c("b", image="1"), _c("a"), _c("s")]),
        ([_c("s"), _c("a")], [_c("c")], "ca", [_c("c"), _c("s"), _c("a")]),
        ([_c("a"), _c("b")], [], "ba", [_c("b"), _c("a")]),
        ([_c("a")], [_c("b", env=[{"name": "X", "$patch": "delete"}])], None, [_c("b", env=[]), _c("a")]),
    ],
)
def test_lists_merge_by_key(live: list, patch: list, order: str | None, result: list) -> None:
    assert _containers(live, patch, order) == result


@pytest.mark.parametrize(
    ("live", "patch", "result"),
    [
        (["a", "b"], {"finalizers": ["c"]}, ["c", "a", "b"]),
        (["a", "b"], {"finalizers": ["b"]}, ["a", "b"]),
        (["a", "b"], {"$deleteFromPrimitiveList/finalizers": ["a"]}, ["b"]),
        (["a", "b"], {"$setElementOrder/finalizers": ["b", "a"]}, ["b", "a"]),
        (["a", "b"], {"finalizers": ["c"], "$setElementOrder/finalizers": ["b", "c"]}, ["a", "b", "c"]),
        (["a"], {"finalizers": None}, None),
    ],
)
def test_lists_of_scalars(live: list, patch: dict, result: list | None) -> None:
    assert _merge({"metadata": {"finalizers": live}}, {"metadata": patch})["metadata"].get("finalizers") == result


@pytest.mark.parametrize(
    ("live", "patch", "result"),
    [
        ({"a": "1"}, {"b": "2"}, {"a": "1", "b": "2"}),
        ({"a": "1"}, {"a": None, "c": None}, {}),
        ({"a": "1"}, {"$patch": "replace", "b": "2"}, {"b": "2"}),
        ({"a": "1"}, {"$patch": "delete"}, {}),
    ],
)
def test_maps(live: dict, patch: dict, result: dict) -> None:
    assert _merge(deployment(labels=live), {"metadata": {"labels": patch}})["metadata"]["labels"] == result


def test_what_the_patch_adds_carries_no_directives_and_no_nulls() -> None:
    added = {"labels": {"a": "1", "b": None, "$patch": "replace"}, "annotations": {"c": None, "d": "2"}}
    assert _merge({}, {"metadata": added}) == {"metadata": {"annotations": {"d": "2"}}}


def test_retain_keys() -> None:
    live = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "1"}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert _merge(live, patch) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_unknown_fields_merge_as_plain() -> None:
    live = {"spec": {"unknown": {"a": {"b": 1}, "list": [1, 2]}}}
    patch = {"spec": {"unknown": {"a": {"c": 2}, "list": [3]}}}
    assert _merge(live, patch) == {"spec": {"unknown": {"a": {"b": 1, "c": 2}, "list": [3]}}}
    assert strategic_merge(live, patch, None) == _merge(live, patch)


@pytest.mark.parametrize(
    ("patch", "error", "message"),
    [
        ([], BadRequest, "invalid JSON document"),
        ({"$patch": "bogus", "a": 1}, ApiError, "unknown patch type: bogus in map: map[$patch:bogus a:1]"),
        ({"spec": {"strategy": {"$retainKeys": "type"}}}, BadRequest, "invalid patch format of retainKeys"),
        (
            {"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}},
            BadRequest,
            "invalid patch format of retainKeys",
        ),
        (
            {"metadata": {"$setElementOrder/finalizers": "x"}},
            ApiError,
            "expected a []interface {}, but received a string",
        ),
        ({"metadata": {"finalizers": ["a", 1]}}, ApiError, "list element types are not identical: [[x] [a 1]]"),
    ],
)
def test_refused(patch: Any, error: type[ApiError], message: str) -> None:
    doc = {"metadata": {"finalizers": ["x"]}, "spec": {"strategy": {"type": "x"}}}
    with pytest.raises(error) as caught:
        strategic_merge(doc, patch, DEPLOYMENT)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("patch", "order", "message"),
    [
        ([{"image": "x"}], None, "map: map[image:x] does not contain declared merge key: name"),
        ([{"$patch": "delete"}], None, "map: map[$patch:delete] does not contain declared merge key: name"),
        ([{"$patch": "merge", "name": "a"}], None, "merging lists cannot yet be specified in the patch"),
        (
            [_c("x"), _c("y")],
            "yx",
            "The order in patch list:\n[map[name:x] map[name:y]]\n"
            " doesn't match $setElementOrder list:\n[map[name:y] map[name:x]]\n",
        ),
    ],
)
def test_lists_refused(patch: list, order: str | None, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        _containers([_c("a")], patch, order)
    assert (caught.value.message, caught.value.code) == (message, 400)


def test_lists_of_lists_are_422() -> None:
    with pytest.raises(Invalid):
        _merge({"metadata": {"finalizers": ["x"]}}, {"metadata": {"finalizers": [["y"]]}})


NAMED = st.lists(st.sampled_from("abcde"), unique=True).map(lambda names: [_c(n) for n in names])


@given(NAMED, NAMED)
def test_merging_keeps_everything_once_and_in_the_patch_s_order(live: list, patch: list) -> None:
    names = [c["name"] for c in _containers([*live, _c("z")], patch)]
    assert sorted(names) == sorted({c["name"] for c in [*live, *patch, _c("z")]})
    assert [n for n in names if _c(n) in patch] == [c["name"] for c in patch]
    server_only = [c["name"] for c in live if c not in patch]
    assert [n for n in names if n in server_only] == server_only


def test_long_lists_take_linear_time() -> None:
    many = [_c(str(i)) for i in range(20_000)]
    assert len(_containers(many, [_c(str(i), image="x") for i in reversed(range(20_000))])) == 20_000
