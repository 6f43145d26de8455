"""Label, field and node selectors: grammar, matching and error texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_py.objects.selectors import (
    EVERYTHING,
    NOTHING,
    FieldSelector,
    LabelSelector,
    NodeSelector,
    NodeSelectorTerm,
    format_label_selector,
)

LABELS = {"app": "web", "tier": "1", "x.io/y": ""}


@pytest.mark.parametrize(
    ("text", "matches", "shown"),
    [
        ("", True, ""),
        ("app=web", True, "app=web"),
        ("app==web", True, "app==web"),
        ("app!=web", False, "app!=web"),
        ("other!=web", True, "other!=web"),
        ("app in (b, web)", True, "app in (b,web)"),
        ("app notin (b)", True, "app notin (b)"),
        ("other notin (b)", True, "other notin (b)"),
        ("app", True, "app"),
        ("!app", False, "!app"),
        ("!other", True, "!other"),
        ("tier>0,tier<2", True, "tier>0,tier<2"),
        ("app>0", False, "app>0"),
        ("x.io/y=", True, "x.io/y="),
        ("x.io/y in ()", True, "x.io/y in ()"),
        ("x.io/y in (,a)", True, "x.io/y in (,a)"),
        (" tier = 1 , app = web ", True, "app=web,tier=1"),
        ("in in (in)", False, "in in (in)"),
    ],
)
def test_label_selector(text: str, matches: bool, shown: str) -> None:
    selector = LabelSelector.parse(text)
    assert selector.matches(LABELS) is matches
    assert str(selector) == shown
    assert selector.is_empty is (text == "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,", "found '', expected: identifier after ','"),
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a>b", "values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value must be an integer"),
        ("a==!", "unable to parse requirement: found '!', expected: identifier"),
    ],
)
def test_label_selector_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        LabelSelector.parse(text)
    assert str(caught.value).removeprefix("unable to parse requirement: ") == message.removeprefix(
        "unable to parse requirement: "
    )


def test_bad_key_has_kubernetes_text() -> None:
    with pytest.raises(ValueError, match=r'^unable to parse requirement: <nil>: Invalid value: "-a": name part must'):
        LabelSelector.parse("-a=b")


@pytest.mark.parametrize(
    ("selector", "matches", "shown"),
    [
        (None, False, "<none>"),
        ({}, True, "<none>"),
        ({"matchLabels": {"app": "web"}}, True, "app=web"),
        ({"matchLabels": {"app": "x"}}, False, "app=x"),
        (
            {"matchLabels": {"tier": "1"}, "matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]},
            True,
            "app in (web),tier=1",
        ),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False, "!app"),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}, True, "app notin (a)"),
    ],
)
def test_label_selector_from_dict(selector: dict | None, matches: bool, shown: str) -> None:
    assert LabelSelector.from_dict(selector).matches(LABELS) is matches
    assert format_label_selector(selector) == shown


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ({"key": "a", "operator": "Gt"}, '"Gt" is not a valid label selector operator'),
        (
            {"key": "a", "operator": "In"},
            "values: Invalid value: null: for 'in', 'notin' operators, values set can't be empty",
        ),
        (
            {"key": "a", "operator": "Exists", "values": ["b"]},
            'values: Invalid value: ["b"]: values set must be empty for exists and does not exist',
        ),
    ],
)
def test_label_selector_from_dict_refused(expression: dict, message: str) -> None:
    selector = {"matchExpressions": [expression]}
    with pytest.raises(ValueError, match=r".") as caught:
        LabelSelector.from_dict(selector)
    assert str(caught.value) == message
    assert format_label_selector(selector) == "<error>"


def test_exact_values() -> None:
    selector = LabelSelector.parse("a=1,b in (2),c in (3,4),d")
    assert [selector.exact(k) for k in "abcde"] == ["1", "2", None, None, None]


def test_everything_and_nothing() -> None:
    assert EVERYTHING.matches({})
    assert EVERYTHING.matches(None)
    assert not NOTHING.matches(LABELS)
    assert not NOTHING.is_empty
    assert LabelSelector.from_labels({"app": "web"}) == LabelSelector.parse("app=web")


NAMES = st.text("abz019", min_size=1, max_size=4)


@given(st.dictionaries(NAMES, NAMES, max_size=4), st.dictionaries(NAMES, NAMES, max_size=4))
def test_equality_selectors_match_subsets_and_round_trip(wanted: dict, labels: dict) -> None:
    selector = LabelSelector.from_labels(wanted)
    assert selector.matches(labels) is (wanted.items() <= labels.items())
    assert LabelSelector.parse(str(selector)) == selector


FIELDS = {"metadata.name": "a,b", "spec.nodeName": "n1"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("spec.nodeName=n1", True),
        ("spec.nodeName==n1,metadata.name!=x", True),
        ("spec.nodeName!=n1", False),
        ("missing=", True),
        ("missing!=", False),
        ("metadata.name=a\\,b", True),
    ],
)
def test_field_selector(text: str, matches: bool) -> None:
    selector = FieldSelector.parse(text)
    assert selector.matches(FIELDS) is matches
    assert FieldSelector.parse(str(selector)) == selector


def test_field_selector_questions() -> None:
    selector = FieldSelector.parse("a=1,b!=2")
    assert selector.keys() == {"a", "b"}
    assert (selector.exact("a"), selector.exact("b")) == ("1", None)
    assert FieldSelector.parse(",").is_empty


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abc", "invalid selector: 'abc'; can't understand 'abc'"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ("a=\\x", "invalid field selector: invalid escape sequence: \\x"),
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
    ],
)
def test_field_selector_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        FieldSelector.parse(text)
    assert str(caught.value) == message


def _expression(operator: str, *values: str, key: str = "tier") -> dict:
    return {"key": key, "operator": operator, "values": list(values)}


@pytest.mark.parametrize(
    ("term", "matches"),
    [
        ({}, False),
        ({"matchExpressions": [_expression("In", "1", "2")]}, True),
        ({"matchExpressions": [_expression("NotIn", "1")]}, False),
        ({"matchExpressions": [_expression("NotIn", "1", key="none")]}, True),
        ({"matchExpressions": [_expression("Exists")]}, True),
        ({"matchExpressions": [_expression("DoesNotExist")]}, False),
        ({"matchExpressions": [_expression("Gt", "0"), _expression("Lt", "2")]}, True),
        ({"matchExpressions": [_expression("Gt", "1")]}, False),
        ({"matchExpressions": [_expression("Gt", "0", "1")]}, False),
        ({"matchExpressions": [_expression("Bogus", "0")]}, False),
        ({"matchFields": [_expression("In", "n1", key="metadata.name")]}, True),
        ({"matchFields": [_expression("NotIn", "n1", key="metadata.name")]}, False),
        ({"matchFields": [_expression("In", "n1", "n2", key="metadata.name")]}, False),
        (
            {
                "matchExpressions": [_expression("Exists")],
                "matchFields": [_expression("In", "n2", key="metadata.name")],
            },
            False,
        ),
    ],
)
def test_node_selector_term(term: dict, matches: bool) -> None:
    assert NodeSelectorTerm(term).matches(LABELS, {"metadata.name": "n1"}) is matches
    selector = NodeSelector({"nodeSelectorTerms": [{}, term]})
    assert selector.matches(LABELS, {"metadata.name": "n1"}) is matches
