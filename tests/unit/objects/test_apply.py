"""Server-side apply: merging, ownership, conflicts, and what is given up."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_py.objects.apply import LAST_APPLIED, Operation, apply_patch, from_paths, update_managed_fields
from minikube_py.objects.errors import ApiError, ApplyConflict, BadRequest
from tests.unit.objects.small_schema import DEPLOYMENT, deployment

T0, T1 = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"


def _apply(live: dict | None, applied: dict, manager: str = "a", *, force: bool = False, **more: Any) -> dict:
    before = copy.deepcopy((live, applied))
    operation = Operation(manager, "apps/v1", **{"time": T0, **more})
    result = apply_patch(live, applied, DEPLOYMENT, operation, force=force)
    assert (live, applied) == before
    return result


def _update(live: dict, manager: str = "u", **spec: Any) -> dict:
    new = copy.deepcopy(live)
    new["spec"] |= spec
    update_managed_fields(live, new, DEPLOYMENT, Operation(manager, "apps/v1", time=T0))
    return new


def _owners(obj: dict) -> dict[str, Any]:
    return {e["manager"]: e["fieldsV1"] for e in obj["metadata"].get("managedFields", ())}


def _nothing() -> dict:
    return {k: v for k, v in deployment().items() if k != "spec"}


def _conflict(live: dict | None, applied: dict, manager: str = "a", **more: Any) -> ApplyConflict:
    with pytest.raises(ApplyConflict) as caught:
        _apply(live, applied, manager, **more)
    return caught.value


def test_creates() -> None:
    obj = _apply(None, deployment({"name": "c"}, replicas=1))
    entry = obj["metadata"].pop("managedFields")[0]
    assert obj == deployment({"name": "c"}, replicas=1)
    assert entry == {
        "manager": "a",
        "operation": "Apply",
        "apiVersion": "apps/v1",
        "time": T0,
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:spec": {
                "f:replicas": {},
                "f:template": {"f:spec": {"f:containers": {'k:{"name":"c"}': {".": {}, "f:name": {}}}}},
            }
        },
    }


def test_applying_the_same_again_changes_nothing() -> None:
    live = _apply(None, deployment({"name": "c"}, replicas=1))
    assert _apply(live, deployment({"name": "c"}, replicas=1), time=T1) == live


def test_a_changed_value_moves_the_time() -> None:
    live = _apply(None, deployment(replicas=1))
    obj = _apply(live, deployment(replicas=2), time=T1)
    assert (obj["spec"], obj["metadata"]["managedFields"][0]["time"]) == ({"replicas": 2}, T1)


def test_a_field_no_longer_applied_goes() -> None:
    live = _apply(None, deployment({"name": "c", "env": [{"name": "E", "value": "1"}]}, labels={"l": "1"}, replicas=1))
    obj = _apply(live, deployment({"name": "c"}))
    assert obj["spec"] == {"template": {"spec": {"containers": [{"name": "c"}]}}}
    assert "labels" not in obj["metadata"]


def test_what_another_manager_owns_stays() -> None:
    live = _apply(None, deployment({"name": "c"}, replicas=1), "a")
    live = _apply(live, deployment({"name": "d"}, replicas=1), "b")
    obj = _apply(live, _nothing(), "a")
    assert obj["spec"] == {"replicas": 1, "template": {"spec": {"containers": [{"name": "d"}]}}}
    assert set(_owners(obj)) == {"b"}


def test_what_nobody_applied_stays() -> None:
    live = _update(_apply(None, deployment(replicas=1)), paused=True)
    assert _apply(live, _nothing())["spec"] == {"paused": True}


def test_an_empty_container_that_is_applied_stays() -> None:
    obj = _apply(_apply(None, deployment(free={"x": 1}, replicas=1)), deployment(free={}))
    assert obj["spec"] == {"free": {}}
    assert "spec" not in _apply(obj, _nothing())


def test_equal_values_are_shared() -> None:
    live = _apply(None, deployment(replicas=1), "a")
    obj = _apply(live, deployment(replicas=1), "b")
    assert _owners(obj) == {"a": {"f:spec": {"f:replicas": {}}}, "b": {"f:spec": {"f:replicas": {}}}}


def test_one_conflict_has_kubernetes_text() -> None:
    live = _update(_apply(None, deployment(paused=True)), "kubectl", replicas=1)
    error = _conflict(live, deployment(replicas=2))
    assert error.message == 'Apply failed with 1 conflict: conflict with "kubectl" using apps/v1: .spec.replicas'
    assert (error.code, error.reason) == (409, "Conflict")
    assert error.details == {
        "causes": [
            {
                "reason": "FieldManagerConflict",
                "message": 'conflict with "kubectl" using apps/v1',
                "field": ".spec.replicas",
            }
        ]
    }


def test_several_conflicts_are_listed_by_manager() -> None:
    live = _apply(None, deployment({"name": "c", "image": "1"}, paused=True), "b")
    new = {**copy.deepcopy(live), "status": {"replicas": 1}}
    update_managed_fields(live, new, DEPLOYMENT, Operation("s", "apps/v1", "status", time=T0))
    error = _conflict(new, {**deployment({"name": "c", "image": "2"}, paused=False), "status": {"replicas": 2}})
    assert error.message == (
        'Apply failed with 3 conflicts: conflicts with "b":\n'
        "- .spec.paused\n"
        '- .spec.template.spec.containers[name="c"].image\n'
        'conflicts with "s" with subresource "status" using apps/v1:\n'
        "- .status.replicas"
    )


def test_force_takes_the_field() -> None:
    live = _apply(None, deployment(replicas=1, paused=True), "b")
    obj = _apply(live, deployment(replicas=2), "a", force=True)
    assert obj["spec"] == {"replicas": 2, "paused": True}
    assert _owners(obj) == {"a": {"f:spec": {"f:replicas": {}}}, "b": {"f:spec": {"f:paused": {}}}}


def test_a_manager_that_lost_everything_is_gone() -> None:
    live = _apply(None, deployment(replicas=1), "b")
    assert set(_owners(_apply(live, deployment(replicas=2), force=True))) == {"a"}


def test_an_object_without_owners_belongs_to_before_first_apply() -> None:
    live = {**deployment(replicas=1, paused=True), "metadata": {"name": "web", "namespace": "default", "uid": "u"}}
    error = _conflict(live, deployment(replicas=2))
    assert '"before-first-apply" using apps/v1: .spec.replicas' in error.message
    obj = _apply(live, deployment(replicas=1))
    assert _owners(obj) == {
        "a": {"f:spec": {"f:replicas": {}}},
        "before-first-apply": {"f:spec": {"f:paused": {}, "f:replicas": {}}},
    }


def test_reset_fields_are_neither_owned_nor_in_conflict() -> None:
    reset = from_paths("status")
    live = _apply(None, {**deployment(replicas=1), "status": {"phase": "x"}}, "b", subresource="status")
    obj = _apply(live, {**deployment(replicas=1), "status": {"phase": "y"}}, reset_fields=reset)
    assert "f:status" not in _owners(obj)["a"]


def test_subresources_are_managers_of_their_own() -> None:
    live = _apply(None, deployment(replicas=1))
    obj = _apply(live, {**deployment(), "status": {"phase": "x"}}, subresource="status")
    assert [e.get("subresource") for e in obj["metadata"]["managedFields"]] == [None, "status"]
    assert obj["spec"] == {"replicas": 1}


@pytest.mark.parametrize(
    ("live", "applied", "merged"),
    [
        ("", "ab", "ab"),
        ("ab", "", "ab"),
        ("abc", "b", "abc"),
        ("abc", "ca", "bca"),
        ("ab", "xa", "xab"),
        ("abcd", "dxb", "acdxb"),
    ],
)
def test_the_order_of_merged_lists(live: str, applied: str, merged: str) -> None:
    def of(names: str) -> dict:
        return deployment(*({"name": name} for name in names))

    start = of(live)
    start["metadata"]["managedFields"] = _owners_nobody()
    obj = _apply(start, of(applied))
    containers = obj["spec"].get("template", {}).get("spec", {}).get("containers", [])
    assert "".join(c["name"] for c in containers) == merged


def _owners_nobody() -> list:
    return [
        {
            "manager": "x",
            "operation": "Update",
            "apiVersion": "apps/v1",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:other": {}},
        }
    ]


@pytest.mark.parametrize(
    ("applied", "text"),
    [
        (deployment(unknown=1), ".spec.unknown: field not declared in schema"),
        (
            deployment({"name": "c"}, {"name": "c"}),
            '.spec.template.spec.containers: duplicate entries for key [name="c"]',
        ),
        (
            deployment({"image": "x"}),
            ".spec.template.spec.containers: element 0: associative list with keys has an element that omits all key"
            ' fields ["name"] (and doesn\'t have default values for any key fields)',
        ),
    ],
)
def test_a_configuration_that_does_not_fit_the_schema(applied: dict, text: str) -> None:
    with pytest.raises(ApiError) as caught:
        _apply(None, applied)
    where = "default/web; apps/v1, Kind=Deployment"
    assert caught.value.message == f"failed to create typed patch object ({where}): {text}"
    assert caught.value.code == 400


def test_bad_requests() -> None:
    with pytest.raises(BadRequest, match=r"metadata.managedFields must be nil"):
        _apply(None, {**deployment(), "metadata": {"name": "web", "managedFields": []}})
    with pytest.raises(BadRequest, match=r"Specified patch version: apps/v9, expected: apps/v1"):
        _apply(None, {**deployment(), "apiVersion": "apps/v9"})


def _client_side_applied(applied: dict, **drift: Any) -> dict:
    live = copy.deepcopy(applied)
    live["metadata"]["annotations"] = {LAST_APPLIED: json.dumps(applied)}
    update_managed_fields(None, live, DEPLOYMENT, Operation("kubectl-client-side-apply", "apps/v1", time=T0))
    return _update(live, "drift", **drift) if drift else live


def test_kubectl_may_change_what_it_applied_client_side() -> None:
    live = _client_side_applied(deployment(replicas=1))
    obj = _apply(live, deployment(replicas=2), "kubectl")
    assert obj["spec"] == {"replicas": 2}
    last = obj["metadata"]["annotations"][LAST_APPLIED]
    assert json.loads(last) == deployment(replicas=2)
    assert _conflict(live, deployment(replicas=2), "flux").message.endswith(".spec.replicas")


def test_kubectl_still_conflicts_with_what_others_changed_since() -> None:
    live = _client_side_applied(deployment(replicas=1, paused=True), replicas=5)
    error = _conflict(live, deployment(replicas=2, paused=False), "kubectl")
    assert error.message == 'Apply failed with 1 conflict: conflict with "drift" using apps/v1: .spec.replicas'


CONTAINERS = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("cde")}, optional={"image": st.sampled_from("12")}),
    max_size=3,
    unique_by=lambda c: c["name"],
)
CONFIGURATIONS = st.builds(
    lambda containers, spec: deployment(*containers, **spec),
    CONTAINERS,
    st.fixed_dictionaries(
        {}, optional={"replicas": st.integers(0, 2), "free": st.dictionaries(st.sampled_from("xy"), st.just(1))}
    ),
)


@given(st.lists(st.tuples(st.sampled_from("ab"), CONFIGURATIONS), min_size=1, max_size=5))
def test_forced_applies_always_win_and_settle(applies: list) -> None:
    live: dict | None = None
    for manager, configuration in applies:
        live = _apply(live, configuration, manager, force=True)
        assert _apply(live, configuration, manager, time=T1) == live
        for name in ("replicas", "free"):
            value = configuration["spec"].get(name)
            if isinstance(value, dict):
                assert value.items() <= live["spec"][name].items()
            elif value is not None:
                assert live["spec"][name] == value


@given(CONFIGURATIONS, CONFIGURATIONS)
def test_a_sole_manager_gets_exactly_what_it_applies(first: dict, second: dict) -> None:
    live = _apply(_apply(None, first), second)
    live["metadata"].pop("managedFields", None)
    assert _without_empty(live) == _without_empty(second)


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {k: _without_empty(v) for k, v in value.items()}
        return {k: v for k, v in kept.items() if v not in ({}, [], None)}
    if isinstance(value, list):
        return sorted((_without_empty(v) for v in value), key=lambda v: json.dumps(v, sort_keys=True))
    return value
