"""DeviceTaintRules: since when a taint has its effect, and what is refused."""

from typing import Any

import pytest

from minikube_py.resources.fields import FieldErrors
from minikube_py.resources.resource.devicetaintrule import RULES


def rule(**taint: Any) -> dict[str, Any]:
    return {"metadata": {"name": "r"}, "spec": {"taint": {"key": "example.com/t", "effect": "NoSchedule", **taint}}}


def test_a_new_taint_says_when_it_was_added() -> None:
    made = rule()
    RULES.default(made)
    assert made["spec"]["taint"]["timeAdded"].endswith("Z")


def test_another_effect_begins_when_it_is_set() -> None:
    old = rule(timeAdded="2026-01-02T03:04:05Z")
    same, other, told = rule(timeAdded="2026-01-02T03:04:05Z", value="v"), rule(**old["spec"]["taint"]), rule()
    other["spec"]["taint"]["effect"] = "NoExecute"
    told["spec"]["taint"] |= {"effect": "NoExecute", "timeAdded": "2026-02-02T03:04:05Z"}
    for new in (same, other, told):
        RULES.prepare_update(new, old)
    assert same["spec"]["taint"]["timeAdded"] == "2026-01-02T03:04:05Z"
    assert other["spec"]["taint"]["timeAdded"] != "2026-01-02T03:04:05Z"
    assert told["spec"]["taint"]["timeAdded"] == "2026-02-02T03:04:05Z"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (rule(key=""), "spec.taint.key"),
        (rule(key="a b"), "spec.taint.key"),
        (rule(effect=""), "spec.taint.effect"),
        (rule(effect="Other"), "spec.taint.effect"),
        (rule(value="a b"), "spec.taint.value"),
        ({"spec": {**rule()["spec"], "deviceSelector": {"driver": "A_b"}}}, "spec.deviceSelector.driver"),
        ({"spec": {**rule()["spec"], "deviceSelector": {"device": "A_b"}}}, "spec.deviceSelector.device"),
        ({"spec": {**rule()["spec"], "deviceSelector": {"pool": "a/B_"}}}, "spec.deviceSelector.pool"),
    ],
)
def test_what_is_refused(wrong: dict[str, Any], field: str) -> None:
    errors = FieldErrors()
    RULES.validate(wrong, errors)
    assert {cause.field for cause in errors.causes} == {field}
