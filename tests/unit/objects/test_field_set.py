"""The algebra of field sets, and the sets of objects and of differences."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_py.objects import field_set as fs
from tests.unit.objects.small_schema import CONTAINER, DEPLOYMENT, PORT, deployment, keyed

NAMES = ("f:a", "f:b", 'k:{"name":"x"}')


def _with_self(children: dict, is_self: bool) -> dict:
    return {".": {}, **children} if children and is_self else children


SETS = st.recursive(
    st.just({}),
    lambda inner: st.builds(_with_self, st.dictionaries(st.sampled_from(NAMES), inner, max_size=3), st.booleans()),
    max_leaves=8,
).map(lambda s: {k: v for k, v in s.items() if k != "."})


def _members(fields: dict, prefix: tuple = ()) -> set[tuple]:
    """The plain model: a set of paths."""
    found = set()
    for name, child in fields.items():
        if name == ".":
            continue
        if not child or "." in child:
            found.add((*prefix, name))
        found |= _members(child, (*prefix, name))
    return found


@given(SETS, SETS)
def test_algebra_agrees_with_sets_of_paths(left: dict, right: dict) -> None:
    one, two = _members(left), _members(right)
    assert _members(fs.union(left, right)) == one | two
    assert _members(fs.difference(left, right)) == one - two
    assert _members(fs.intersection(left, right)) == one & two
    below = {p for p in one if any(p[: len(q)] == q for q in two)}
    assert _members(fs.recursive_difference(left, right)) == one - below
    assert len(list(fs.paths(left))) == len(one)


@given(SETS)
def test_a_set_survives_parsing_and_ordering(fields: dict) -> None:
    assert fs.parse(fields) == fields
    assert fs.ordered(fields) == fields
    assert fs.difference(fields, {}) is fields
    assert fs.difference(fields, fields) == {}


@pytest.mark.parametrize(
    ("wire", "parsed"),
    [
        ({'k:{ "b":1, "a":"x"}': {}}, {'k:{"a":"x","b":1}': {}}),
        ({"f:a": {".": {}}}, {"f:a": {}}),
        ({'v: "x"': {}}, {'v:"x"': {}}),
        ({"i:3": {}}, {"i:3": {}}),
        ({"q:x": {}}, {}),
    ],
)
def test_parsing_brings_sets_into_one_form(wire: dict, parsed: dict) -> None:
    assert fs.parse(wire) == parsed


@pytest.mark.parametrize("wire", [{"fa": {}}, {"k:[]": {}}, {"k:{": {}}, {"i:x": {}}, {"f:a": []}, []])
def test_malformed_sets_are_refused(wire: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        fs.parse(wire)


@pytest.mark.parametrize(
    ("element", "shown"),
    [
        ("f:spec", ".spec"),
        ('k:{"name":"web"}', '[name="web"]'),
        ('k:{"containerPort":80,"protocol":"TCP"}', '[containerPort=80,protocol="TCP"]'),
        ('v:"a\\"b"', '[="a\\"b"]'),
        ("v:true", "[=true]"),
        ("i:3", "[3]"),
    ],
)
def test_elements_in_messages(element: str, shown: str) -> None:
    assert fs.show_element(element) == shown


def test_list_keys_take_their_default() -> None:
    ports = keyed(PORT, "containerPort", "protocol")
    assert fs.element({"containerPort": 80}, ports) == 'k:{"containerPort":80,"protocol":"TCP"}'
    assert fs.element({"protocol": "UDP"}, ports) == 'k:{"protocol":"UDP"}'
    containers = keyed(CONTAINER, "name")
    assert fs.element({"name": "a<b"}, containers) == 'k:{"name":"a\\u003cb"}'
    with pytest.raises(fs.Unkeyed, match=r'omits all key fields \["name"\]'):
        fs.element({"image": "x"}, containers)


def test_the_fields_of_an_applied_configuration() -> None:
    applied = deployment({"name": "a", "env": [], "ports": [{"containerPort": 80}]}, labels={}, replicas=1)
    assert fs.field_set(applied["spec"], DEPLOYMENT.properties["spec"]) == {
        "f:replicas": {},
        "f:template": {
            "f:spec": {
                "f:containers": {
                    'k:{"name":"a"}': {
                        ".": {},
                        "f:name": {},
                        "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
                    }
                }
            }
        },
    }
    assert fs.field_set(applied["metadata"], DEPLOYMENT.properties["metadata"])["f:labels"] == {}


@pytest.mark.parametrize(
    ("old", "new", "changed", "removed"),
    [
        ({}, {}, {}, {}),
        ({"replicas": 1}, {"replicas": 1}, {}, {}),
        ({"replicas": 1}, {"replicas": 2}, {"f:replicas": {}}, {}),
        ({"replicas": 1}, {}, {}, {"f:replicas": {}}),
        ({"free": 1}, {"free": True}, {"f:free": {}}, {}),
        ({"free": 1}, {"free": 1.0}, {}, {}),
        ({"free": {"a": 1}}, {"free": 1}, {"f:free": {}}, {"f:free": {"f:a": {}}}),
        ({"free": 1}, {"free": {"a": 1}}, {"f:free": {".": {}, "f:a": {}}}, {}),
        ({"free": {"a": [1]}}, {"free": {"a": [2], "b": {}}}, {"f:free": {"f:a": {}, "f:b": {}}}, {}),
        ({"strategy": {"type": "a"}}, {"strategy": {}}, {}, {"f:strategy": {"f:type": {}}}),
    ],
)
def test_differences(old: dict, new: dict, changed: dict, removed: dict) -> None:
    assert fs.diff(old, new, DEPLOYMENT.properties["spec"]) == (changed, removed)


def _diff(*pair: list) -> tuple[dict, dict]:
    def wrapped(containers: list) -> dict:
        return {"c": containers}

    node = fs.SchemaNode("object", {"c": keyed(CONTAINER, "name")})
    return fs.diff(wrapped(pair[0]), wrapped(pair[1]), node)


A, B = 'k:{"name":"a"}', 'k:{"name":"b"}'


@pytest.mark.parametrize(
    ("old", "new", "changed", "removed"),
    [
        ([{"name": "a"}], [{"name": "a", "image": "x"}], {"f:c": {A: {"f:image": {}}}}, {}),
        (
            [{"name": "a"}],
            [{"name": "b"}],
            {"f:c": {B: {".": {}, "f:name": {}}}},
            {"f:c": {A: {".": {}, "f:name": {}}}},
        ),
        ([{"name": "a"}, {"name": "b"}], [{"name": "b"}, {"name": "a"}], {}, {}),
        ([{"name": "a"}], [{"name": "a"}, {"name": "a"}], {"f:c": {A: {}}}, {}),
        ([{"name": "a", "args": ["x"]}], [{"name": "a", "args": ["y"]}], {"f:c": {A: {"f:args": {}}}}, {}),
    ],
)
def test_differences_of_keyed_lists(old: list, new: list, changed: dict, removed: dict) -> None:
    assert _diff(old, new) == (changed, removed)
