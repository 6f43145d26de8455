"""managedFields on ordinary writes."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_py.objects import field_set, managed_fields
from minikube_py.objects.managed_fields import Operation, manager_of, update_managed_fields
from tests.unit.objects.small_schema import DEPLOYMENT, deployment

T0, T1, T2 = (f"2026-01-01T00:00:0{n}Z" for n in range(3))


def _by(manager: str, time: str = T0, **more: Any) -> Operation:
    return Operation(manager, "apps/v1", time=time, **more)


def _write(live: dict | None, new: dict, operation: Operation) -> dict:
    """The object as stored after a write whose client left managedFields as they were."""
    stored = copy.deepcopy(new)
    if live is not None and "managedFields" in live["metadata"]:
        stored["metadata"].setdefault("managedFields", live["metadata"]["managedFields"])
    if live is not None:
        stored["metadata"]["uid"] = "u"
    before = copy.deepcopy(live)
    update_managed_fields(live, stored, DEPLOYMENT, operation)
    assert live == before
    return stored


def _sets(obj: dict) -> dict[tuple, Any]:
    entries = obj["metadata"].get("managedFields") or []
    return {(e["manager"], e["operation"], e.get("subresource", "")): e["fieldsV1"] for e in entries}


def _created(**spec: Any) -> dict:
    return _write(None, deployment(**spec), _by("kubectl-create"))


def test_create_tracks_what_the_client_set() -> None:
    obj = deployment({"name": "a", "image": "x"}, labels={"app": "web"}, replicas=1)
    obj["metadata"] |= {"uid": "u", "generation": 1, "creationTimestamp": T0, "resourceVersion": "1"}
    update_managed_fields(None, obj, DEPLOYMENT, _by("kubectl-create"))
    assert obj["metadata"]["managedFields"] == [
        {
            "manager": "kubectl-create",
            "operation": "Update",
            "apiVersion": "apps/v1",
            "time": T0,
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {
                    "f:replicas": {},
                    "f:template": {
                        "f:spec": {
                            "f:containers": {
                                ".": {},
                                'k:{"name":"a"}': {".": {}, "f:image": {}, "f:name": {}},
                            }
                        }
                    },
                },
            },
        }
    ]


def test_a_field_belongs_to_who_changed_it_last() -> None:
    live = _created(replicas=1, paused=True)
    after = _write(live, deployment(replicas=2, paused=True), _by("hpa", T1))
    assert _sets(after) == {
        ("kubectl-create", "Update", ""): {"f:spec": {"f:paused": {}}},
        ("hpa", "Update", ""): {"f:spec": {"f:replicas": {}}},
    }
    assert [e["time"] for e in after["metadata"]["managedFields"]] == [T0, T1]


def test_a_removed_field_belongs_to_nobody_and_managers_without_fields_go() -> None:
    live = _write(_created(replicas=1), deployment(replicas=1, paused=True), _by("other", T1))
    after = _write(live, deployment(replicas=1), _by("third", T2))
    assert _sets(after) == {("kubectl-create", "Update", ""): {"f:spec": {"f:replicas": {}}}}


def test_a_write_without_change_keeps_the_times() -> None:
    live = _created(replicas=1)
    after = _write(live, deployment(replicas=1), _by("kubectl-create", T1))
    assert after["metadata"]["managedFields"] == live["metadata"]["managedFields"]


def test_a_manager_s_own_set_grows_and_its_time_moves() -> None:
    after = _write(_created(replicas=1), deployment(replicas=1, paused=True), _by("kubectl-create", T1))
    assert _sets(after) == {("kubectl-create", "Update", ""): {"f:spec": {"f:paused": {}, "f:replicas": {}}}}
    assert after["metadata"]["managedFields"][0]["time"] == T1


def test_status_is_an_entry_of_its_own() -> None:
    live = _created(replicas=1)
    new = {**deployment(replicas=1), "status": {"replicas": 1}}
    after = _write(live, new, _by("kcm", T1, subresource="status", reset_fields=field_set.from_paths("spec")))
    entry = after["metadata"]["managedFields"][1]
    assert (entry["manager"], entry["subresource"], entry["fieldsV1"]) == (
        "kcm",
        "status",
        {"f:status": {"f:replicas": {}}},
    )


def test_reset_fields_are_not_tracked() -> None:
    new = {**deployment(replicas=1), "status": {"replicas": 1}}
    update_managed_fields(None, new, DEPLOYMENT, _by("c", reset_fields=field_set.from_paths("status")))
    assert _sets(new) == {("c", "Update", ""): {"f:spec": {"f:replicas": {}}}}


@pytest.mark.parametrize("sent", [[], [{}]])
def test_the_client_can_reset(sent: list) -> None:
    live = _created(replicas=1)
    new = deployment(replicas=2)
    new["metadata"]["managedFields"] = sent
    after = _write(live, new, _by("c", T1))
    assert "managedFields" not in after["metadata"]
    again = _write(after, deployment(replicas=3), _by("c", T1))
    assert "managedFields" not in again["metadata"]


def test_on_a_subresource_sent_entries_are_ignored() -> None:
    live = _created(replicas=1)
    new = deployment(replicas=1)
    new["metadata"]["managedFields"] = []
    after = _write(live, new, _by("c", T1, subresource="status"))
    assert after["metadata"]["managedFields"] == live["metadata"]["managedFields"]


def test_sent_entries_are_taken_in_normal_form() -> None:
    live = _created(replicas=1)
    entry = {
        "manager": "kubectl",
        "operation": "Apply",
        "apiVersion": "apps/v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {".": {}, "f:x": {'k:{ "b": 1, "a": 2 }': {}}}},
    }
    new = deployment(replicas=1)
    new["metadata"]["managedFields"] = [entry]
    after = _write(live, new, _by("kubectl", T1))
    assert _sets(after) == {("kubectl", "Apply", ""): {"f:spec": {".": {}, "f:x": {'k:{"a":2,"b":1}': {}}}}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operation": "Other"}, "operation must be `Apply` or `Update`"),
        ({"apiVersion": ""}, "apiVersion must not be empty"),
        ({"fieldsType": ""}, "missing fieldsType in managed fields entry 0"),
        ({"fieldsType": "V9"}, 'invalid fieldsType "V9" in managed fields entry 0'),
    ],
)
def test_entries_that_make_no_sense_are_replaced_by_the_stored_ones(change: dict, message: str) -> None:
    live = _created(replicas=1)
    broken = [{**live["metadata"]["managedFields"][0], **change}]
    with pytest.raises(ValueError, match=r".") as caught:
        managed_fields.decode_entries(broken)
    assert str(caught.value) == message
    new = deployment(replicas=1)
    new["metadata"]["managedFields"] = broken
    after = _write(live, new, _by("c", T1))
    assert after["metadata"]["managedFields"] == live["metadata"]["managedFields"]


def test_a_list_that_cannot_be_keyed_leaves_ownership_alone() -> None:
    live = _created(replicas=1)
    after = _write(live, deployment({"image": "no name"}, replicas=2), _by("c", T1))
    assert after["metadata"]["managedFields"] == live["metadata"]["managedFields"]


def test_only_ten_update_managers_are_kept() -> None:
    obj = _created(replicas=0)
    for n in range(1, 25):
        labels = {f"l{i}": "x" for i in range(n)}
        obj = _write(obj, deployment(labels=labels, replicas=0), Operation(f"m{n:02}", "apps/v1", time=f"T{n:02}"))
    sets = _sets(obj)
    assert len(sets) == managed_fields.MAX_UPDATE_MANAGERS
    assert next(iter(sets)) == ("ancient-changes", "Update", "")
    ancient = sets["ancient-changes", "Update", ""]
    assert ancient["f:spec"] == {"f:replicas": {}}
    assert {"f:l0", "f:l14"} <= set(ancient["f:metadata"]["f:labels"])
    assert obj["metadata"]["managedFields"][0]["time"] == "T15"


@pytest.mark.parametrize(
    ("field_manager", "user_agent", "manager"),
    [
        ("me", "kubectl/v1.37", "me"),
        ("", "kubectl/v1.37 (linux)", "kubectl"),
        ("", "a\tb\x00c", "abc"),
        ("", "x" * 200, "x" * 128),
        ("", "", ""),
    ],
)
def test_the_manager_s_name(field_manager: str, user_agent: str, manager: str) -> None:
    assert manager_of(field_manager, user_agent) == manager


def test_a_nameless_manager_is_unknown() -> None:
    assert ("unknown", "Update", "") in _sets(_write(None, deployment(replicas=1), _by("")))


SPECS = st.fixed_dictionaries(
    {},
    optional={
        "replicas": st.integers(0, 2),
        "paused": st.booleans(),
        "strategy": st.fixed_dictionaries({}, optional={"type": st.sampled_from("ab")}),
        "free": st.dictionaries(st.sampled_from("xyz"), st.integers(0, 1), max_size=3),
    },
)


@given(st.lists(st.tuples(st.sampled_from("ABC"), SPECS), min_size=1, max_size=6))
def test_every_field_always_has_exactly_one_owner(writes: list) -> None:
    obj: dict | None = None
    for manager, spec in writes:
        # Without any owner left an object is not tracked again; a label keeps one.
        obj = _write(obj, deployment(labels={"l": "x"}, **spec), _by(manager))
    assert obj is not None
    owned: list[str] = []
    for fields in _sets(obj).values():
        owned += field_set.paths(fields)
    assert len(owned) == len(set(owned))
    for name, value in obj["spec"].items():
        # What a writer merely emptied is nobody's.
        assert value == {} or any(path.startswith(f".spec.{name}") for path in owned)
