"""Custom schemas: what is pruned and defaulted, and what is said of values that don't fit."""

from typing import Any

import pytest

from minikube_py.objects.meta import deep_copy
from minikube_py.resources.apiextensions.expression_rules import validate_expressions
from minikube_py.resources.apiextensions.structural_rules import validate_structural
from minikube_py.resources.custom import cleaning
from minikube_py.resources.custom.checks import MISSING, ValueCheck
from minikube_py.resources.custom.invariants import validate_embedded, validate_lists
from minikube_py.resources.custom.json_path import find
from minikube_py.resources.custom.json_path import parse as parse_path
from minikube_py.resources.custom.rules import PATIENCE, RuleSet, TooLong
from minikube_py.resources.custom.structural import parse
from minikube_py.resources.fields import FieldErrors, Path


def spec(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"spec": schema}}


def complaints(errors: FieldErrors) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in errors.causes]


def check(schema: dict[str, Any], value: Any, old: Any = MISSING) -> list[str]:
    errors = FieldErrors()
    before = MISSING if old is MISSING else {"spec": old}
    ValueCheck.of(parse(spec(schema))).validate({"spec": value}, errors, old=before)
    return complaints(errors)


BODY = "spec in body"
INVALID = [
    ({"type": "integer"}, "x", f'spec: Invalid value: "string": {BODY} must be of type integer: "string"'),
    ({"type": "string"}, 1, f'spec: Invalid value: "integer": {BODY} must be of type string: "integer"'),
    ({"type": "string"}, None, f'spec: Invalid value: "null": {BODY} must be of type string: "null"'),
    ({"type": "integer"}, 1.5, f'spec: Invalid value: "number": {BODY} must be of type integer: "number"'),
    (
        {"x-kubernetes-int-or-string": True}, True,
        f'spec: Invalid value: "boolean": {BODY} must be of type integer,string: "boolean"',
    ),
    ({"type": "string", "enum": ["a", "b"]}, "c", 'spec: Unsupported value: "c": supported values: "a", "b"'),
    ({"type": "string", "pattern": "^a+$"}, "b", f"spec: Invalid value: \"b\": {BODY} should match '^a+$'"),
    ({"type": "string", "minLength": 2}, "b", f'spec: Invalid value: "b": {BODY} should be at least 2 chars long'),
    ({"type": "string", "maxLength": 1}, "bb", "spec: Too long: may not be more than 1 byte"),
    ({"type": "integer", "minimum": 1}, 0, f"spec: Invalid value: 0: {BODY} should be greater than or equal to 1"),
    (
        {"type": "number", "maximum": 1.5, "exclusiveMaximum": True}, 1.5,
        f"spec: Invalid value: 1.5: {BODY} should be less than 1.5",
    ),
    ({"type": "integer", "multipleOf": 3}, 4, f"spec: Invalid value: 4: {BODY} should be a multiple of 3"),
    (
        {"type": "array", "items": {"type": "string"}, "minItems": 1}, [],
        f"spec: Invalid value: 0: {BODY} should have at least 1 items",
    ),
    (
        {"type": "array", "items": {"type": "string"}, "maxItems": 1}, ["a", "b"],
        "spec: Too many: 2: must have at most 1 item",
    ),
    ({"type": "object", "required": ["a"]}, {}, "spec.a: Required value"),
    (
        {"type": "array", "items": {"type": "string"}}, ["a", 1],
        'spec[1]: Invalid value: "integer": spec[1] in body must be of type string: "integer"',
    ),
    (
        {"type": "string", "format": "date-time"}, "soon",
        f'spec: Invalid value: "soon": {BODY} must be of type date-time: "soon"',
    ),
    (
        {"type": "integer", "format": "int32"}, 2**31,
        '<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec',
    ),
    (
        {"type": "integer", "not": {"enum": [1]}}, 1,
        '<nil>: Invalid value: "": "spec" must not validate the schema (not)',
    ),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "value", "text"), INVALID)
def test_says_what_is_wrong(schema: dict[str, Any], value: Any, text: str) -> None:
    assert check(schema, value) == [text]


VALID = [
    ({"type": "string", "nullable": True}, None),
    ({"type": "integer"}, 1.0),
    ({"type": "number"}, 1),
    ({"x-kubernetes-int-or-string": True}, "50%"),
    ({"x-kubernetes-preserve-unknown-fields": True}, {"any": [1, None]}),
    ({"type": "string", "format": "no-such-format"}, "x"),
    ({"type": "object", "additionalProperties": {"type": "integer"}}, {"a": 1}),
    ({"type": "string", "pattern": "b"}, "abc"),
]


@pytest.mark.parametrize(("schema", "value"), VALID)
def test_lets_pass(schema: dict[str, Any], value: Any) -> None:
    assert check(schema, value) == []


def test_one_of_tells_how_many_schemas_pass() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
    }
    start = '<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found'
    assert check(schema, {}) == [f"{start} none valid", "spec.a: Required value"]
    assert check(schema, {"a": "x", "b": "y"}) == [f"{start} 2 valid alternatives"]
    assert check(schema, {"b": "y"}) == []


def test_a_wrong_value_that_stays_is_nobodys_fault() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 5}, "b": {"type": "integer"}}}
    assert check(schema, {"a": 1, "b": 2}, {"a": 1, "b": 1}) == []
    assert len(check(schema, {"a": 2, "b": 2}, {"a": 1, "b": 1})) == 1


def test_prunes_what_the_schema_does_not_know() -> None:
    root = parse(
        spec(
            {
                "type": "object",
                "properties": {
                    "known": {"type": "string"},
                    "open": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                        "properties": {"closed": {"type": "object", "properties": {}}},
                    },
                    "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
                    "embedded": {
                        "type": "object", "x-kubernetes-embedded-resource": True,
                        "properties": {"x": {"type": "string"}},
                    },
                },
            }
        )
    )  # fmt: skip
    obj = {
        "apiVersion": "g/v1", "kind": "K", "metadata": {"name": "n", "odd": 1}, "other": 1,
        "spec": {
            "known": "x", "typo": 1, "open": {"any": 1, "closed": {"gone": 1}}, "list": [{"a": "x", "b": 1}],
            "embedded": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "wrong": 1}, "x": "x", "y": 1},
        },
    }  # fmt: skip
    report = cleaning.clean(obj, root)
    assert report.unknown_fields == (
        "metadata.odd", "other", "spec.embedded.metadata.wrong", "spec.embedded.y", "spec.list[0].b",
        "spec.open.closed.gone", "spec.typo",
    )  # fmt: skip
    assert obj["spec"] == {
        "known": "x", "open": {"any": 1, "closed": {}}, "list": [{"a": "x"}],
        "embedded": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "x": "x"},
    }  # fmt: skip


def test_defaults_fill_gaps_and_stray_nulls() -> None:
    root = parse(
        spec(
            {
                "type": "object",
                "default": {},
                "properties": {
                    "a": {"type": "integer", "default": 1},
                    "b": {"type": "string", "nullable": True, "default": "x"},
                    "c": {"type": "string"},
                    "list": {
                        "type": "array",
                        "items": {"type": "object", "properties": {"p": {"default": "TCP", "type": "string"}}},
                    },
                },
            }
        )
    )
    obj: dict[str, Any] = {"spec": {"a": None, "b": None, "c": None, "list": [{}]}}
    cleaning.clean(obj, root)
    cleaning.default(obj, root)
    assert obj == {"spec": {"a": 1, "b": None, "list": [{"p": "TCP"}]}}
    empty: dict[str, Any] = {}
    cleaning.default(empty, root)
    assert empty == {"spec": {"a": 1, "b": "x"}}
    again = deep_copy(empty)
    cleaning.default(again, root)
    assert again == empty


def test_lists_hold_each_key_once() -> None:
    items = {"type": "object", "properties": {"name": {"type": "string"}}}
    root = parse(
        {
            "type": "object",
            "properties": {
                "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "map": {
                    "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                    "items": items,
                },
            },
        }
    )  # fmt: skip
    errors = FieldErrors()
    validate_lists({"set": ["a", "b", "a"], "map": [{"name": "x"}, {"name": "x"}]}, root, Path(), errors)
    assert complaints(errors) == ['set[2]: Duplicate value: "a"', 'map[1]: Duplicate value: {"name":"x"}']


def test_embedded_resources_have_a_kind_and_good_metadata() -> None:
    root = parse(
        spec({"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True})
    )
    errors = FieldErrors()
    validate_embedded(
        {"spec": {"apiVersion": "v1", "metadata": {"name": "x", "namespace": "Bad"}}}, root, Path(), errors
    )
    assert [cause.field for cause in errors.causes] == ["spec.kind", "spec.metadata.namespace"]


NOT_STRUCTURAL = [
    (
        {"properties": {"a": {}}, "type": "object"},
        "s.properties[a].type: Required value: must not be empty for specified object fields",
    ),
    ({"type": "string"}, 's.type: Invalid value: "string": must be object at the root'),
    (
        {"type": "object", "additionalProperties": True},
        "s.additionalProperties: Forbidden: must not be used at the root",
    ),
    (
        {"type": "object", "anyOf": [{"properties": {"a": {"minimum": 1}}}]},
        "s.properties[a]: Required value: because it is defined in s.anyOf[0].properties[a]",
    ),
    (
        {"type": "object", "not": {"description": "x"}},
        "s.not.description: Forbidden: must be empty to be structural",
    ),
    (
        {"type": "object", "properties": {"a": {"type": "array"}}},
        "s.properties[a].items: Required value: must be specified",
    ),
]


@pytest.mark.parametrize(("schema", "text"), NOT_STRUCTURAL)
def test_schemas_are_structural(schema: dict[str, Any], text: str) -> None:
    errors = FieldErrors()
    validate_structural(schema, Path("s"), errors)
    assert complaints(errors) == [text]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.a", [1]),
        (".spec['b.c']", [2]),
        (r".spec.b\.c", [2]),
        (".spec.list[0].n", ["x"]),
        (".spec.list[*].n", ["x", "y"]),
        ('.spec.list[?(@.n=="y")].v', [5]),
        (".spec.none.more", []),
    ],
)
def test_simple_json_paths(path: str, found: list[Any]) -> None:
    obj = {"spec": {"a": 1, "b.c": 2, "list": [{"n": "x"}, {"n": "y", "v": 5}]}}
    assert find(parse_path(path), obj) == found


# --- rules


def rule(text: str, **more: Any) -> dict[str, Any]:
    return {"rule": text, **more}


def run(schema: dict[str, Any], new: Any, old: Any = None) -> list[str]:
    errors = FieldErrors()
    RuleSet.of(parse(schema)).validate(new, old, errors)
    return complaints(errors)


def numbers(*rules: dict[str, Any]) -> dict[str, Any]:
    properties = {"a": {"type": "integer"}, "b": {"type": "integer"}, "namespace": {"type": "string"}}
    return spec({"type": "object", "properties": properties, "x-kubernetes-validations": list(rules)})


def test_rules_pass_and_fail_with_their_message() -> None:
    schema = numbers(rule("self.a <= self.b"))
    assert run(schema, {"spec": {"a": 1, "b": 2}}) == []
    assert run(schema, {"spec": {"a": 3, "b": 2}}) == ["spec: Invalid value: failed rule: self.a <= self.b"]
    named = numbers(rule("self.a <= self.b", message="too big", fieldPath=".a", reason="FieldValueForbidden"))
    assert run(named, {"spec": {"a": 3, "b": 2}}) == ["spec.a: Forbidden: too big"]
    spoken = numbers(rule("self.a < 1", messageExpression="'a is ' + string(self.a)"))
    assert run(spoken, {"spec": {"a": 3}}) == ["spec: Invalid value: a is 3"]
    assert run(numbers(rule("self.__namespace__ == 'x'")), {"spec": {"namespace": "x"}}) == []


def test_rules_that_fail_to_run_say_why() -> None:
    assert run(numbers(rule("self.a > 1")), {"spec": {}}) == [
        'spec: Invalid value: "object": no such key: a evaluating rule: self.a > 1'
    ]


def test_transition_rules_need_an_old_value() -> None:
    schema = numbers(rule("self.a == oldSelf.a"))
    assert run(schema, {"spec": {"a": 1}}) == []
    assert run(schema, {"spec": {"a": 1}}, {"spec": {"a": 1}}) == []
    assert run(schema, {"spec": {"a": 2}}, {"spec": {"a": 1}}) == [
        "spec: Invalid value: failed rule: self.a == oldSelf.a"
    ]
    optional = numbers(rule("oldSelf.hasValue() || self.a == 0", optionalOldSelf=True))
    assert len(run(optional, {"spec": {"a": 1}})) == 1
    assert run(optional, {"spec": {"a": 1}}, {"spec": {"a": 0}}) == []


def test_library_functions() -> None:
    for text in (
        "[1, 2, 3].sum() == 6",
        "[1, 2].isSorted()",
        "[3, 1].max() == 3",
        "'abc 123'.find('[0-9]+') == '123'",
        "isIP('10.0.0.1') && !isCIDR('10.0.0.1')",
        "isQuantity('1Gi') && isURL('https://x.y') && isSemver('1.2.3')",
        "sets.contains([1, 2], [1])",
        "'a,b'.split(',').size() == 2",
    ):
        assert run(numbers(rule(text)), {"spec": {"a": 1}}) == [], text


def test_a_costly_rule_is_not_run() -> None:
    schema = {
        "type": "object",
        "properties": {"list": {"type": "array", "items": {"type": "integer"}}},
        "x-kubernetes-validations": [rule("self.list.all(x, self.list.all(y, x == y))")],
    }
    found = run(schema, {"list": [1] * 2000})
    assert len(found) == 1
    assert "call cost exceeds limit" in found[0]
    assert run(schema, {"list": [1] * 10}) == []


def test_rules_end_where_there_is_no_patience_for_them() -> None:
    schema = {
        "type": "object",
        "properties": {"list": {"type": "array", "items": {"type": "integer"}}},
        "x-kubernetes-validations": [rule("self.list.all(x, self.list.all(y, x != y || x == y))")],
    }
    assert run(schema, {"list": list(range(150))}) == []
    before = PATIENCE.set(10_000)
    try:
        with pytest.raises(TooLong):
            run(schema, {"list": list(range(150))})
        assert run(schema, {"list": [1, 2]}) == []
    finally:
        PATIENCE.reset(before)


def test_rules_are_checked_for_types_when_they_are_written() -> None:
    errors = FieldErrors()
    schema = numbers(rule("self.a == 'x'"), rule("quantity(self.__namespace__).isGreaterThan(quantity('1'))"))
    validate_expressions(parse(schema), Path("s"), errors)
    [text] = complaints(errors)
    assert "compilation failed: ERROR: <input>:1:8: found no matching overload for '_==_'" in text
