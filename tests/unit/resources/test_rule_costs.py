"""What the rules of custom schemas may cost: estimates beside Kubernetes' limits."""

from typing import Any

import pytest

from minikube_py.resources.apiextensions.expression_rules import validate_expressions
from minikube_py.resources.custom.structural import parse
from minikube_py.resources.fields import FieldErrors, Path

TEXT, SHORT = {"type": "string"}, {"type": "string", "maxLength": 253}


def listing(items: dict[str, Any], most: int | None = None) -> dict[str, Any]:
    return {"type": "array", "items": items} | ({"maxItems": most} if most is not None else {})


def named(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"name": SHORT, **properties}}


UNIQUE = "self.all(a, self.exists_one(b, a.name == b.name))"
SIX_DEEP = "self.all(a, self.all(b, self.all(c, self.all(d, self.all(e, self.all(f, true))))))"


@pytest.mark.parametrize(
    ("schema", "rule", "is_refused"),
    [
        (TEXT, "self == 'x'", False),
        (TEXT, "self.matches('^[a-z]+$')", False),
        (TEXT, "self.contains(self)", True),
        (SHORT, "self.contains(self)", False),
        (listing(named(), 64), UNIQUE, False),
        (listing(named()), "self.all(a, a.name != '')", False),
        (listing(named()), UNIQUE, True),
        (listing(named(more=listing(TEXT)), 64), UNIQUE, False),
        (listing(TEXT, 100), "self.all(a, a == 'x')", False),
        (listing(TEXT), SIX_DEEP, True),
        (listing(TEXT, 5), SIX_DEEP, False),
        ({"type": "object", "additionalProperties": TEXT}, "self.all(k, k in self)", False),
        ({"type": "object", "additionalProperties": TEXT}, "self.all(k, self.exists(l, k != l))", True),
        (listing(SHORT), "self.all(a, a in self)", True),
        (named(when=TEXT), "duration(self.when) > duration('1s')", False),
        (SHORT, "format.dns1123Label().validate(self).hasValue()", False),
    ],
)
def test_rules_within_and_over_the_limit(schema: dict[str, Any], rule: str, is_refused: bool) -> None:
    found = complaints({**schema, "x-kubernetes-validations": [{"rule": rule}]})
    assert any("estimated rule cost exceeds budget by factor of" in text for text in found) is is_refused, found


def complaints(schema: dict[str, Any]) -> list[str]:
    errors = FieldErrors()
    validate_expressions(parse(schema), Path("schema"), errors)
    return [cause.message for cause in errors.causes]


def test_rules_of_elements_count_once_for_each_element_that_may_be() -> None:
    rule = {"x-kubernetes-validations": [{"rule": "self.matches('^a+$')"}]}
    assert complaints(listing({**SHORT, **rule}, 1000)) == []
    assert "exceeds budget by factor of" in complaints(listing(listing({**SHORT, **rule}, 1000), 1000))[0]
    # Without limits, as many as fit into a request, however the lists nest.
    cheap = {"x-kubernetes-validations": [{"rule": "has(self.name)"}]}
    assert complaints(listing(listing({**named(), **cheap}))) == []
    assert complaints(listing(listing({**SHORT, **rule}))) != []


def test_all_rules_of_a_schema_together_have_a_limit_too() -> None:
    rules = {"x-kubernetes-validations": [{"rule": f"self.all(a, a.name != '{n}')"} for n in range(300)]}
    found = complaints({**listing(named(), 100_000), **rules})
    assert [text.partition(" exceeds")[0].removeprefix("Forbidden: ") for text in found] == [
        "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
    ]
